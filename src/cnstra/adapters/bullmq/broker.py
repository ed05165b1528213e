"""A queue of BullMQ's."""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from itertools import count
from math import inf
from typing import Any

from cnstra.adapters.bullmq.client import Client
from cnstra.adapters.bullmq.connection import CHUNK, Part, Refused, Unreachable, refusal
from cnstra.adapters.bullmq.diagnosis import findings
from cnstra.adapters.bullmq.events import LOOK_AHEAD, events_in, number_of, stream_id
from cnstra.adapters.bullmq.following import LONGEST_BLOCK, Follower, Marker
from cnstra.adapters.bullmq.iterations import iteration_after
from cnstra.adapters.bullmq.leases import Lease, origin_of
from cnstra.adapters.bullmq.location import Location
from cnstra.adapters.bullmq.names import candidates, decode_id, encode_id, queue_prefix
from cnstra.adapters.bullmq.options import (
    JobOptions,
    keep_of,
    milliseconds,
    options_for,
    options_of,
)
from cnstra.adapters.bullmq.runs import RUN_TIME, RunStore
from cnstra.adapters.bullmq.scripts import script
from cnstra.adapters.bullmq.settling import (
    CANCELLED,
    CANCELLED_FIELDS,
    NOT_ACTIVE,
    OTHER_REFUSAL,
    REFUSALS,
    completion_options,
    doom_of,
    ending_of,
    lease_options,
    packed,
)
from cnstra.adapters.bullmq.wire import (
    Fields,
    delivery_of,
    encode_args,
    fields_of,
    has_died,
    lock_of,
    names_its_run,
    number_in,
    proof_of,
    record_of,
    run_of,
    without_crashes,
)
from cnstra.clock import Clock
from cnstra.durable.store import Saved, Ticket
from cnstra.errors import BrokerRefused, BrokerUnavailable, Fenced, LeaseLost
from cnstra.jobs.broker import (
    JOB_STATES,
    Ahead,
    Capabilities,
    Event,
    JobRecord,
    JobState,
    LeaseState,
    NewJob,
)
from cnstra.jobs.diagnosis import Finding
from cnstra.jobs.limits import RateLimit
from cnstra.jobs.settlement import (
    Completed,
    DeadLettered,
    Delivery,
    Lost,
    Requeued,
    Settlement,
    WireError,
)

logger = logging.getLogger("cnstra.jobs")

LEASE_STATES: tuple[LeaseState, ...] = ("lost", "cancelled", "kept")
LONGEST_UNCHECKED = 5.0
CHECKS_PER_LEASE = 6
CAPABILITIES = Capabilities(
    atomic_settlement=True,
    own_store=True,
    shared_rate_limit=True,
    priorities=True,
    carries_progress=True,
    completes_together=CHUNK,
)
CANCEL_OPTIONS = {"token": "0", "attempts": 1, "maxMetricsSize": ""}


def stranger(delivery: Delivery) -> Lease:
    """The lease of a delivery that this broker has not made."""
    native, token = lock_of(delivery)
    return Lease(
        {}, JobOptions(), 30.0, native, token, delivery.token, delivery.run, 0, None,
        afresh=True, is_stored=True,
    )  # fmt: skip


