"""RabbitMQ as a broker of messages: quorum queues, confirmed publishes, acknowledged last."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import uuid4

from aio_pika.abc import AbstractIncomingMessage

from cnstra.adapters.rabbitmq.link import Link
from cnstra.adapters.rabbitmq.location import Location
from cnstra.adapters.rabbitmq.names import TIERS, Names
from cnstra.adapters.rabbitmq.publishing import Publisher
from cnstra.adapters.rabbitmq.queues import Queues
from cnstra.adapters.rabbitmq.sifting import sift
from cnstra.adapters.rabbitmq.slot import Slot
from cnstra.adapters.rabbitmq.taking import UNTAKEN, Taker
from cnstra.adapters.rabbitmq.wire import id_of, message_of, sent_at
from cnstra.errors import BrokerUnavailable
from cnstra.jobs.broker import JobState
from cnstra.jobs.diagnosis import Finding
from cnstra.jobs.transport import Incoming, Judge, Limits, Outgoing


@dataclass(frozen=True, slots=True)
class Held:
    """A message, and the slot that holds it until it has another one, or none."""

    slot: Slot
    message: AbstractIncomingMessage

    @property
    def is_ours(self) -> bool:
        return self.slot.is_open and self.slot.message is self.message


class RabbitTransport:
    """One queue of a RabbitMQ; a `Transport`.

    Two connections: one that publishes, which RabbitMQ makes wait while its memory or disk is full,
    and one that takes and acknowledges, which it then does not.
    """

    def __init__(self, queue: str, location: Location) -> None:
        self._names = Names(queue)
        self._location = location
        self._link = Link(location)
        self._publishing = Link(location)
        self._queues = Queues(self._link, self._names, location)
        self._publisher = Publisher(self._publishing, self._queues, location)
        self._taker = Taker(self._link, queue, self._queues)
        self._sifting = asyncio.Lock()

    @property
    def limits(self) -> Limits:
        timeout = self._location.consumer_timeout
        return Limits(
            name="RabbitMQ",
            max_body=self._location.max_message_size,
            longest_delay=TIERS[-1] / 1000,
            longest_put_back=0.0,
            longest_lease=None if timeout is None else timeout - UNTAKEN,
        )

    async def open(self) -> None:
        await self._queues.make(self._names.dead, self._names.main)

    async def close(self) -> None:
        await self._taker.close()
        await self._link.close()
        await self._publishing.close()

    async def diagnose(self) -> Sequence[Finding]:
        timeout = self._location.consumer_timeout
        given = "none" if timeout is None else f"{timeout:g} s"
        return [
            Finding("ok", "rabbitmq", await self._link.server()),
            Finding(
                "ok",
                "rabbitmq",
                f"consumer_timeout is taken to be {given}: if rabbitmq.conf says otherwise, say so "
                "in the URL, as ?consumer_timeout=SECONDS, or jobs are taken away while they run",
            ),
        ]

    # --- sending

    async def send(self, messages: Sequence[Outgoing]) -> None:
        sent = await asyncio.gather(
            *(self._send(message) for message in messages), return_exceptions=True
        )
        failed = [outcome for outcome in sent if outcome is not None]
        if failed:
            raise min(failed, key=_may_be_mended)

    async def _send(self, message: Outgoing) -> None:
        route = self._names.route(message.delay)
        await self._publisher.publish(route, message_of(message.body, message.id))

    # --- taking

    async def take(self, limit: int, *, lease: float, wait: float) -> Sequence[Incoming]:
        """The lease is RabbitMQ's own: `consumer_timeout`, and as long as the connection lives."""
        taken: list[Incoming] = []
        for slot in await self._taker.take(limit, wait):
            message = slot.message
            if message is None:
                continue
            held = Held(slot, message)
            if (name := id_of(message)) is None:
                await self._name(held)
            else:
                taken.append(Incoming(message.body, name, sent_at(message), held))
        return taken

    async def _name(self, held: Held) -> None:
        """Put a message that its sender gave no id back with one: it must be the same each time it
        is delivered.
        """
        message = message_of(held.message.body, uuid4().hex, sent_at(held.message))
        try:
            await self._publisher.publish(self._names.main, message)
        except BaseException:
            await held.slot.close()
            raise
        await self._acknowledge(held)

    async def keep(self, messages: Sequence[Incoming], lease: float) -> Sequence[bool]:
        """Whether each is still ours: what RabbitMQ gives for good cannot be extended."""
        return await asyncio.gather(*(self._is_ours(message) for message in messages))

    async def _is_ours(self, message: Incoming) -> bool:
        held = _held(message)
        return held.is_ours and await held.slot.holds(held.message)

    async def done(self, message: Incoming) -> None:
        await self._acknowledge(_held(message))

    async def put_back(self, message: Incoming, delay: float) -> None:
        held = _held(message)
        if held.is_ours:
            await held.slot.close()

    async def _acknowledge(self, held: Held) -> None:
        if held.is_ours:
            await self._taker.done(held.slot)

    # --- dead letters

    async def bury(self, message: Incoming, body: bytes) -> None:
        await self._publisher.publish(self._names.dead, message_of(body, message.id))
        await self.done(message)

    async def sift(self, judge: Judge, limit: int | None = None) -> None:
        async with self._sifting:
            await self._queues.make(self._names.dead)
            await sift(self._link, self._names.dead, judge, limit)

    async def sizes(self) -> Mapping[JobState, int]:
        """What is active is known to each worker alone.

        What comes due meanwhile is counted, if twice: the waits are looked at first.
        """
        delayed = await self._queues.size_of_waits()
        return {
            "waiting": await self._queues.size(self._names.main) or 0,
            "delayed": delayed,
            "dead": await self._queues.size(self._names.dead) or 0,
        }


def _may_be_mended(error: BaseException) -> bool:
    return isinstance(error, BrokerUnavailable)


def _held(message: Incoming) -> Held:
    assert isinstance(message.handle, Held)
    return message.handle
