"""A `Broker` made of any `Transport`: what a job is, on a broker that knows messages only.

With a store, a job's record there is the truth and its message is its turn. Whatever changes is
written to the record and then told to the broker, or sent first and acknowledged last, so that a
death in between leaves a second copy and never none. Without a store the message carries all, and a
copy is a second run.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

import msgspec
from msgspec.structs import replace

from cnstra.clock import Clock
from cnstra.durable.store import ProgressStore, Ticket
from cnstra.engine.tasks import error_to_wire
from cnstra.errors import (
    BrokerUnavailable,
    JobCancelled,
    LeaseLost,
    MessageTooLarge,
    StoreRequired,
    StoreUnavailable,
    Unsupported,
)
from cnstra.jobs.broker import Ahead, Capabilities, Event, JobRecord, JobState, LeaseState, NewJob
from cnstra.jobs.ledger import Entry, Ledger
from cnstra.jobs.limits import RateLimit
from cnstra.jobs.message import Header, Message, read_message
from cnstra.jobs.rates import Window
from cnstra.jobs.records import Records
from cnstra.jobs.settlement import (
    Completed,
    DeadLettered,
    Delivery,
    Lost,
    Requeued,
    Retry,
    Settlement,
)
from cnstra.jobs.transport import Incoming, Outgoing, Transport

logger = logging.getLogger("cnstra.jobs")

POLL = 0.2
"""Seconds after which those who wait for a change look again."""
PAUSE_CHECK = 1.0
"""Seconds after which a worker looks again whether the queue is paused."""
STORE_PAUSE = 1.0
"""Seconds that a message is put aside for while the store that knows its job is away."""


@dataclass(slots=True)
class Held:
    """A job in this process's hands. `incoming` is `None` once it was handed over to the store."""

    message: Message
    incoming: Incoming | None
    lease: float


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
        self._rates = Window(clock)
        self._held: dict[str, Held] = {}
        self._aside: list[tuple[Message, Incoming]] = []
        self._changes = 0
        self._records = Records(transport, queue, self._ledger, store, clock, self._send)
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
        if self._brings_store and self._store is not None:
            await self._store.close()
        await self._transport.close()

    # --- for those who enqueue

    async def enqueue(self, jobs: Sequence[NewJob]) -> Sequence[bool]:
        now = self._clock.time()
        messages: dict[str, Message] = {}
        first: list[bool] = []
        for job in jobs:
            first.append(job.id not in messages)
            messages.setdefault(job.id, Message(Header.of(job, now), job.data))
        accepted = await asyncio.gather(*(self._accept(one) for one in messages.values()))
        await self._send([message for message, _ in accepted if message is not None])
        if self._ledger is not None:
            await asyncio.gather(*(self._ledger.change(job_id, _sent) for job_id in messages))
        self._changes += 1
        new = {job_id for job_id, (_, is_new) in zip(messages, accepted, strict=True) if is_new}
        return [is_first and job.id in new for is_first, job in zip(first, jobs, strict=True)]

    async def _accept(self, message: Message) -> tuple[Message | None, bool]:
        """What is to be sent of a job, if anything, and whether the queue did not hold it yet."""
        if self._ledger is None:
            if message.header.id != message.header.run:
                raise StoreRequired(what="job_id=")
            self._outgoing(message)
            return message, True
        entry, is_new = await self._ledger.accept(message)
        if entry.sent or entry.over:
            return None, False
        return await self._whole(entry, message if is_new else None), is_new

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
        return await asyncio.gather(
            *(
                self._renewed(delivery, None if one is None or one.incoming in lost else one, lease)
                for delivery, one in zip(deliveries, held, strict=True)
            )
        )

    async def settle(
        self,
        delivery: Delivery,
        settlement: Settlement,
        ticket: Ticket | None,
        ahead: Ahead | None = None,
    ) -> Sequence[Delivery]:
        del ticket, ahead
        held = self._held.get(delivery.token)
        if held is not None:
            await self._carry_out(held, settlement)
            self._held.pop(delivery.token, None)
            self._changes += 1
        elif not isinstance(settlement, Lost):
            raise LeaseLost(job_id=delivery.job_id)
        return ()

    async def hand_over(self, delivery: Delivery, lease: float) -> None:
        """Go on with a job under the store's lease, its message acknowledged before it is taken
        away; a copy in the queue takes the job up again should that lease run out.
        """
        held = self._held.get(delivery.token)
        if self._ledger is None or held is None or held.incoming is None:
            return
        until = self._clock.time() + lease
        await self._ledger.change(
            delivery.job_id, lambda one: replace(one, guard=delivery.token, guarded_until=until)
        )
        await self._send([held.message], lease)
        await self._transport.done(held.incoming)
        held.incoming = None

    # --- what becomes of a message that was taken

    async def _admit(self, incoming: Incoming, lease: float) -> Delivery | None:
        """The job of a message, if it is its turn; what else is to be done with it is done."""
        message = read_message(incoming.body, self._queue, incoming.id, incoming.sent_at)
        try:
            found = await self._turn(message, incoming)
        except (StoreUnavailable, BrokerUnavailable) as error:
            logger.warning("Job %r is put aside: %s", message.header.id, error)
            self._aside.append((message, incoming))
            return None
        except Exception as error:
            logger.exception(
                "Job %r has no readable record; it is dead-lettered.", message.header.id
            )
            await self._transport.bury(incoming, message.changed(error=error_to_wire(error)).body())
            return None
        if found is None:
            return None
        token = self._clock.new_id()
        self._held[token] = Held(found, incoming, lease)
        return _delivery(found, token)

    async def _give_back_aside(self) -> None:
        """Give back what could not be judged, as its store or broker was away."""
        while self._aside:
            await self._later(*self._aside[-1], STORE_PAUSE)
            self._aside.pop()

    async def _turn(self, message: Message, incoming: Incoming) -> Message | None:
        """The job as its record has it; `None` if this message is not its turn and was seen to."""
        now = self._clock.time()
        due_at = message.header.run_at or 0.0
        if self._ledger is not None:
            entry = await self._entry(self._ledger, message)
            if entry.over or message.header.generation < entry.header.generation:
                await self._transport.done(incoming)
                return None
            if entry.cancelled:
                entry = await self._end(self._ledger, entry, error_to_wire(JobCancelled()))
            if entry.dead_since is not None:
                dead = message.changed(attempts=entry.header.attempts, error=entry.header.error)
                await self._transport.bury(incoming, dead.body())
                return None
            due_at = max(entry.guarded_until, entry.header.run_at or 0.0)
            if due_at <= now and entry.guard is not None:
                entry = await self._ledger.change(entry.header.id, _unguarded) or entry
            message = await self._whole(entry, message)
        if due_at > now:
            await self._later(message, incoming, due_at - now)
            return None
        return message

    async def _entry(self, ledger: Ledger, message: Message) -> Entry:
        """The job's record; that of a job which others put there is made now."""
        words = replace(message.header, progress=None, elsewhere=False)
        entry, _ = await ledger.accept(Message(words, message.data), sent=True)
        if entry.over or message.header.generation <= entry.header.generation:
            return entry
        return await ledger.change(words.id, lambda one: _outgrown(one, words)) or entry

    async def _whole(self, entry: Entry, message: Message | None) -> Message:
        """The job with the words of its record, and its data, wherever that is."""
        assert self._ledger is not None
        data = message.data if message is not None else b""
        if not data:
            data = await self._ledger.data(entry.header.id) or b""
        return Message(entry.header, data)

    async def _renewed(self, delivery: Delivery, held: Held | None, lease: float) -> LeaseState:
        """Whether a job is still ours, and still to be done."""
        if held is None or self._ledger is None:
            return "lost" if held is None else "kept"
        until = self._clock.time() + lease

        def prolong(one: Entry) -> Entry:
            return replace(one, guarded_until=until) if one.guard == delivery.token else one

        try:
            if held.incoming is None:
                entry = await self._ledger.change(delivery.job_id, prolong)
            else:
                entry = await self._ledger.look(delivery.job_id)
        except StoreUnavailable:
            return "kept"
        if entry is None or entry.over:
            return "lost"
        if held.incoming is None and entry.guard != delivery.token:
            return "lost"
        return "cancelled" if entry.cancelled or entry.dead_since is not None else "kept"

    # --- what becomes of a job

    async def _carry_out(self, held: Held, settlement: Settlement) -> None:
        made = held.message.header.attempts + 1
        match settlement:
            case Completed():
                if self._ledger is not None:
                    await self._ledger.close(held.message.header.id, "completed")
                if held.incoming is not None:
                    await self._transport.done(held.incoming)
            case Retry(delay, progress, error):
                await self._again(held, delay, progress, attempts=made, error=dict(error))
            case Requeued(progress, delay):
                await self._again(held, delay, progress)
            case DeadLettered(error, progress):
                await self._bury(held, progress, attempts=made, error=dict(error))
            case Lost():
                if held.incoming is not None:
                    await self._later(held.message, held.incoming, held.lease)

    async def _again(self, held: Held, delay: float, progress: bytes | None, **words: Any) -> None:
        """Have the job run again in `delay` seconds, with these words about it."""
        words["run_at"] = self._clock.time() + delay if delay > 0 else None
        header, incoming = held.message.header, held.incoming
        in_place = incoming is None or self._can_put_back(delay)
        if self._ledger is not None and in_place:
            await self._ledger.change(header.id, lambda one: _unguarded(_reworded(one, words)))
            if incoming is not None:
                await self._put_back(incoming, delay)
            return
        if self._ledger is None and progress is not None:
            words["progress"] = msgspec.Raw(progress)
        message = held.message.changed(generation=header.generation + 1, **words)
        await self._send([message], delay)
        if self._ledger is not None:
            await self._ledger.change(header.id, lambda one: _outgrown(one, message.header))
        if incoming is not None:
            await self._transport.done(incoming)

    async def _bury(self, held: Held, progress: bytes | None, **words: Any) -> None:
        """Put the job into the dead letters, with these words about it."""
        if self._ledger is not None:
            entry = Entry(header=replace(held.message.header, **words))
            await self._end(self._ledger, entry, words["error"])
        elif progress is not None:
            words["progress"] = msgspec.Raw(progress)
        if held.incoming is not None:
            await self._transport.bury(held.incoming, held.message.changed(**words).body())

    async def _end(self, ledger: Ledger, entry: Entry, error: Mapping[str, Any]) -> Entry:
        """Note that a job is dead, since now."""
        words = {"attempts": entry.header.attempts, "error": dict(error), "run_at": None}
        since = self._clock.time()

        def end(one: Entry) -> Entry:
            if one.dead_since is not None:
                return one
            dead = replace(one, dead_since=since, cancelled=False)
            return _unguarded(_reworded(dead, words))

        return await ledger.change(entry.header.id, end) or entry

    # --- sending

    async def _send(self, messages: Sequence[Message], delay: float | None = None) -> None:
        if messages:
            await self._transport.send([self._outgoing(one, delay) for one in messages])

    def _outgoing(self, message: Message, delay: float | None = None) -> Outgoing:
        """Raises `MessageTooLarge` where there is no store to keep what is too large."""
        limits = self._transport.limits
        body = message.body()
        if limits.max_body is not None and len(body) > limits.max_body:
            if self._ledger is None:
                raise MessageTooLarge(
                    job_id=message.header.id,
                    size=len(body),
                    broker=limits.name,
                    limit=limits.max_body,
                )
            body = message.changed(elsewhere=True).body()
        header = message.header
        if delay is None:
            delay = max(0.0, (header.run_at or 0.0) - self._clock.time())
        return Outgoing(
            body,
            id=f"{header.run}#{header.generation}",
            delay=min(delay, limits.longest_delay),
            priority=header.priority,
            ordering_key=header.ordering_key,
        )

    def _can_put_back(self, delay: float) -> bool:
        longest = self._transport.limits.longest_put_back
        return longest is not None and (longest > 0 or delay <= 0)

    async def _put_back(self, incoming: Incoming, delay: float) -> None:
        longest = self._transport.limits.longest_put_back or 0.0
        await self._transport.put_back(incoming, min(max(delay, 0.0), longest))

    async def _later(self, message: Message, incoming: Incoming, delay: float) -> None:
        """Have the same message there again in `delay` seconds, or before."""
        if self._can_put_back(delay):
            await self._put_back(incoming, delay)
        else:
            await self._send([message], delay)
            await self._transport.done(incoming)

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


def _unguarded(entry: Entry) -> Entry:
    return replace(entry, guard=None, guarded_until=0.0)


def _reworded(entry: Entry, words: Mapping[str, Any]) -> Entry:
    return replace(entry, header=replace(entry.header, **words))


def _outgrown(entry: Entry, header: Header) -> Entry:
    """The record once a message of a later generation is out, whoever writes it down."""
    if entry.header.generation >= header.generation:
        return entry
    return replace(_unguarded(entry), header=header, sent=True, dead_since=None)


def _delivery(message: Message, token: str) -> Delivery:
    header = message.header
    return Delivery(
        job_id=header.id,
        data=message.data,
        token=token,
        run=header.run,
        attempts_made=header.attempts,
        max_attempts=header.max_attempts,
        backoff=header.backoff,
        generation=header.generation,
        created_at=header.created_at,
        priority=header.priority,
        progress=None if header.progress is None else bytes(header.progress),
    )
