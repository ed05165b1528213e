"""Where a RabbitMQ is: the parts of its URL."""

from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

from yarl import URL

from cnstra.durable.adapters import shown
from cnstra.errors import InvalidOption

CONSUMER_TIMEOUT = 30 * 60.0
"""Seconds; what RabbitMQ has unless it is configured otherwise."""

LARGEST_MESSAGE = 16 * 1024 * 1024
"""Bytes that RabbitMQ takes unless it is configured otherwise: 4.x does; 3.x takes 128 MiB."""

HEARTBEAT = 15
"""Seconds. RabbitMQ takes back what a worker holds that was silent for two of them."""

OPTIONS = frozenset(
    {
        "auth", "cadata", "cafile", "capath", "certfile", "consumer_timeout", "heartbeat",
        "keyfile", "max_message_size", "name", "no_verify_ssl", "timeout",
    }
)  # fmt: skip
ENCODE = "percent-encode what is special in its user, password and vhost: / as %2F, # as %23"


@dataclass(frozen=True, slots=True)
class Location:
    """A vhost of a RabbitMQ server, and who asks.

    shown: the URL without its password. url: what the client connects to. consumer_timeout: seconds
    for which the server lets a message be held; `None`: for ever. max_message_size: bytes.
    """

    shown: str
    url: URL
    consumer_timeout: float | None
    max_message_size: int


def location_of(url: str) -> Location:
    """Read an `amqp://` or `amqps://` (TLS) URL: `amqp://user:password@host:port/vhost`.

    Without a path the vhost is `/`. `?consumer_timeout=` (seconds, 0 for none) and
    `?max_message_size=` (bytes) say what the server has, where that is not RabbitMQ's default;
    `?heartbeat=` (seconds) after how much silence it takes messages back; `cafile`, `certfile`,
    `keyfile` and `no_verify_ssl=1` are for TLS; `name` is what the management page shows.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # whose message may hold a part of the password
        raise InvalidOption(option="url", value="amqp://***", remedy=ENCODE) from None
    if parts.fragment or "@" in parts.path + parts.query:
        raise InvalidOption(option="url", value=f"{parts.scheme}://***", remedy=ENCODE)
    given = parse_qs(parts.query, keep_blank_values=True)
    options = {name: values[-1] for name, values in given.items()}
    if unknown := options.keys() - OPTIONS:
        known = ", ".join(sorted(OPTIONS))
        raise InvalidOption(
            option="url",
            value=shown(url),
            remedy=f"{unknown.pop()} is no option of it; {known} are",
        )
    timeout = _seconds(options.pop("consumer_timeout", CONSUMER_TIMEOUT), url)
    largest = _bytes(options.pop("max_message_size", str(LARGEST_MESSAGE)), url)
    options.setdefault("heartbeat", str(HEARTBEAT))
    try:
        target = URL.build(
            scheme=parts.scheme,
            host=parts.hostname or "localhost",
            port=port,
            user=unquote(parts.username or "guest"),
            password=unquote(parts.password or "guest"),
            path=f"/{unquote(parts.path[1:])}",
            query=options,
        )
    except ValueError:
        raise InvalidOption(option="url", value=shown(url), remedy=ENCODE) from None
    return Location(shown(url), target, timeout or None, largest)


def _seconds(value: str | float, url: str) -> float:
    try:
        return float(value)
    except ValueError as error:
        remedy = "its consumer_timeout is in seconds"
        raise InvalidOption(option="url", value=shown(url), remedy=remedy) from error


def _bytes(value: str, url: str) -> int:
    if not value.isdecimal() or not int(value):
        remedy = "its max_message_size is a number of bytes"
        raise InvalidOption(option="url", value=shown(url), remedy=remedy)
    return int(value)
