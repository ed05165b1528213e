"""One queue on NATS: a work-queue stream with one consumer, and its dead letters."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import suppress
from typing import TypeVar, cast

from nats.aio.msg import Msg

from cnstra.adapters.nats.client import Client
from cnstra.adapters.nats.connection import Connection, Refused, Unreachable
from cnstra.adapters.nats.dead import MESSAGE_ID, DeadLetters
from cnstra.adapters.nats.diagnosis import findings
from cnstra.adapters.nats.leases import DONE, NOW, Lease, refusal
from cnstra.adapters.nats.location import Location
from cnstra.adapters.nats.names import from_header, to_header
from cnstra.adapters.nats.streams import WORKER, QueueNames, prepare_queue
from cnstra.errors import BrokerUnavailable
from cnstra.jobs.broker import JobState
from cnstra.jobs.diagnosis import Finding
from cnstra.jobs.transport import Incoming, Judge, Limits, Outgoing

T = TypeVar("T")

LONGEST_PUT_BACK = 365 * 24 * 3600.0
HEADERS_ROOM = 8 * 1024
"""Bytes of a message that are left for its headers: its id is in them."""


class NatsTransport:
    """A `Transport`."""

    def __init__(self, place: Location, queue: str) -> None:
        self._place = place
        self._names = QueueNames(place, queue)
        self._client = Client(place, self._prepare, self._hand_on)
        self._dead = DeadLetters(self._client, self._names)
        self._ack_wait = 0.0
        self._leases: set[Lease] = set()
        self._handing_on: set[asyncio.Task[None]] = set()

    @property
    def limits(self) -> Limits:
        return Limits(
            "NATS JetStream",
            max_body=self._client.max_payload - HEADERS_ROOM,
            longest_put_back=LONGEST_PUT_BACK,
        )

    async def open(self) -> None:
        await self._reached(self._client.open())

    async def close(self) -> None:
        leases, self._leases = self._leases, set()
        for lease in leases:
            if not lease.is_over:
                self._give_back(lease.reply)
        await asyncio.gather(*self._handing_on)
        await self._client.close()

    async def diagnose(self) -> Sequence[Finding]:
        return await self._reached(findings(self._client, self._names))

    async def send(self, messages: Sequence[Outgoing]) -> None:
        async def publish(one: Outgoing) -> None:
            headers = {MESSAGE_ID: to_header(one.id)}
            await self._client.publish(self._names.subject, one.body, headers)

        await self._reached(asyncio.gather(*(publish(one) for one in messages)))

    async def take(self, limit: int, *, lease: float, wait: float) -> Sequence[Incoming]:
        return await self._reached(self._take(limit, lease, wait))

    async def keep(self, messages: Sequence[Incoming], lease: float) -> Sequence[bool]:
        renewals = (_lease_of(one).renew(self._client, lease) for one in messages)
        return await self._reached(asyncio.gather(*renewals))

    async def done(self, message: Incoming) -> None:
        await self._reached(self._settle(_lease_of(message), DONE))

    async def put_back(self, message: Incoming, delay: float) -> None:
        await self._reached(self._settle(_lease_of(message), refusal(delay)))

    async def bury(self, message: Incoming, body: bytes) -> None:
        lease = _lease_of(message)
        if not lease.is_over:
            await self._reached(self._dead.put(body, lease.name))
        await self._reached(self._settle(lease, DONE))

    async def sift(self, judge: Judge, limit: int | None = None) -> None:
        await self._reached(self._dead.sift(judge, limit))

    async def sizes(self) -> Mapping[JobState, int]:
        """Those that wait for their delay are among the active: NATS does not tell them apart."""
        where = f"CONSUMER.INFO.{self._names.stream}.{WORKER}"
        consumer, dead = await self._reached(
            asyncio.gather(self._client.api(where), self._dead.size())
        )
        return {
            "waiting": consumer["num_pending"],
            "delayed": 0,
            "active": consumer["num_ack_pending"],
            "dead": dead,
        }

    # --- inside

    async def _prepare(self, connection: Connection) -> None:
        self._ack_wait = await prepare_queue(connection, self._place, self._names)

    async def _take(self, limit: int, lease: float, wait: float) -> list[Incoming]:
        found = await self._client.pull(self._names.next, limit, None)
        try:
            if not found and wait > 0:
                found = await self._client.pull(self._names.next, 1, wait)
                if found and limit > 1:
                    found += await self._client.pull(self._names.next, limit - 1, None)
            return await self._leased(found, lease)
        except BaseException:
            for message in found:
                self._hand_on(message)
            raise

    async def _leased(self, found: Sequence[Msg], duration: float) -> list[Incoming]:
        taken = [_incoming(message, self._ack_wait) for message in found]
        leases = [_lease_of(one) for one in taken]
        if duration != self._ack_wait:
            await asyncio.gather(*(one.renew(self._client, duration) for one in leases))
        self._leases.update(leases)
        return taken

    async def _settle(self, lease: Lease, word: bytes) -> None:
        """Say what becomes of a message, and know that it was heard."""
        if not lease.is_over:
            await self._client.ask(lease.reply, word)
        self._leases.discard(lease)

    def _hand_on(self, message: Msg) -> None:
        """Let others have a message that nobody here waits for any more."""
        self._give_back(message.reply)

    def _give_back(self, reply: str) -> None:
        async def give_back() -> None:
            with suppress(Unreachable):  # then it comes back when its lease is over
                await self._client.ask(reply, NOW)

        task = asyncio.ensure_future(give_back())
        self._handing_on.add(task)
        task.add_done_callback(self._handing_on.discard)

    async def _reached(self, call: Awaitable[T]) -> T:
        try:
            return await call
        except (Unreachable, Refused) as error:
            raise BrokerUnavailable(url=self._place.shown, reason=error) from error


def _incoming(message: Msg, ack_wait: float) -> Incoming:
    lease = Lease.of(message, ack_wait)
    name = (message.headers or {}).get(MESSAGE_ID)
    return Incoming(
        body=message.data,
        id=from_header(name) if name else lease.name,
        sent_at=lease.sent_at,
        handle=lease,
    )


def _lease_of(message: Incoming) -> Lease:
    return cast(Lease, message.handle)
