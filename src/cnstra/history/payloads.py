"""What of a payload is kept: all of it, its beginning, or nothing; and never what is secret."""

import logging
from collections.abc import Callable, Collection
from typing import Any, Literal, cast

from cnstra.engine.payloads import decode_json, encode_json
from cnstra.errors import InvalidOption
from cnstra.history.records import Payload

logger = logging.getLogger("cnstra.history")

Keep = Literal["whole", "cut", "none"]
"""How much of a payload is kept: all of it, its beginning, or its size alone."""

Redact = Collection[str] | Callable[[str, Any], Any]
"""Names whose values are struck out, wherever they stand; or a function of (name of the collateral
or neuron, payload) that returns the payload to keep."""

STRUCK_OUT = "•••"


class PayloadPolicy:
    """How payloads are kept.

    keep: "whole", "cut" to `limit` bytes, or "none". redact: what is struck out before.

    Raises `InvalidOption`.
    """

    __slots__ = ("_keep", "_limit", "_names", "_redact")

    def __init__(self, keep: Keep = "cut", limit: int = 4096, redact: Redact = ()) -> None:
        if keep not in ("whole", "cut", "none"):
            remedy = 'choose "whole", "cut" or "none"'
            raise InvalidOption(option="payloads", value=keep, remedy=remedy)
        if isinstance(redact, str):
            raise InvalidOption(option="redact", value=redact, remedy="give a list of names")
        self._keep = keep
        self._limit = limit
        self._redact = redact if callable(redact) else None
        names = () if callable(redact) else redact
        self._names = frozenset(name.casefold() for name in names)

    @property
    def redacts(self) -> bool:
        """Whether anything is struck out."""
        return self._redact is not None or bool(self._names)

    def kept(self, name: str, data: bytes | None) -> Payload | None:
        """What to keep of the JSON `data` that travelled through `name`. Never raises."""
        if data is None:
            return None
        if self._keep == "none":
            return Payload(None, len(data))
        shown = self.struck(name, data)
        if shown is None:
            return Payload(None, len(data))
        if self._keep == "cut" and len(shown) > self._limit:
            return Payload(shown[: self._limit].decode(errors="ignore"), len(shown))
        return Payload(shown.decode(errors="replace"), len(shown))

    def struck(self, name: str, data: bytes) -> bytes | None:
        """The JSON without what is secret in it; `None` where the redaction raises."""
        try:
            return self._redacted(name, data)
        except Exception:
            logger.exception("The redaction of %r raised: that payload is left out.", name)
            return None

    def _redacted(self, name: str, data: bytes) -> bytes:
        if self._redact is not None:
            return encode_json(self._redact(name, decode_json(data)))
        if self._names:
            return encode_json(_strike(decode_json(data), self._names))
        return data


def _strike(value: object, names: frozenset[str]) -> object:
    """The value with all that stands under one of the names struck out."""
    if isinstance(value, dict):
        return {
            key: STRUCK_OUT if key.casefold() in names else _strike(one, names)
            for key, one in cast(dict[str, object], value).items()
        }
    if isinstance(value, list):
        return [_strike(one, names) for one in cast(list[object], value)]
    return value
