"""What is known of the fields of a type."""

from collections.abc import Callable, Mapping
from operator import attrgetter, itemgetter
from typing import Any, get_origin

import msgspec


def getter(kind: Any, field: str) -> Callable[[Any], Any]:
    """Reads the field of an object of that type: an attribute, or the item of a mapping."""
    plain = get_origin(kind) or kind
    is_mapping = isinstance(plain, type) and issubclass(plain, Mapping)
    return itemgetter(field) if is_mapping else attrgetter(field)


def is_frozen(kind: Any) -> bool:
    """Whether no field of an object of that type can be set."""
    plain: Any = get_origin(kind) or kind
    if not isinstance(plain, type):
        return False
    if issubclass(plain, msgspec.Struct):
        return plain.__struct_config__.frozen
    if issubclass(plain, tuple):
        return True
    parameters = plain.__dict__.get("__dataclass_params__")
    return parameters is not None and parameters.frozen
