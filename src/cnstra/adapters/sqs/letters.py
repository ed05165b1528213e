"""A message as SQS has it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from cnstra.adapters.sqs.batches import LARGEST, Entry
from cnstra.adapters.sqs.names import token
from cnstra.errors import MessageTooLarge
from cnstra.jobs.transport import Incoming, Outgoing

ID = "cnstra-id"
BINARY = "Binary"
ROOM_FOR_ID = 256
"""Bytes of a message that are kept for its id, as SQS counts attributes in."""
LARGEST_BATCH = 256 * 1024
"""Bytes that any SQS takes in one batch."""
SYSTEM = ["SentTimestamp", "MessageGroupId"]
NO_CHARACTERS = ((b"\xef\xbf\xbe", rb"\ufffe"), (b"\xef\xbf\xbf", rb"\uffff"))
"""U+FFFE and U+FFFF, which SQS refuses, and what means the same in JSON."""


@dataclass(slots=True, eq=False)
class Held:
    """What is known of a message that was taken. Times are of this process's monotonic clock."""

    receipt: str
    taken_at: float
    ends_at: float
    ordering_key: str | None


def held_of(message: Incoming) -> Held:
    assert isinstance(message.handle, Held)
    return message.handle


def entry_of(message: Outgoing, *, is_fifo: bool, max_size: int) -> Entry:
    """An entry of SendMessageBatch. Raises `MessageTooLarge`."""
    body = message.body
    for character, escaped in NO_CHARACTERS:
        body = body.replace(character, escaped)
    entry: Entry = {
        "MessageBody": body.decode(),
        "MessageAttributes": {ID: {"DataType": BINARY, "BinaryValue": message.id.encode()}},
    }
    size = size_of(entry)
    if size > max_size:
        raise MessageTooLarge(job_id=message.id, size=size, broker="SQS", limit=max_size)
    if is_fifo:
        entry["MessageGroupId"] = token(message.ordering_key or message.id)
        entry["MessageDeduplicationId"] = token(message.id)
    else:
        entry["DelaySeconds"] = ceil(message.delay)
    return entry


def size_of(entry: Entry) -> int:
    """Bytes, as SQS counts them."""
    id: bytes = entry["MessageAttributes"][ID]["BinaryValue"]
    return len(entry["MessageBody"].encode()) + len(ID) + len(BINARY) + len(id)


def incoming_of(message: Mapping[str, Any], since: float, lease: float) -> Incoming:
    """A message that ReceiveMessage returned, leased since then by the monotonic clock."""
    known, told = message.get("Attributes", {}), message.get("MessageAttributes", {}).get(ID, {})
    return Incoming(
        body=message["Body"].encode(),
        id=told["BinaryValue"].decode() if "BinaryValue" in told else message["MessageId"],
        sent_at=int(known.get("SentTimestamp", 0)) / 1000,
        handle=Held(message["ReceiptHandle"], since, since + lease, known.get("MessageGroupId")),
    )


def batches_of(entries: Iterable[Entry], largest: int) -> Iterator[list[Entry]]:
    """Batches that SQS takes, in order.

    Of one ordering key a batch holds one message: if SQS fails one and takes the next, they would
    change places.
    """
    batch: list[Entry] = []
    groups: set[str] = set()
    left = max(largest, LARGEST_BATCH)
    for entry in entries:
        size = size_of(entry)
        group = entry.get("MessageGroupId")
        if batch and (len(batch) == LARGEST or size > left or group in groups):
            yield batch
            batch, left = [], max(largest, LARGEST_BATCH)
            groups.clear()
        batch.append(entry)
        left -= size
        if group is not None:
            groups.add(group)
    if batch:
        yield batch
