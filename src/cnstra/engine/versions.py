"""Payload types that have a version, and how what an older one encoded is brought up to it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from cnstra.errors import InvalidOption

C = TypeVar("C", bound=type)

Upcast = Callable[[Any], Any]
"""Makes the JSON of the next version, as builtins, of that of one version."""

UNVERSIONED = 1
"""What says no version was written by code that had none yet, or by another program."""

MARK = "__cnstra_payload__"


@dataclass(frozen=True, slots=True)
class Versions:
    """The version that a type encodes, and the upcasts from older ones, each to the next."""

    current: int = UNVERSIONED
    upcasts: Mapping[int, Upcast] = field(default_factory=dict[int, Upcast])

    def upcast(self, value: Any, version: int) -> Any:
        """JSON of that version as JSON of the current one. Raises `LookupError`, and what an upcast
        raises.
        """
        while version < self.current:
            if version not in self.upcasts:
                raise LookupError(f"there is no upcast from its version {version} any more")
            value = self.upcasts[version](value)
            version += 1
        return value


NONE = Versions()


def payload(*, version: int, upcasts: Mapping[int, Upcast] | None = None) -> Callable[[C], C]:
    """Give a payload type, or a type of context values, a version.

    version: of the shape that it has now: 1 is what was encoded before there were versions, so the
        first change makes it 2.
    upcasts: for each older version that may still be in flight, a function that makes the next one
        of it: it takes and returns what JSON holds (dicts, lists, texts, numbers).

    Work that was encoded before goes on; what was encoded by newer code is dead-lettered as
    `PayloadTooNew` until that is deployed here.

    >>> @payload(version=2, upcasts={1: lambda old: {"id": old["id"], "currency": "EUR"}})
    ... class Order(TypedDict):
    ...     id: int
    ...     currency: str

    Raises `InvalidOption` where the upcasts leave a gap.
    """
    given = dict(upcasts or {})
    wanted = range(min(given, default=version), version)
    if version < UNVERSIONED:
        raise InvalidOption(option="version", value=version, remedy="begin with 1")
    if sorted(given) != list(wanted) or min(given, default=1) < UNVERSIONED:
        remedy = f"give one for each version up to {version - 1}, without a gap"
        raise InvalidOption(option="upcasts", value=sorted(given), remedy=remedy)

    def declare(type_: C) -> C:
        setattr(type_, MARK, Versions(version, given))
        return type_

    return declare


def versions_of(type_: Any) -> Versions:
    """What a type says of its versions: itself, not a type that it comes from."""
    own = vars(type_).get(MARK) if isinstance(type_, type) else None
    return own if isinstance(own, Versions) else NONE