class BullMQBroker:
    """One queue; a `Broker`. Node's workers and dashboards see ordinary jobs of BullMQ's."""

    def __init__(self, queue: str, location: Location, clock: Clock, keep_results: float) -> None:
        self._base = queue_prefix(queue)
        self._location = location
        self._clock = clock
        self._keep_results = keep_results
        self._client = Client(location)
        self._marker = Marker(Client(location, patience=3 * LONGEST_BLOCK), self._key("marker"))
        self._follower = Follower(Client(location, patience=3 * LONGEST_BLOCK), self._key("events"))
        self._store = RunStore(
            self._client, self._base + b"cnstra:run:", clock, base=self._base, owns_client=False
        )
        self._who = f"{socket.gethostname()}:{os.getpid()}:{os.urandom(6).hex()}".encode()
        self._leased = count(1)
        self._checked_at = -inf
        self._unheard: dict[bytes, float] = {}
        self._unwanted: set[asyncio.Future[Any]] = set()

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES

    @property
    def store(self) -> RunStore:
        return self._store

    async def open(self) -> None:
        async with self._reached():
            await self._client.open()
        self._marker.open()
        self._follower.open()

    async def close(self) -> None:
        await self._marker.close()
        await self._follower.close()
        await self._client.close()

    async def diagnose(self) -> Sequence[Finding]:
        async with self._reached():
            return await findings(self._client, self._clock)

    # --- for those who enqueue

    async def enqueue(self, jobs: Sequence[NewJob]) -> Sequence[bool]:
        now = milliseconds(self._clock)
        parts: list[Any] = []
        for job in jobs:
            parts += self._new_job(job, now)
        accepted = await self._run("enqueue", now, now - round(self._keep_results * 1000), *parts)
        return [bool(each) for each in accepted]

    def _new_job(self, job: NewJob, now: int) -> list[Any]:
        delay = 0 if job.run_at is None else max(0, round(job.run_at * 1000) - now)
        names_run = names_its_run(job.data, job.run)
        options = options_for(job, delay, self._keep_results, names_run=names_run)
        kind = "delayed" if delay else "prioritized" if options.get("priority") else "standard"
        arguments = [self._base, encode_id(job.id), "cnstra", now, None, None, None, None, None]
        urgency = job.priority if job.priority > 0 else ""
        return [
            encode_id(job.id),
            kind,
            urgency,
            encode_args(arguments),
            job.data,
            encode_args(options),
        ]

    # --- for a worker

    async def receive(
        self, limit: int, *, lease: float, wait: float, rate: RateLimit | None
    ) -> Sequence[Delivery]:
        ends_at = self._clock.monotonic() + wait
        while True:
            while self._unwanted:
                await asyncio.wait(self._unwanted)
            check_every = min(LONGEST_UNCHECKED, lease / CHECKS_PER_LEASE)
            await self._recover(check_every)
            deliveries, due_in, is_limited = await self._take(limit, lease, rate)
            left = ends_at - self._clock.monotonic()
            if deliveries or left <= 0:
                return deliveries
            duration = max(min(left, due_in, check_every), 0.001)
            await self._marker.wait(self._clock, duration, listen=not is_limited)

    async def renew(self, deliveries: Sequence[Delivery], lease: float) -> Sequence[LeaseState]:
        locks = [part for delivery in deliveries for part in lock_of(delivery)]
        found: list[int] = await self._run("renew", round(lease * 1000), *locks)
        states: list[LeaseState] = [LEASE_STATES[state] for state in found]
        for delivery, state in zip(deliveries, states, strict=True):
            if state == "lost":
                self._forget(delivery)
        return states

    async def settle(
        self,
        delivery: Delivery,
        settlement: Settlement,
        ticket: Ticket | None,
        ahead: Ahead | None = None,
    ) -> Sequence[Delivery]:
        if isinstance(settlement, Lost):
            self._forget(delivery)
            return ()
        if isinstance(settlement, Completed):
            (outcome,) = await self.complete([(delivery, settlement, ticket)], ahead)
            if isinstance(outcome, Exception):
                raise outcome
            return outcome
        held = self._held(delivery)
        token, next_options = self._lease_options(ahead) if ahead else (b"", b"")
        ending = ending_of(settlement, held.fields, held.options)
        fields, changes = ending.fields_for(delivery, held.token)
        settling = self._run(
            "settle", held.native, held.token, ending.kind, milliseconds(self._clock),
            ending.value, fields,
            packed(ending.options(held.options.max_attempts), held.token), ending.delay,
            round(held.duration * 1000), *self._last_write(held, ticket), int(changes),
            ending.told(), RUN_TIME, CANCELLED, CANCELLED_FIELDS, next_options,
        )  # fmt: skip
        try:
            answer = await settling
        except BrokerUnavailable:
            if ahead is not None:
                self._is_unheard(token, ahead.lease)
            raise
        return await self._concluded(delivery, ticket, answer, token, ahead)

    async def complete(
        self, over: Sequence[tuple[Delivery, Completed, Ticket | None]], ahead: Ahead | None
    ) -> Sequence[Sequence[Delivery] | Exception]:
        held = [self._held(delivery) for delivery, _, _ in over]
        parts: list[Part] = []
        for lease, (_, settlement, ticket) in zip(held, over, strict=True):
            options = completion_options(lease.fields.get(b"opts"), ahead)
            parts += (
                lease.native, lease.token, settlement.result, packed(options, lease.token),
                1 if ahead else 0, *self._last_write(lease, ticket), round(lease.duration * 1000),
            )  # fmt: skip
        try:
            answers = await self._client.run(
                script("complete"), self._base, milliseconds(self._clock), *parts,
                is_chunk=len(over) == CHUNK,
            )  # fmt: skip
        except Exception as error:
            return [self._as_ours(error)] * len(over)
        return [
            await self._completed(delivery, ticket, answer, lease.token, ahead)
            for (delivery, _, ticket), lease, answer in zip(over, held, answers, strict=True)
        ]

    async def _completed(
        self,
        delivery: Delivery,
        ticket: Ticket | None,
        answer: list[Any],
        token: bytes,
        ahead: Ahead | None,
    ) -> Sequence[Delivery] | Exception:
        if answer[0] == b"error":
            return self._as_ours(refusal(answer[1].decode("utf-8", "replace")))
        if answer[0] == b"repeated":
            self._is_unheard(token, 0.0)
        try:
            return await self._concluded(delivery, ticket, answer, token, ahead)
        except Exception as error:
            return error

    async def _concluded(
        self,
        delivery: Delivery,
        ticket: Ticket | None,
        answer: list[Any],
        token: bytes,
        ahead: Ahead | None,
    ) -> Sequence[Delivery]:
        """What came of a settlement; `token` has the lease of the next job."""
        verdict = answer[0]
        if verdict == b"fenced":
            found = int(answer[1])
            raise Fenced(run=delivery.run, epoch=ticket.epoch if ticket else 0, found=found)
        if verdict == b"refused" and answer[1] != NOT_ACTIVE:
            raise self._refused(delivery, answer[1])
        self._forget(delivery)
        if verdict not in (b"done", b"repeated"):
            raise LeaseLost(job_id=delivery.job_id)
        if ahead is None or len(answer) < 2:
            return ()
        deliveries, _, _ = await self._delivered(answer[1:], token, ahead.lease)
        return deliveries

    def _last_write(self, held: Lease, ticket: Ticket | None) -> tuple[Part, Part, Part]:
        """Where the run is kept, if it may be, and the epoch and number of its last write."""
        run = self._store.key(held.run) if held.is_stored else b""
        return (run, ticket.epoch, ticket.seq) if ticket else (run, "", 0)

    async def _recover(self, every: float) -> None:
        """Make due again what leases held that have run out."""
        now = self._clock.monotonic()
        if now - self._checked_at < every:
            return
        options = encode_args({**CANCEL_OPTIONS, "keepJobs": {"count": -1}})
        unheard, held = list(self._unheard), self._store.leases.values()
        await self._run(
            "recover", milliseconds(self._clock), CANCELLED, CANCELLED_FIELDS, options,
            len(unheard), *unheard, *(lease.native for lease in held if lease.token in unheard),
        )  # fmt: skip
        self._checked_at = now
        self._unheard = {token: until for token, until in self._unheard.items() if until > now}

    def _is_unheard(self, token: bytes, duration: float) -> None:
        """The answer was lost that told what this token leased: whatever it was is given back.

        That is looked for now, and for so many seconds: the request may still be on its way.
        """
        self._unheard[token] = self._clock.monotonic() + duration
        self._checked_at = -inf

    def _lease_options(self, ahead: Ahead) -> tuple[bytes, bytes]:
        """A lock token that no other lease has, and what BullMQ's script is told of the lease."""
        token = b"%b:%010d" % (self._who, next(self._leased))
        return token, packed(lease_options(ahead), token)

    async def _take(
        self, limit: int, lease: float, rate: RateLimit | None
    ) -> tuple[list[Delivery], float, bool]:
        """Lease jobs, and keep none of them if the caller leaves meanwhile."""
        token, options = self._lease_options(Ahead(lease, rate))
        taking = asyncio.ensure_future(self._take_with(token, options, limit, lease))
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            returning = asyncio.ensure_future(self._give_back(taking))
            self._unwanted.add(returning)
            returning.add_done_callback(self._unwanted.discard)
            raise

    async def _take_with(
        self, token: bytes, options: bytes, limit: int, lease: float
    ) -> tuple[list[Delivery], float, bool]:
        try:
            found = await self._run("receive", milliseconds(self._clock), options, limit)
        except BrokerUnavailable:
            self._is_unheard(token, lease)
            raise
        return await self._delivered(found, token, lease)

    async def _give_back(self, taking: asyncio.Future[tuple[list[Delivery], float, bool]]) -> None:
        try:
            for delivery in (await taking)[0]:
                await self.settle(delivery, Requeued(None), None)
        except (BrokerUnavailable, LeaseLost, Fenced):
            return

    async def _delivered(
        self, found: list[Any], token: bytes, lease: float
    ) -> tuple[list[Delivery], float, bool]:
        """The deliveries among what was found; in how many seconds to look again; whether a rate
        says so.
        """
        due_in, is_limited = inf, False
        deliveries: list[Delivery] = []
        for flat, native, limited_for, due_at in found:
            if native:
                delivery = await self._lease(native, token, fields_of(flat), lease)
                if delivery is not None:
                    deliveries.append(delivery)
                due_in = 0.0
            else:
                is_limited = limited_for > 0
                if is_limited:
                    due_in = limited_for / 1000
                elif due_at:
                    due_in = max(0.0, due_at / 1000 - self._clock.time())
        return deliveries, due_in, is_limited

    async def _lease(
        self, native: bytes, token: bytes, fields: Fields, lease: float
    ) -> Delivery | None:
        await self._iterate(native, fields)
        options = options_of(fields.get(b"opts"))
        run = run_of(self._base, native, fields, options)
        if has_died(fields):
            fields = await self._taken_up(native, token, run, fields)
        epoch, carried = number_in(fields, b"ats"), fields.get(b"progress")
        held = number_in(fields, b"stc") > 0
        saved: Saved | None = None
        if epoch > 1 or carried is not None or b"cn:end" in fields:
            saved = await self._store.load_for(run, epoch, origin_of(carried), held=held)
        afresh, is_stored = saved is None or not saved.entries, saved is not None
        saved = saved or Saved(epoch=epoch, held=held)
        proof = proof_of(native, token)
        self._store.leases[run] = Lease(
            fields, options, lease, native, token, proof, run, saved.epoch, carried, afresh,
            is_stored,
        )  # fmt: skip
        delivery = delivery_of(native, proof, fields, options, run, saved)
        doom = doom_of(fields)
        if doom is None:
            return delivery
        await self._fail(delivery, doom)
        return None

    async def _iterate(self, native: bytes, fields: Fields) -> None:
        """Add the job that follows on one of a scheduler's: without it the scheduler would end."""
        now = milliseconds(self._clock)
        try:
            following = iteration_after(fields, now)
            if following is not None:
                await self._run(
                    "iterate", now, native, following.scheduler, following.due_at, following.options
                )
        except (ValueError, OverflowError, Refused) as error:
            logger.error("The scheduler of job %r ends with it: %s", decode_id(native), error)

    async def _taken_up(self, native: bytes, token: bytes, run: str, fields: Fields) -> Fields:
        """The dead job that others have put back (a retry in a dashboard), without its crashes."""
        progress = without_crashes(fields.get(b"progress")) or b""
        is_carried = await self._run("take_up", native, token, self._store.key(run), progress)
        return {**fields, b"progress": progress} if is_carried else fields

    def _held(self, delivery: Delivery) -> Lease:
        """The lease of a delivery, or what can be told of it where it is not ours any more."""
        return self._lease_of(delivery) or stranger(delivery)

    def _lease_of(self, delivery: Delivery) -> Lease | None:
        """The lease of a delivery, unless the job has been leased again since."""
        lease = self._store.leases.get(delivery.run)
        return lease if lease is not None and lease.proof == delivery.token else None

    def _forget(self, delivery: Delivery) -> None:
        if self._lease_of(delivery) is not None:
            del self._store.leases[delivery.run]

    # --- for people

    async def get(self, job_id: str) -> JobRecord | None:
        found = await self._find(job_id)
        record = None if found is None else self._unexpired(record_of(self._base, found))
        if record is None or record.progress is None:
            return record
        async with self._reached():
            origin = await self._client.call(b"HGET", self._store.key(record.run), b"p")
        is_newest = origin is None or origin != origin_of(record.progress)
        return record if is_newest else replace(record, progress=None)

    async def jobs(
        self, state: JobState | None = None, *, limit: int = 100, offset: int = 0
    ) -> Sequence[JobRecord]:
        states = JOB_STATES if state is None else (state,)
        shown = await self._run(
            "list", milliseconds(self._clock), self._shown_after, offset, limit, *states
        )
        return [record_of(self._base, each) for each in shown]

    async def counts(self) -> Mapping[JobState, int]:
        found = await self._run("count", milliseconds(self._clock), self._shown_after)
        return dict(zip(JOB_STATES, found, strict=True))

    async def pause(self) -> None:
        await self._run("set_paused", 1)

    async def resume(self) -> None:
        await self._run("set_paused", 0)

    async def paused(self) -> bool:
        async with self._reached():
            return bool(await self._client.call(b"HEXISTS", self._key("meta"), b"paused"))

    async def cancel(self, job_id: str) -> bool:
        found = await self._find(job_id)
        if found is None:
            return False
        fields = fields_of(found[3])
        await self._iterate(found[0], fields)
        keep = keep_of(options_of(fields.get(b"opts")).remove_on_fail)
        options = encode_args({**CANCEL_OPTIONS, "keepJobs": keep})
        return bool(
            await self._run(
                "cancel", milliseconds(self._clock), CANCELLED, CANCELLED_FIELDS, options,
                found[0],
            )
        )  # fmt: skip

    async def redrive(self, job_id: str) -> bool:
        found = await self._find(job_id)
        if found is None:
            return False
        fields = fields_of(found[3])
        run = run_of(self._base, found[0], fields, options_of(fields.get(b"opts")))
        progress = without_crashes(fields.get(b"progress"))
        return bool(await self._run("redrive", found[0], self._store.key(run), progress or b""))

    async def rewrite_progress(self, job_id: str, before: bytes, after: bytes) -> bool:
        found = await self._find(job_id)
        return found is not None and bool(await self._run("rewrite", found[0], before, after))

    async def remove(self, job_id: str) -> bool:
        found = await self._find(job_id)
        if found is None:
            return False
        fields = fields_of(found[3])
        run = run_of(self._base, found[0], fields, options_of(fields.get(b"opts")))
        return bool(await self._run("remove", found[0], self._store.key(run)))

    async def events(self, after: int | None, *, limit: int = 1000) -> Sequence[Event]:
        key = self._key("events")
        async with self._reached():
            if after is None:
                newest = await self._client.call(
                    b"XREVRANGE", key, b"+", b"-", b"COUNT", LOOK_AHEAD
                )
                return events_in(newest[::-1])[-1:]
            return await self._events_after(key, after, limit)

    async def _events_after(self, key: bytes, after: int, limit: int) -> list[Event]:
        """A page of events, from as many entries of the stream as it takes.

        It is read from the event that was told last on: that may say what the next entry is about.
        """
        entries: list[Any] = []
        start, told = stream_id(after), list[Event]()
        while True:
            size = limit + LOOK_AHEAD
            page = await self._client.call(b"XRANGE", key, start, b"+", b"COUNT", size)
            entries += page
            told = [event for event in events_in(entries) if event.id > after]
            if len(page) < size or len(told) > limit:
                return told[:limit]
            start = b"(" + page[-1][0]

    async def watch(self, timeout: float, since: int | None = None) -> int:
        try:
            newest = number_of(await self._newest_event())
        except Unreachable as error:
            if self._client.is_closed:
                return since or 0
            raise self._unavailable(error) from error
        if since is None or newest <= since:
            self._follower.catch_up(newest)
            await self._follower.wait(self._clock, timeout, newest)
        return max(self._follower.newest, newest)

    async def _newest_event(self) -> bytes:
        found = await self._client.call(b"XREVRANGE", self._key("events"), b"+", b"-", b"COUNT", 1)
        return found[0][0] if found else b"0-0"

    # --- inside

    @property
    def _shown_after(self) -> int:
        """Completed jobs that were over by then are as if they were gone."""
        return milliseconds(self._clock) - round(self._keep_results * 1000)

    def _unexpired(self, record: JobRecord) -> JobRecord | None:
        finished = record.finished_at
        if record.state != "completed" or finished is None:
            return record
        return record if finished + self._keep_results > self._clock.time() else None

    async def _find(self, job_id: str) -> list[Any] | None:
        found: list[Any] | None = await self._run(
            "get", milliseconds(self._clock), *candidates(job_id)
        )
        return found

    async def _fail(self, delivery: Delivery, error: WireError) -> None:
        with suppress(LeaseLost, Fenced):
            await self.settle(delivery, DeadLettered(error, None), None)

    def _key(self, name: str) -> bytes:
        return self._base + name.encode()

    async def _run(self, name: str, *parts: Any) -> Any:
        try:
            return await self._client.run(script(name), self._base, *parts)
        except Unreachable as error:
            raise self._unavailable(error) from error

    @asynccontextmanager
    async def _reached(self) -> AsyncGenerator[None, None]:
        try:
            yield
        except Unreachable as error:
            raise self._unavailable(error) from error

    def _as_ours(self, error: Exception) -> Exception:
        return self._unavailable(error) if isinstance(error, Unreachable) else error

    def _refused(self, delivery: Delivery, code: int) -> BrokerRefused:
        reason, remedy = REFUSALS.get(code, OTHER_REFUSAL)
        return BrokerRefused(
            url=self._location.shown, action=f"to settle job {delivery.job_id!r}",
            reason=f"{reason}, its code {code}", remedy=remedy,
        )  # fmt: skip

    def _unavailable(self, error: Unreachable) -> BrokerUnavailable:
        return BrokerUnavailable(url=self._location.shown, reason=str(error))
