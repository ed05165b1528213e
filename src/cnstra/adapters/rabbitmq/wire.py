"""What a message looks like in AMQP.

Its id is the `message_id`, or, where it has more than the 255 bytes that AMQP allows, a header.
"""

from hashlib import sha256
from time import time

from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractIncomingMessage

LONGEST_ID = 255
ID = "cnstra-id"


def message_of(body: bytes, message_id: str, sent_at: float | None = None) -> Message:
    """A message that is written to disk before it is confirmed."""
    is_long = len(message_id.encode()) > LONGEST_ID
    return Message(
        body,
        content_type="application/json",
        delivery_mode=DeliveryMode.PERSISTENT,
        headers={ID: message_id} if is_long else {},
        message_id=sha256(message_id.encode()).hexdigest() if is_long else message_id,
        timestamp=time() if sent_at is None else sent_at,
    )


def id_of(message: AbstractIncomingMessage) -> str | None:
    """What its sender named it, if he did."""
    return str(message.headers.get(ID) or message.message_id or "") or None


def sent_at(message: AbstractIncomingMessage) -> float:
    """Seconds since the epoch; 0 where the sender did not say."""
    return message.timestamp.timestamp() if message.timestamp else 0.0
