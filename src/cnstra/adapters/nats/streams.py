"""The streams and the consumer that we need: made where they are missing, checked where they are.

What an administrator sets beside (replicas, placement, limits that refuse new messages) is left as
it is. What would lose jobs is refused.
"""

from collections.abc import Mapping
from typing import Any

from cnstra.adapters.nats.connection import Connection, Refused
from cnstra.adapters.nats.location import Location
from cnstra.adapters.nats.names import token
from cnstra.errors import StreamMismatch

NANOSECONDS = 1_000_000_000
ACK_WAIT = 30
"""Seconds after which a message comes back whose worker died before it could set its lease."""
DUPLICATE_WINDOW = 120
"""Seconds for which a stream knows the ids of its messages."""
WORKER = "worker"
HISTORY = 1_000_000
"""Messages of one subject of the bucket. A run is folded into one long before."""
MAX_WAITING = 10_000
"""Pulls that may wait at a consumer: one for each idle worker."""

MISSING, SUBJECTS_OVERLAP, NAME_IN_USE = 404, 10065, 10058


class QueueNames:
    """What the streams of a queue are called, and their subjects."""

    def __init__(self, place: Location, queue: str) -> None:
        name = token(queue)
        self.stream = f"{place.namespace}-queue-{name}"
        self.subject = f"{place.namespace}.{name}"
        self.dead_stream = f"{place.namespace}-dead-{name}"
        self.dead_subject = f"{self.subject}.dead"
        self.next = f"$JS.API.CONSUMER.MSG.NEXT.{self.stream}.{WORKER}"


async def prepare_queue(connection: Connection, place: Location, names: QueueNames) -> float:
    """Have the streams and the consumer of a queue there. Returns its `ack_wait` in seconds."""
    await _stream(connection, place, names.stream, names.subject, {"retention": "workqueue"})
    await _stream(connection, place, names.dead_stream, names.dead_subject, {"retention": "limits"})
    return await _consumer(connection, names)


async def prepare_bucket(connection: Connection, place: Location, bucket: str) -> None:
    """Have a key-value bucket there whose keys have a long history."""
    demands = {"retention": "limits", "allow_rollup_hdrs": True, "deny_purge": False}
    also = {"max_msgs_per_subject": HISTORY, "deny_delete": True}
    config = await _stream(connection, place, f"KV_{bucket}", f"$KV.{bucket}.>", demands, also)
    if 0 <= config["max_msgs_per_subject"] < HISTORY:
        reason = f"its history is {config['max_msgs_per_subject']}, it must be {HISTORY}"
        raise StreamMismatch(stream=f"KV_{bucket}", reason=reason)


async def _stream(
    connection: Connection,
    place: Location,
    name: str,
    subject: str,
    demands: Mapping[str, Any],
    also: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Have a stream there that keeps what it is given. Returns its settings."""
    wanted = {
        "name": name,
        "subjects": [subject],
        "storage": "file",
        "discard": "new",
        "num_replicas": place.replicas,
        "duplicate_window": DUPLICATE_WINDOW * NANOSECONDS,
        **demands,
        **(also or {}),
    }
    try:
        found = await _found_or_made(connection, name, wanted)
    except Refused as error:
        if error.number in (SUBJECTS_OVERLAP, NAME_IN_USE):
            raise StreamMismatch(stream=name, reason=str(error)) from error
        raise
    config: dict[str, Any] = found["config"]
    demands = {"subjects": [subject], "max_age": 0, **demands}
    if any(config[limit] > 0 for limit in ("max_msgs", "max_bytes")):
        demands["discard"] = "new"
    for setting, value in demands.items():
        if config.get(setting) != value:
            reason = f"{setting} is {config.get(setting)!r}, it must be {value!r}"
            raise StreamMismatch(stream=name, reason=reason)
    return config


async def _found_or_made(
    connection: Connection, name: str, wanted: Mapping[str, Any]
) -> dict[str, Any]:
    try:
        return await connection.api(f"STREAM.INFO.{name}")
    except Refused as error:
        if error.code != MISSING:
            raise
    try:
        return await connection.api(f"STREAM.CREATE.{name}", **wanted)
    except Refused as error:
        if error.number != NAME_IN_USE:
            raise
        return await connection.api(f"STREAM.INFO.{name}")  # another one was faster


async def _consumer(connection: Connection, names: QueueNames) -> float:
    wanted = {
        "durable_name": WORKER,
        "ack_policy": "explicit",
        "ack_wait": ACK_WAIT * NANOSECONDS,
        "max_deliver": -1,
        "max_ack_pending": -1,
        "max_waiting": MAX_WAITING,
    }
    where = f"{names.stream}.{WORKER}"
    try:
        found = await connection.api(f"CONSUMER.INFO.{where}")
    except Refused as error:
        if error.code != MISSING:
            raise
        found = await connection.api(
            f"CONSUMER.DURABLE.CREATE.{where}", stream_name=names.stream, config=wanted
        )
    config: dict[str, Any] = found["config"]
    for setting in ("ack_policy", "max_deliver"):
        if config.get(setting) != wanted[setting]:
            reason = f"{setting} is {config.get(setting)!r}, it must be {wanted[setting]!r}"
            raise StreamMismatch(stream=f"{names.stream} > {WORKER}", reason=reason)
    return float(config["ack_wait"] / NANOSECONDS)
