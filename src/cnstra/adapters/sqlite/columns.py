"""How values that SQLite does not know are written into its columns."""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, cast

from cnstra.engine.payloads import decode_json

_ESCAPED = "\0"


def to_text(name: str) -> str:
    """Any Python text as one that UTF-8 can hold; each stays its own."""
    if name.isascii() and not name.startswith(_ESCAPED):
        return name
    try:
        name.encode()
    except UnicodeEncodeError:
        return _ESCAPED + name.encode("unicode_escape").decode()
    return _ESCAPED + name if name.startswith(_ESCAPED) else name


def from_text(column: str) -> str:
    """What `to_text` was given. Raises `ValueError` for what it never made."""
    if not column.startswith(_ESCAPED):
        return column
    return column[1:].encode().decode("unicode_escape") if column[1:2] != _ESCAPED else column[1:]


def shown(column: object) -> str:
    """The text, or whatever else a row holds in its place."""
    try:
        return from_text(column) if isinstance(column, str) else str(column)
    except ValueError:
        return str(column)


def to_json(value: Mapping[str, Any] | None) -> str | None:
    return None if value is None else json.dumps(value, default=str)


def from_json(column: str | None) -> Any:
    """What `to_json` was given; of what is no object of ours, its text as a message."""
    if column is None:
        return None
    found: Any = None
    with suppress(ValueError):
        found = decode_json(column)
    if isinstance(found, dict):
        return cast("dict[str, Any]", found)
    return {"message": column}
