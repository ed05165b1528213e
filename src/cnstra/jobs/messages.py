"""A `Broker` made of any `Transport`: what a job is, on a broker that knows messages only.

With a store, a job's record there is the truth and its message is its turn. Whatever changes is
written to the record and then told to the broker, or sent first and acknowledged last, so that a
death in between leaves a second copy and never none. Without a store the message carries all, and a
copy is a second run.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from math import inf

from msgspec.structs import replace

from cnstra.clock import Clock
from cnstra.durable.store import ProgressStore, Ticket
from cnstra.engine.tasks import error_to_wire
from cnstra.errors import (
    BrokerUnavailable,
    LeaseLost,
    StoreRequired,
    StoreUnavailable,
    Unsupported,
)
from cnstra.jobs.broker import Ahead, Capabilities, Event, JobRecord, JobState, LeaseState, NewJob
from cnstra.jobs.diagnosis import Diagnoses, Finding
from cnstra.jobs.ledger import Entry, Ledger
from cnstra.jobs.limits import RateLimit
from cnstra.jobs.message import Header, Message, read_message
from cnstra.jobs.post import Post
from cnstra.jobs.rates import Window
from cnstra.jobs.records import Records
from cnstra.jobs.settlement import Delivery, Lost, Settlement
from cnstra.jobs.transport import Incoming, Transport
from cnstra.jobs.turns import Turn, Turns

logger = logging.getLogger("cnstra.jobs")

POLL = 0.2
"""Seconds after which those who wait for a change look again."""
PAUSE_CHECK = 1.0
"""Seconds after which a worker looks again whether the queue is paused."""
SENDING = 5.0
"""Seconds that whoever enters a job has for sending it, before others do who ask for the same."""
GLANCE = 0.05
"""Seconds after which those who wait for that look again."""
SWEPT_WITHIN = 1.0
"""Seconds for which who counts waits for the letters of redriven jobs to be swept out."""
STORE_PAUSE = 1.0
"""Seconds that a message is put aside for while the store that knows its job is away."""


class MessageBroker:
    """One queue of a broker of messages; a `Broker`.

    store: where records, progress and results are kept; `None`: nowhere. brings_store: the store is
    the broker's own, opened and closed with it.
    """

    def __init__(
        self,
        transport: Transport,
        queue: str,
        clock: Clock,
        keep_results: float,
        store: ProgressStore | None,
        *,
        brings_store: bool = False,
    ) -> None:
        self._transport = transport
        self._queue = queue
        self._clock = clock
        self._store = store
        self._brings_store = brings_store
        self._ledger = None if store is None else Ledger(queue, store, clock, keep_results)
        self._post = Post(transport, clock, has_store=store is not None)
        self._turns = Turns(transport, self._post, self._ledger, clock)
        self._records = Records(transport, queue, self._ledger, store, clock, self._post)
        self._rates = Window(clock)
        self._held: dict[str, Turn] = {}
        self._aside: list[tuple[Message, Incoming]] = []
        self._changes = 0
        self._is_paused, self._looked_at = False, -inf

    @property
    def capabilities(self) -> Capabilities:
        limits = self._transport.limits
        return Capabilities(
            atomic_settlement=False,
            own_store=self._brings_store,
            shared_rate_limit=False,
            priorities=limits.priorities,
            carries_progress=self._store is None,
            longest_lease=limits.longest_lease,
            hands_over=self._store is not None and limits.longest_lease is not None,
            ordering=limits.ordering,
            lists=("dead",),
            events=False,
        )

    @property
    def store(self) -> ProgressStore | None:
        return self._store if self._brings_store else None

    async def open(self) -> None:
        await self._transport.open()
        if self._brings_store and self._store is not None:
            await self._store.open()

    async def close(self) -> None:
        await self._records.settled()
        if self._brings_store and self._store is not None:
            await self._store.close()
        await self._transport.close()

    async def diagnose(self) -> Sequence[Finding]:
        transport = self._transport
        return await transport.diagnose() if isinstance(transport, Diagnoses) else ()

    # --- for those who enqueue

    async def enqueue(self, jobs: Sequence[NewJob]) -> Sequence[bool]:
        now = self._clock.time()
        messages: dict[str, Message] = {}
        first: list[bool] = []
        for job in jobs:
            first.append(job.id not in messages)
            messages.setdefault(job.id, Message(Header.of(job, now), job.data))
        accepted = await asyncio.gather(*(self._accept(one) for one in messages.values()))
        sent = [message for message, _ in accepted if message is not None]
        try:
            await self._post.send(sent)
        except Exception:
            await asyncio.gather(*(self._take_back(one) for one, is_new in accepted if is_new))
            raise
        if self._ledger is not None:
            named = [job_id for job_id, one in messages.items() if not one.has_minted_id]
            await asyncio.gather(*(self._ledger.change(job_id, _sent) for job_id in named))
        self._changes += 1
        new = {job_id for job_id, (_, is_new) in zip(messages, accepted, strict=True) if is_new}
        return [is_first and job.id in new for is_first, job in zip(first, jobs, strict=True)]

    async def _accept(self, message: Message) -> tuple[Message | None, bool]:
        """What is to be sent of a job, if anything, and whether the queue did not hold it yet."""
        if self._ledger is None:
            if not message.has_minted_id:
                raise StoreRequired(what="job_id=")
            self._post.check(message)
            return message, True
        entry, is_new = await self._ledger.accept(message)
        if not is_new:
            entry = await self._once_sent(self._ledger, entry)
        if not is_new and (entry.over or (entry.sent and not message.has_minted_id)):
            return None, False
        return await self._turns.whole(entry, message if is_new else None), is_new

    async def _take_back(self, message: Message | None) -> None:
        """Drop the record of a job that the broker refused, if nobody else can name it.

        Its message may have arrived all the same. Then it is enough to enter the job again, unless
        its data is in the record; and nothing is dropped that a worker has begun with.
        """
        ledger, store = self._ledger, self._store
        if ledger is None or store is None or message is None or not message.has_minted_id:
            return
        if not self._post.carries_all(message):
            return
        header = message.header
        with suppress(StoreUnavailable):
            is_untouched = await ledger.look(header.id) == Entry(header=header, sent=True)
            if is_untouched and await store.peek(header.run) is None:
                await ledger.forget(header.id)

    async def _once_sent(self, ledger: Ledger, entry: Entry) -> Entry:
        """The record, once whoever entered the job has sent it, or has had the time to."""
        age = self._clock.time() - entry.header.created_at
        ends_at = self._clock.monotonic() + SENDING - max(age, 0.0)
        while not (entry.sent or entry.over) and self._clock.monotonic() < ends_at:
            await self._clock.sleep(GLANCE)
            entry = await ledger.look(entry.header.id) or entry
        return entry

    # --- for a worker

    async def receive(
        self, limit: int, *, lease: float, wait: float, rate: RateLimit | None
    ) -> Sequence[Delivery]:
        if await self._pauses():
            await self._clock.sleep(min(wait, POLL))
            return ()
        room = self._rates.room(rate, limit)
        if room <= 0 and rate is not None:
            await self._clock.sleep(min(wait, self._rates.opens_in(rate)))
            return ()
        await self._give_back_aside()
        taken = await self._transport.take(room, lease=lease, wait=wait)
        admitted = await asyncio.gather(*(self._admit(one, lease) for one in taken))
        deliveries = [one for one in admitted if one is not None]
        self._rates.count(len(deliveries))
        return deliveries

    async def renew(self, deliveries: Sequence[Delivery], lease: float) -> Sequence[LeaseState]:
        held = [self._held.get(one.token) for one in deliveries]
        incoming = [one.incoming for one in held if one is not None and one.incoming is not None]
        kept = await self._transport.keep(incoming, lease)
        lost = {one for one, still in zip(incoming, kept, strict=True) if not still}

        async def renewed(turn: Turn | None) -> LeaseState:
            if turn is None or turn.incoming in lost:
                return "lost"
            return await self._turns.renew(turn, lease)

        return await asyncio.gather(*map(renewed, held))

    async def settle(
        self,
        delivery: Delivery,
        settlement: Settlement,
        ticket: Ticket | None,
        ahead: Ahead | None = None,
    ) -> Sequence[Delivery]:
        del ticket, ahead
        turn = self._held.get(delivery.token)
        if turn is not None:
            await self._turns.settle(turn, settlement)
            self._held.pop(delivery.token, None)
            self._changes += 1
        elif not isinstance(settlement, Lost):
            raise LeaseLost(job_id=delivery.job_id)
        return ()

    async def hand_over(self, delivery: Delivery, lease: float) -> None:
        """Go on with a job under the store's lease, its message acknowledged before it is taken
        away; a copy in the queue takes the job up again should that lease run out.
        """
        turn = self._held.get(delivery.token)
        if turn is not None:
            await self._turns.hand_over(turn, lease)

    async def _admit(self, incoming: Incoming, lease: float) -> Delivery | None:
        """The job of a message, if it is its turn; what else is to be done with it is done."""
        message = read_message(incoming.body, self._queue, incoming.id, incoming.sent_at)
        try:
            job = await self._job_of(message, incoming)
        except (StoreUnavailable, BrokerUnavailable) as error:
            logger.warning("Job %r is put aside: %s", message.header.id, error)
            self._aside.append((message, incoming))
            return None
        if job is None:
            return None
        turn = Turn(self._clock.new_id(), job, incoming, lease)
        self._held[turn.token] = turn
        return _delivery(turn)

    async def _job_of(self, message: Message, incoming: Incoming) -> Message | None:
        try:
            return await self._turns.job_of(message, incoming)
        except (StoreUnavailable, BrokerUnavailable):
            raise
        except Exception as error:
            logger.exception("Job %r has no readable record: it is dead.", message.header.id)
            await self._post.bury(incoming, message.changed(error=error_to_wire(error)))
            return None

    async def _give_back_aside(self) -> None:
        """Give back what could not be judged, as its store or broker was away."""
        while self._aside:
            await self._post.later(*self._aside[-1], STORE_PAUSE)
            self._aside.pop()

    # --- for people

    async def get(self, job_id: str) -> JobRecord | None:
        return await self._records.get(job_id)

    async def jobs(
        self, state: JobState | None = None, *, limit: int = 100, offset: int = 0
    ) -> Sequence[JobRecord]:
        if state != "dead":
            what = "listing jobs" if state is None else f"listing {state} jobs"
            remedy = 'list the state "dead", or ask for a job by its id'
            raise Unsupported(what=what, broker=self._transport.limits.name, remedy=remedy)
        return (await self._records.dead(limit + offset))[offset:]

    async def counts(self) -> Mapping[JobState, int]:
        await self._records.settled(SWEPT_WITHIN)
        return await self._transport.sizes()

    async def pause(self) -> None:
        await self._set_paused(True)

    async def resume(self) -> None:
        await self._set_paused(False)

    async def paused(self) -> bool:
        return self._ledger is not None and await self._ledger.paused()

    async def cancel(self, job_id: str) -> bool:
        return await self._records.cancel(job_id)

    async def redrive(self, job_id: str) -> bool:
        return await self._records.redrive(job_id)

    async def remove(self, job_id: str) -> bool:
        return await self._records.remove(job_id)

    async def events(self, after: int | None, *, limit: int = 1000) -> Sequence[Event]:
        remedy = "ask for a job by its id"
        raise Unsupported(what="events", broker=self._transport.limits.name, remedy=remedy)

    async def watch(self, timeout: float, since: int | None = None) -> int:
        if since is None or since == self._changes:
            await self._clock.sleep(min(timeout, POLL))
        return self._changes

    async def _set_paused(self, paused: bool) -> None:
        if self._ledger is None:
            raise StoreRequired(what="pausing a queue")
        await self._ledger.pause(paused)
        self._looked_at = -inf

    async def _pauses(self) -> bool:
        """Whether the queue is paused, as of a moment ago."""
        now = self._clock.monotonic()
        if now - self._looked_at >= PAUSE_CHECK:
            self._is_paused = await self.paused()
            self._looked_at = now
        return self._is_paused


def _sent(entry: Entry) -> Entry:
    return replace(entry, sent=True)


def _delivery(turn: Turn) -> Delivery:
    header = turn.message.header
    return Delivery(
        job_id=header.id,
        data=turn.message.data,
        token=turn.token,
        run=header.run,
        attempts_made=header.attempts,
        max_attempts=header.max_attempts,
        backoff=header.backoff,
        generation=header.generation,
        created_at=header.created_at,
        priority=header.priority,
        progress=header.carried,
    )
