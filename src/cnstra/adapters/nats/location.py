"""Where a NATS is: the parts of its URL."""

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

from cnstra.durable import adapters
from cnstra.errors import InvalidOption

PORT = 4222
NAMESPACE = "cnstra"


@dataclass(frozen=True, slots=True)
class Location:
    """The servers of a NATS, who asks, and the namespace of our streams there.

    shown: the URL without its secrets. credentials and nkey: files. replicas: of the streams that
    are made.
    """

    shown: str
    servers: tuple[str, ...]
    namespace: str = NAMESPACE
    username: str | None = None
    password: str | None = None
    credentials: str | None = None
    nkey: str | None = None
    tls: ssl.SSLContext | None = None
    replicas: int = 1


def location_of(url: str) -> Location:
    """Read a URL.

    `nats://host`, `tls://host:4222`, `nats://user:password@host`, `nats://token@host`, several
    servers as `nats://a:4222,b:4222`; the path is the namespace. Options: `creds` and `nkey`
    (files), `replicas`, and for TLS `tls_ca`, `tls_cert`, `tls_key` (files).

    >>> location_of("nats://me:secret@a,b:4223/orders?replicas=3").servers
    ('nats://a:4222', 'nats://b:4223')
    """
    shown = adapters.shown(url)
    try:
        parts = urlsplit(url)
    except ValueError:  # whose message may hold the password
        raise InvalidOption(option="url", value=shown, remedy=_ENCODE) from None
    if parts.fragment or "@" in parts.path:
        raise InvalidOption(option="url", value=shown, remedy=_ENCODE)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = set(options) - {"creds", "nkey", "replicas", "tls_ca", "tls_cert", "tls_key"}
    if unknown:
        raise InvalidOption(option="url", value=shown, remedy=_WHICH_OPTIONS)
    namespace = parts.path.strip("/") or NAMESPACE
    if not re.fullmatch(r"[A-Za-z0-9_]+", namespace):
        raise InvalidOption(option="url", value=shown, remedy=_WHICH_NAMESPACE)
    replicas = options.get("replicas", "1")
    if replicas not in {"1", "2", "3", "4", "5"}:
        raise InvalidOption(option="url", value=shown, remedy="replicas is a number from 1 to 5")
    who, _, places = parts.netloc.rpartition("@")
    username, colon, password = who.partition(":")
    return Location(
        shown=shown,
        servers=tuple(_server(parts.scheme, place, shown) for place in places.split(",")),
        namespace=namespace,
        username=unquote(username) or None,
        password=unquote(password) if colon else None,
        credentials=options.get("creds"),
        nkey=options.get("nkey"),
        tls=_tls(parts.scheme, options, shown),
        replicas=int(replicas),
    )


def _server(scheme: str, place: str, shown: str) -> str:
    try:
        parts = urlsplit(f"{scheme}://{place or 'localhost'}")
        host, port = parts.hostname or "localhost", parts.port or PORT
    except ValueError:  # whose message may hold a part of the password
        raise InvalidOption(option="url", value=shown, remedy="its ports are numbers") from None
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def _tls(scheme: str, options: Mapping[str, str], shown: str) -> ssl.SSLContext | None:
    if scheme != "tls" and not any(name.startswith("tls_") for name in options):
        return None
    try:
        context = ssl.create_default_context(cafile=options.get("tls_ca"))
        if "tls_cert" in options:
            context.load_cert_chain(options["tls_cert"], options.get("tls_key"))
    except OSError as error:
        remedy = f"its certificates cannot be read: {error}"
        raise InvalidOption(option="url", value=shown, remedy=remedy) from error
    return context


_ENCODE = "percent-encode what is special in its user, password or token: / as %2F, # as %23"
_WHICH_OPTIONS = "its options are creds, nkey, replicas, tls_ca, tls_cert and tls_key"
_WHICH_NAMESPACE = "its path is a namespace of letters, digits and underscores"
