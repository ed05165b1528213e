"""What may be wrong with the streams of a queue on NATS."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cnstra.adapters.nats.client import Client
from cnstra.adapters.nats.streams import QueueNames
from cnstra.jobs.diagnosis import Finding


async def findings(client: Client, names: QueueNames) -> Sequence[Finding]:
    """All that the settings of its streams and its account tell."""
    account = await client.api("INFO")
    told: list[Finding] = []
    for stream in (names.stream, names.dead_stream):
        told += _judged((await client.api(f"STREAM.INFO.{stream}"))["config"])
    return [*told, *_room(account)]


def _judged(config: Mapping[str, Any]) -> Iterator[Finding]:
    name, storage, copies = config["name"], config["storage"], config["num_replicas"]
    yield Finding("ok", "nats", f"stream {name}: storage {storage}, replicas {copies}")
    if storage != "file":
        yield Finding(
            "warning", "nats", f"stream {name} is in memory: its jobs end with the server"
        )
    limited = [one for one in ("max_msgs", "max_bytes") if config[one] > 0]
    if limited:
        message = f"stream {name} has {' and '.join(limited)}: enqueue fails once it is full"
        yield Finding("warning", "nats", message)


def _room(account: Mapping[str, Any]) -> Iterator[Finding]:
    used, most = account.get("storage", 0), account.get("limits", {}).get("max_storage", -1)
    if most > 0 and used > 0.9 * most:
        message = f"{used * 100 // most} % of the account's storage are in use"
        yield Finding("warning", "nats", message)
