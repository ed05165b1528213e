"""Where a Redis is: the parts of its URL."""

import ssl
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

from cnstra.durable.adapters import shown
from cnstra.errors import InvalidOption

PORT = 6379
ENCODE = "its port is a number, and what is special in its password percent-encoded: / as %2F"


@dataclass(frozen=True, slots=True)
class Location:
    """A Redis server, a database of it, and who asks.

    `shown` is the URL without its password. `path` is that of a unix socket; `host` and `port` are
    then of no account.
    """

    shown: str
    host: str = "localhost"
    port: int = PORT
    path: str | None = None
    database: int = 0
    username: str | None = None
    password: str | None = None
    tls: ssl.SSLContext | None = None


def location_of(url: str) -> Location:
    """Read `redis://`, `rediss://` (TLS) and `unix://` URLs, as redis-py and ioredis spell them.

    The database is the path (`redis://host/2`) or `?db=2`. TLS takes `?ssl_ca_certs=FILE`,
    `ssl_certfile`, `ssl_keyfile`, and `ssl_cert_reqs=none` to trust any server.
    """
    parts = urlsplit(url)
    try:
        port = parts.port or PORT
    except ValueError:  # whose message may hold a part of the password
        raise InvalidOption(option="url", value=shown(url), remedy=ENCODE) from None
    options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    is_socket = parts.scheme == "unix"
    if parts.fragment:  # which may be the end of the password
        value, remedy = f"{parts.scheme}://***", "percent-encode the # in it as %23"
        raise InvalidOption(option="url", value=value, remedy=remedy)
    database = options.get("db") or ("0" if is_socket else parts.path.strip("/") or "0")
    if not database.isdecimal():
        raise InvalidOption(option="url", value=shown(url), remedy="its database is a number")
    return Location(
        shown=shown(url),
        host=parts.hostname or "localhost",
        port=port,
        path=unquote(parts.path) if is_socket else None,
        database=int(database),
        username=unquote(parts.username) if parts.username else options.get("username"),
        password=unquote(parts.password) if parts.password else options.get("password"),
        tls=_tls(options) if parts.scheme == "rediss" else None,
    )


def _tls(options: dict[str, str]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"))
    if options.get("ssl_cert_reqs", "required").lower() in ("none", "cert_none"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if "ssl_certfile" in options:
        context.load_cert_chain(options["ssl_certfile"], options.get("ssl_keyfile"))
    return context
