"""Which broker a URL leads to, as the semantic conventions name it, or would."""

from urllib.parse import unquote, urlsplit

SYSTEMS = {
    "amqp": "rabbitmq",
    "amqps": "rabbitmq",
    "nats": "nats",
    "postgres": "postgresql",
    "redis": "bullmq",
    "rediss": "bullmq",
    "sqs": "aws_sqs",
    "tls": "nats",
    "unix": "bullmq",
}
NOWHERE = {"memory", "sqlite", "sqs"}
"""Schemes whose URLs name no server."""


def system_of(url: str) -> str:
    """The broker."""
    scheme = url.partition(":")[0]
    return SYSTEMS.get(scheme, scheme)


def server_of(url: str) -> dict[str, str | int]:
    """The address of its server, and its port, as far as the URL says; of several the first."""
    parts = urlsplit(url)
    if parts.scheme in NOWHERE:
        return {}
    if parts.scheme == "unix":
        return {"server.address": unquote(parts.path)}
    _, _, places = parts.netloc.rpartition("@")
    first = urlsplit(f"//{places.partition(',')[0]}")
    try:
        host, port = first.hostname, first.port
    except ValueError:
        return {}
    about: dict[str, str | int] = {"server.address": host} if host else {}
    return about if port is None else {**about, "server.port": port}
