"""How values that Postgres does not know are written into its columns."""

import json
from collections.abc import Mapping
from contextlib import suppress
from hashlib import blake2b
from typing import Any, cast

from cnstra.engine.payloads import decode_json

_ESCAPED = "\x01"
_DIGEST = "\x02"
_DIGEST_SIZE = 32
_LONGEST_KEY = 500
"""Characters of a key that an index holds whole; its entries end at 2,700 bytes."""


def to_text(name: str) -> str:
    """Any Python text as one that Postgres can hold; each stays its own."""
    if name.isascii() and "\0" not in name and not name.startswith((_ESCAPED, _DIGEST)):
        return name
    escaped = _ESCAPED + name.encode("unicode_escape").decode()
    if "\0" in name or name.startswith((_ESCAPED, _DIGEST)):
        return escaped
    try:
        name.encode()
    except UnicodeEncodeError:
        return escaped
    return name


def from_text(column: str) -> str:
    """What `to_text` was given."""
    if not column.startswith(_ESCAPED):
        return column
    return column[1:].encode().decode("unicode_escape")


def to_key(name: str) -> str:
    """The text, or a digest of one that is too long for an index."""
    text = to_text(name)
    if len(text) <= _LONGEST_KEY:
        return text
    return _DIGEST + blake2b(text.encode(), digest_size=_DIGEST_SIZE).hexdigest()


def to_run(run: str) -> str:
    """The key of a run; a digest that a delivery brought along stands for itself."""
    is_digest = run.startswith(_DIGEST) and len(run) == len(_DIGEST) + 2 * _DIGEST_SIZE
    return run if is_digest else to_key(run)


def long_text(name: str) -> str | None:
    """The text of which `to_key` made a digest; `None` where it made none."""
    return to_text(name) if to_key(name).startswith(_DIGEST) else None


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
