"""The right to a message that was taken, and the words by which it is kept or given up."""

import asyncio
import json
from dataclasses import dataclass

from nats.aio.msg import Msg

from cnstra.adapters.nats.client import Client
from cnstra.adapters.nats.streams import NANOSECONDS

DONE, NOW, IN_PROGRESS = b"+ACK", b"-NAK", b"+WPI"


@dataclass(slots=True, eq=False)
class Lease:
    """Held until `ends_at`, by the event loop's clock.

    reply: where the message is acknowledged. name: its own, for as long as the stream is there.
    sent_at: seconds since the epoch. ack_wait: the consumer's, in seconds.
    """

    reply: str
    name: str
    sent_at: float
    ack_wait: float
    ends_at: float

    @staticmethod
    def of(message: Msg, ack_wait: float) -> "Lease":
        """That of a message which has just come."""
        *_, stream_sequence, _, timestamp, _ = message.reply.split(".")
        return Lease(
            reply=message.reply,
            name=f"{stream_sequence}.{timestamp}",
            sent_at=int(timestamp) / NANOSECONDS,
            ack_wait=ack_wait,
            ends_at=_now() + ack_wait,
        )

    @property
    def is_over(self) -> bool:
        return _now() >= self.ends_at

    async def renew(self, client: Client, duration: float) -> bool:
        """Hold it for `duration` seconds from now; whether it is still ours.

        The consumer's `ack_wait` is one length for all. Another one is set by a refusal with a
        delay: that says when the message is delivered again, and to acknowledge it before counts.
        """
        if self.is_over:
            return False
        asked_at = _now()
        word = IN_PROGRESS if duration == self.ack_wait else refusal(duration)
        await client.ask(self.reply, word)
        if self.is_over:  # when the answer came, somebody may have had it already
            return False
        self.ends_at = asked_at + duration
        return True


def refusal(delay: float) -> bytes:
    """The word by which a message is there again in `delay` seconds."""
    if delay <= 0:
        return NOW
    return NOW + b" " + json.dumps({"delay": round(delay * NANOSECONDS)}).encode()


def _now() -> float:
    return asyncio.get_running_loop().time()
