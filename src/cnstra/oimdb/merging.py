"""Laying one object over another."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar, cast

import msgspec

from cnstra.engine.payloads import is_named_tuple
from cnstra.errors import NotMergeable

T = TypeVar("T")

How = Literal["replace", "merge"] | Callable[[T, T], T]
"""What becomes of an object that is there when another comes with its key: it is replaced, merged
with the fields that the other sets, or whatever a function of the two returns."""


def combined(before: T, given: T, how: How[T]) -> T:
    """What is stored when `given` comes and `before` is there."""
    if how == "replace":
        return given
    if how == "merge":
        return merged(before, given)
    return how(before, given)


def merged(before: T, given: T) -> T:
    """A copy of `before` with the fields that `given` sets.

    A mapping sets the keys that it has, a pydantic model the fields that it was made with, any
    other object those that are not `None` (or msgspec's `UNSET`).
    """
    old, new = cast(Any, before), cast(Any, given)
    if isinstance(new, Mapping):
        return cast(T, {**old, **new})
    if hasattr(new, "model_fields_set"):
        return cast(
            T, old.model_copy(update={one: getattr(new, one) for one in new.model_fields_set})
        )
    if isinstance(new, msgspec.Struct):
        return cast(T, msgspec.structs.replace(old, **_set(new, new.__struct_fields__)))
    if dataclasses.is_dataclass(new):
        names = [field.name for field in dataclasses.fields(new) if field.init]
        return cast(T, dataclasses.replace(old, **_set(new, names)))
    if is_named_tuple(type(new)):
        return cast(T, old._replace(**_set(new, new._fields)))
    raise NotMergeable(type=type(new).__name__)


def _set(given: object, names: Any) -> dict[str, Any]:
    values = {name: getattr(given, name) for name in names}
    return {
        name: value
        for name, value in values.items()
        if value is not None and value is not msgspec.UNSET
    }
