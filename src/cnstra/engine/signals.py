"""Collaterals, the typed channels, and the signals that they mint."""

from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeGuard, TypeVar, overload

import msgspec

from cnstra.engine.payloads import PayloadCodec, to_builtins
from cnstra.engine.versions import UNVERSIONED, versions_of
from cnstra.errors import InvalidName, InvalidOption, InvalidSignal

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Signal(Generic[T_co]):
    """A payload on its way through a collateral. Made by `Collateral.create_signal`."""

    __slots__ = ("collateral_name", "key", "payload")

    collateral_name: str
    payload: T_co
    key: str | None
    version = UNVERSIONED
    """The version of its payload's type."""

    def __init__(self, collateral_name: str, payload: T_co, key: str | None = None) -> None:
        self.collateral_name = collateral_name
        self.payload = payload
        self.key = key

    def to_wire(self) -> dict[str, Any]:
        """As it stands in a job, ready for `json.dumps`."""
        return signal_to_wire(self)

    def __repr__(self) -> str:
        key = f", key={self.key!r}" if self.key is not None else ""
        return f"Signal({self.collateral_name!r}, {self.payload!r}{key})"

    def __eq__(self, other: object) -> bool:
        if not is_signal(other):
            return NotImplemented
        mine = (self.collateral_name, self.payload, self.key)
        return mine == (other.collateral_name, other.payload, other.key)

    __hash__ = None  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]


class VersionedSignal(Signal[T_co]):
    """A signal whose payload's type has a version."""

    __slots__ = ("version",)

    def __init__(
        self, collateral_name: str, payload: T_co, key: str | None = None, *, version: int
    ) -> None:
        super().__init__(collateral_name, payload, key)
        self.version = version


class EncodedSignal(msgspec.Struct, frozen=True, rename="camel"):
    """A signal as it came in, whose payload nobody has looked at yet. v: its payload's version."""

    collateral_name: str
    payload: msgspec.Raw = msgspec.Raw(b"null")
    key: str | None = None
    v: int = UNVERSIONED


class Collateral(Generic[T]):
    """A named channel for payloads of one type. Its name is its identity, on the wire too."""

    __slots__ = ("codec", "former_names", "name")

    def __new__(
        cls, name: str, type_: Any = Any, *, former_names: Sequence[str] = ()
    ) -> "Collateral[T]":
        del name, former_names
        is_plain = versions_of(type_).current == UNVERSIONED
        kind: Any = cls if is_plain else VersionedCollateral
        made: Collateral[T] = object.__new__(kind)
        return made

    def __init__(self, name: str, type_: Any = Any, *, former_names: Sequence[str] = ()) -> None:
        if not isinstance(name, str) or not name:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidName(kind="A collateral", name=name)
        self.name = name
        self.former_names = former_names_of("A collateral", former_names)
        self.codec: PayloadCodec[T] = PayloadCodec(name, type_)

    @property
    def type(self) -> Any:
        """The type of the payloads; `Any` where none was given."""
        return self.codec.type

    def create_signal(self, payload: T, *, key: str | None = None) -> Signal[T]:
        """A signal of this collateral.

        `key` names this branch among the outputs of one emission, in place of its position: give it
        where a handler emits the same things in another order when it runs again.
        """
        return Signal(self.name, payload, key)

    def __repr__(self) -> str:
        return f"collateral({self.name!r})"


class VersionedCollateral(Collateral[T]):
    """A channel whose payload type has a version: its signals say which, for a job to carry."""

    __slots__ = ()

    def create_signal(self, payload: T, *, key: str | None = None) -> Signal[T]:
        return VersionedSignal(self.name, payload, key, version=self.codec.version)


@overload
def collateral(name: str, *, former_names: Sequence[str] = ()) -> Collateral[Any]: ...
@overload
def collateral(name: str, type_: type[T], *, former_names: Sequence[str] = ()) -> Collateral[T]: ...
@overload
def collateral(name: str, type_: Any, *, former_names: Sequence[str] = ()) -> Collateral[Any]: ...
def collateral(name: str, type_: Any = Any, *, former_names: Sequence[str] = ()) -> Collateral[Any]:
    """A channel named `name` for payloads of `type_`.

    former_names: what it was called before. Jobs that were saved under those names still run.

    >>> class Item(TypedDict):
    ...     id: int
    >>> request = collateral("input", Item)
    >>> request.create_signal({"id": 100})
    Signal('input', {'id': 100})
    """
    return Collateral(name, type_, former_names=former_names)


def former_names_of(kind: str, names: Sequence[str]) -> tuple[str, ...]:
    """The names, checked. Raises `InvalidOption` or `InvalidName`."""
    if isinstance(names, str):
        remedy = f"give a tuple of names: ({names!r},)"
        raise InvalidOption(option="former_names", value=names, remedy=remedy)
    for name in names:
        if not isinstance(name, str) or not name:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidName(kind=kind, name=name)
    return tuple(names)


SIGNAL: Any = Signal
"""The class, for `type(it) is SIGNAL` in the hot loops: checkers then leave what it is alone."""


def is_signal(value: object) -> TypeGuard[Signal[Any]]:
    """Whether it is a signal, of whatever payload."""
    return isinstance(value, Signal)


def is_object(value: object) -> TypeGuard[Mapping[str, Any]]:
    """Whether it is what JSON calls an object."""
    return isinstance(value, Mapping)


def signal_from_wire(wire: object) -> Signal[Any]:
    """The signal in `{"collateralName": ..., "payload": ...}`; a missing payload is `None`."""
    if is_signal(wire):
        return wire
    if is_object(wire):
        name, key, version = wire.get("collateralName"), wire.get("key"), wire.get("v", UNVERSIONED)
        if isinstance(name, str) and name and isinstance(key, str | None):
            if version == UNVERSIONED:
                return Signal(name, wire.get("payload"), key)
            if isinstance(version, int):
                return VersionedSignal(name, wire.get("payload"), key, version=version)
    raise InvalidSignal(signal=repr(wire)[:200])


def signal_to_wire(signal: Signal[Any]) -> dict[str, Any]:
    """`{"collateralName": ..., "payload": ...}`, with the payload as builtins, if it can be."""
    wire = {"collateralName": signal.collateral_name, "payload": to_builtins(signal.payload)}
    return wire if signal.version == UNVERSIONED else {**wire, "v": signal.version}
