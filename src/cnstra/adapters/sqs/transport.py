"""One queue of SQS and its dead letters."""

import asyncio
from collections.abc import Mapping, Sequence
from hashlib import sha256
from math import ceil, floor, inf

from cnstra.adapters.sqs.batches import Entry, Failure, Gathering, carry_out
from cnstra.adapters.sqs.client import Client
from cnstra.adapters.sqs.diagnosis import findings
from cnstra.adapters.sqs.letters import ROOM_FOR_ID, Held, batches_of, entry_of, held_of
from cnstra.adapters.sqs.location import Location
from cnstra.adapters.sqs.names import names_of
from cnstra.adapters.sqs.place import Place
from cnstra.adapters.sqs.receiver import Receiver
from cnstra.adapters.sqs.sifting import sift
from cnstra.clock import Clock
from cnstra.errors import BrokerRefused
from cnstra.jobs.broker import JobState
from cnstra.jobs.diagnosis import Finding
from cnstra.jobs.transport import Incoming, Judge, Limits, Outgoing

LONGEST_DELAY = 900.0
DIGEST = 16
"""Hex digits that tell two dead letters of one message apart, as FIFO queues drop repeats."""
LONGEST_STAY = 0.5
"""The share of a queue's retention for which a message is put back at once, at most."""
OLD_AGE = 0.9
"""The share of a queue's retention after which a message is replaced by a copy."""


class SQSTransport:
    """A `Transport`. FIFO queues keep the order of an ordering key.

    SQS does not always know an old receipt, so a message whose lease has run out by our own clock
    is left alone.
    """

    def __init__(self, queue: str, location: Location, clock: Clock) -> None:
        main, dead = names_of(queue, location)
        self._clock = clock
        self._longest = location.longest_lease
        self._client = Client(location)
        self._queue = Place(self._client, main, location)
        self._dead = Place(self._client, dead, location)
        self._deletions = Gathering(self._queue, clock, "DeleteMessageBatch")
        self._changes = Gathering(self._queue, clock, "ChangeMessageVisibilityBatch")
        self._receiver = Receiver(self._queue, clock, self._release)

    @property
    def limits(self) -> Limits:
        is_fifo, largest = self._queue.is_fifo, self._queue.max_size
        return Limits(
            name="SQS FIFO" if is_fifo else "SQS",
            max_body=None if largest is None else largest - ROOM_FOR_ID,
            longest_delay=0.0 if is_fifo else LONGEST_DELAY,
            longest_put_back=self._longest,
            longest_lease=self._longest,
            ordering=is_fifo,
        )

    async def open(self) -> None:
        await self._client.open()
        try:
            await self._queue.open()
            await self._dead.open()
        except BaseException:
            await self._client.close()
            raise

    async def close(self) -> None:
        await self._receiver.close()
        await self._client.close()

    async def diagnose(self) -> Sequence[Finding]:
        return [*await findings(self._queue), *await findings(self._dead)]

    # --- sending

    async def send(self, messages: Sequence[Outgoing]) -> None:
        await self._send(self._queue, messages)

    async def _send(self, place: Place, messages: Sequence[Outgoing]) -> None:
        largest = place.max_size or 0
        entries = [entry_of(one, is_fifo=place.is_fifo, max_size=largest) for one in messages]
        batches = batches_of(entries, largest)
        if place.is_fifo:
            for batch in batches:
                await self._send_batch(place, batch)
        else:
            sending = [self._send_batch(place, batch) for batch in batches]
            for failed in await asyncio.gather(*sending, return_exceptions=True):
                if failed is not None:
                    raise failed

    async def _send_batch(self, place: Place, batch: Sequence[Entry]) -> None:
        action = "SendMessageBatch"
        for failure in await carry_out(place, self._clock, action, batch):
            if failure is not None:
                reason = f"{failure.code}: {failure.message}"
                remedy = "check the message, and the settings of the queue"
                url = place.location.url
                raise BrokerRefused(url=url, action=action, reason=reason, remedy=remedy)

    # --- taking, and what becomes of what was taken

    async def take(self, limit: int, *, lease: float, wait: float) -> Sequence[Incoming]:
        return await self._receiver.take(limit, ceil(min(lease, self._longest)), wait)

    async def keep(self, messages: Sequence[Incoming], lease: float) -> Sequence[bool]:
        return await asyncio.gather(*(self._keep(one, lease) for one in messages))

    async def done(self, message: Incoming) -> None:
        held = held_of(message)
        if self._is_ours(held):
            await self._deletions.add(ReceiptHandle=held.receipt)
            held.ends_at = -inf

    async def put_back(self, message: Incoming, delay: float) -> None:
        held = held_of(message)
        if not self._is_ours(held):
            return
        stay = min(delay, LONGEST_STAY * self._queue.retention)
        deleted_at = message.sent_at + OLD_AGE * self._queue.retention
        if self._clock.time() + stay > deleted_at:
            await self._replace(message, stay)
        else:
            await self._change(held, stay)
            held.ends_at = -inf

    async def bury(self, message: Incoming, body: bytes) -> None:
        if self._is_ours(held_of(message)):
            id = f"{message.id}!{sha256(body).hexdigest()[:DIGEST]}"
            await self._send(self._dead, [Outgoing(body, id)])
            await self.done(message)

    async def _keep(self, message: Incoming, lease: float) -> bool:
        held = held_of(message)
        ends_at = self._clock.monotonic() + self._stay(held, lease)
        if ends_at <= held.ends_at or not self._is_ours(held):
            return self._is_ours(held)
        return await self._change(held, lease) is None

    async def _release(self, message: Incoming) -> None:
        await self._change(held_of(message), 0)

    async def _replace(self, message: Incoming, delay: float) -> None:
        """Send a message again that SQS would delete for its age, and drop it."""
        copy = Outgoing(
            message.body,
            message.id,
            delay=min(delay, self.limits.longest_delay),
            ordering_key=held_of(message).ordering_key,
        )
        await self.send([copy])
        await self.done(message)

    async def _change(self, held: Held, visible_in: float) -> Failure | None:
        """Have a message visible again in so many seconds, as far as it may stay away so long."""
        now, stay = self._clock.monotonic(), self._stay(held, visible_in)
        failure = await self._changes.add(ReceiptHandle=held.receipt, VisibilityTimeout=stay)
        held.ends_at = now + stay
        return failure

    def _stay(self, held: Held, visible_in: float) -> int:
        """Whole seconds, as SQS takes them, and no more than the message can be held still."""
        left = held.taken_at + self._longest - self._clock.monotonic()
        return max(0, min(ceil(visible_in), floor(left)))

    def _is_ours(self, held: Held) -> bool:
        return self._clock.monotonic() < held.ends_at

    # --- the dead letters, and the rest

    async def sift(self, judge: Judge, limit: int | None = None) -> None:
        await sift(self._dead, self._clock, judge, limit)

    async def sizes(self) -> Mapping[JobState, int]:
        (waiting, delayed, active), dead = await asyncio.gather(
            self._queue.sizes(), self._dead.sizes()
        )
        return {
            "waiting": waiting, "delayed": delayed, "active": active, "dead": sum(dead),
        }  # fmt: skip
