"""Any text as a name that NATS takes, and back."""

from hashlib import sha256
from string import ascii_letters, digits
from urllib.parse import quote, unquote

LONGEST = 180
"""Letters of a name: servers make directories of them."""
_PLAIN = frozenset((ascii_letters + digits + "-_").encode())


def token(text: str) -> str:
    """One token of a subject, or a part of a stream's name; each text has its own.

    >>> token("orders"), token("a.b c"), token("")
    ('orders', 'a=2Eb=20c', '=')
    """
    letters = text.encode("utf-8", "surrogatepass")
    name = "".join(chr(one) if one in _PLAIN else f"={one:02X}" for one in letters) or "="
    return name if len(name) <= LONGEST else f"=h{sha256(letters).hexdigest()}"


def to_header(text: str) -> str:
    """A text as the value of a header."""
    return quote(text, errors="surrogatepass")


def from_header(value: str) -> str:
    """What `to_header` was given, and of others' values what they say."""
    return unquote(value, errors="surrogatepass") if "%" in value else value
