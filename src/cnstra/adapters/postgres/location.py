"""Which database and which schema a URL means."""

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.errors import ProgrammingError

from cnstra.durable import adapters
from cnstra.errors import InvalidOption

DEFAULT_SCHEMA = "cnstra"
CONNECT_TIMEOUT = 5
SILENCE = 10_000
"""Milliseconds after which a server that acknowledges nothing counts as gone."""

_NOT_ENCODED = "percent-encoded"
"""What libpq says of a % that means itself, with the password that it is in."""

_IDENTIFIER = re.compile(r"(?!pg_)[A-Za-z_][A-Za-z0-9_]{0,49}")
_DEFAULTS = {
    "application_name": "cnstra",
    "connect_timeout": str(CONNECT_TIMEOUT),
    "keepalives_idle": "10",
    "keepalives_interval": "3",
    "keepalives_count": "3",
    "tcp_user_timeout": str(SILENCE),
}


@dataclass(frozen=True, slots=True)
class Location:
    """A schema of a database, and how to reach it.

    shown: the URL without its password and its options. conninfo: what libpq is told.
    listens: whether the server can tell us of changes; else it is asked.
    connections: how many of them a process opens at once for its queries, at most.
    """

    shown: str
    conninfo: str
    schema: str = DEFAULT_SCHEMA
    listens: bool = True
    connections: int = 4

    @classmethod
    def of(cls, url: str) -> "Location":
        """Read a URL of libpq's, with the options `schema`, `listen` and `connections` of ours.

        >>> Location.of("postgresql://app@localhost/shop?schema=jobs&sslmode=require").schema
        'jobs'
        """
        shown = adapters.shown(url)
        try:
            parts = urlsplit(url)
        except ValueError:  # whose message may hold the password
            raise InvalidOption(option="url", value=shown, remedy=_ENCODE) from None
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        if "@" not in parts.netloc and "@" in "".join([parts.path, *options]):
            raise InvalidOption(option="url", value=shown, remedy=_ENCODE)
        schema = options.pop("schema", DEFAULT_SCHEMA)
        if not _IDENTIFIER.fullmatch(schema):
            raise InvalidOption(option="schema", value=schema, remedy=_HOW_TO_NAME_A_SCHEMA)
        listen = options.pop("listen", "on")
        if listen not in ("on", "off"):
            raise InvalidOption(option="listen", value=listen, remedy="write on or off")
        connections = options.pop("connections", "4")
        if not connections.isdecimal() or int(connections) < 1:
            raise InvalidOption(option="connections", value=connections, remedy="allow 1 or more")
        query = urlencode(options, quote_via=quote)
        try:
            told = conninfo_to_dict(parts._replace(query=query).geturl())
        except ProgrammingError as error:
            reason = str(error).strip()
            remedy = _ENCODE if _NOT_ENCODED in reason else f"libpq cannot read it ({reason})"
            raise InvalidOption(option="url", value=shown, remedy=remedy) from None
        defaults = {name: value for name, value in _DEFAULTS.items() if name not in told}
        return cls(
            shown=shown,
            conninfo=make_conninfo("", **defaults, **told),
            schema=schema,
            listens=listen == "on",
            connections=int(connections),
        )


_ENCODE = "percent-encode what is special in its user and password: / as %2F, ? as %3F, % as %25"
_HOW_TO_NAME_A_SCHEMA = "name it in letters, digits and _, 50 of them at most, not from a digit on"
