"""Which errors are alike: those that differ in numbers, ids and quoted values only."""

import re
from hashlib import blake2b

_VARYING = re.compile(r"'[^']*'|\"[^\"]*\"|0x[0-9a-f]+|[0-9a-f]{8,}|\d+", re.IGNORECASE)
LONGEST = 500


def pattern_of(message: str) -> str:
    """The message without what varies from one error to the next.

    >>> pattern_of("order 17 of 'ann' is unknown")
    'order … of … is unknown'
    """
    return _VARYING.sub("…", message[:LONGEST])


def fingerprint(name: str, message: str) -> str:
    """A short text that errors of one kind share."""
    kind = f"{name}\0{pattern_of(message)}".encode("utf-8", "surrogatepass")
    return blake2b(kind, digest_size=6).hexdigest()
