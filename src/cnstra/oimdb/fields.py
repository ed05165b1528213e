"""The fields of objects by name."""

from collections.abc import Callable, Mapping
from operator import attrgetter, itemgetter
from typing import Any, get_origin


def getter(kind: Any, field: str) -> Callable[[Any], Any]:
    """Reads the field of an object of that type: an attribute, or the item of a mapping."""
    plain = get_origin(kind) or kind
    is_mapping = isinstance(plain, type) and issubclass(plain, Mapping)
    return itemgetter(field) if is_mapping else attrgetter(field)
