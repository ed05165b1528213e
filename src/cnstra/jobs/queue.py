"""A queue of jobs, for those who enqueue and those who look."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from math import inf, isfinite
from types import TracebackType
from typing import Any, Self, TypeVar, cast
from urllib.parse import urlsplit

from cnstra.clock import SYSTEM_CLOCK, Clock, seconds
from cnstra.durable.adapters import adapter_for, shown
from cnstra.durable.io_thread import IOThread
from cnstra.durable.progress import Progress
from cnstra.durable.store import ProgressStore
from cnstra.durable.wire import from_wire
from cnstra.engine.signals import Signal
from cnstra.errors import (
    BrokerUnavailable,
    ForeignJobUnread,
    InvalidOption,
    IOClosed,
    MessageTooLarge,
    QueueClosed,
    StoreRequired,
    UsedBeforeFork,
)
from cnstra.jobs.broker import (
    Broker,
    Event,
    JobRecord,
    JobState,
    NewJob,
    TransactionalBroker,
)
from cnstra.jobs.envelope import job_data
from cnstra.jobs.foreign import ForeignReader, in_our_form
from cnstra.jobs.incumbents import Incumbents
from cnstra.jobs.job import Job
from cnstra.jobs.retry import Backoff, BackoffFunction, backoff_of
from cnstra.jobs.revision import clear_holds
from cnstra.jobs.tracing import Tracing, trace_in

T = TypeVar("T")

KEEP_RESULTS = timedelta(days=7)
EVENT_PAUSE = 1.0


class Queue:
    """The queue named `name` on the broker at `url`.

    It connects with its first use and is an async context manager; close it when you are done. Its
    methods may be awaited on any event loop: the broker's client lives on a thread of its own.

    url: `sqlite:///file.db` (relative), `sqlite:////absolute/file.db`, `memory://name`, or that of
        another adapter.
    store: where progress is kept, on a broker that brings no store: a URL, a store, or
        `CNSTRA_STORE`.
    foreign: makes the signal of a job that another program has added in a form of its own: a
        function that is given a `ForeignJob`, and says the same each time.
    keep_results: seconds, or a `timedelta`, for which completed jobs are kept.
    tracing: gives jobs a trace to carry, such as `cnstra.telemetry.otel.Telemetry()`.

    >>> async with Queue("workflows", "sqlite:///workflows.db") as queue:
    ...     job = await queue.enqueue(request.create_signal({"id": 100}), max_attempts=5)
    ...     await job.result(timeout=30)
    """

    def __init__(
        self,
        name: str,
        url: str,
        *,
        store: str | ProgressStore | None = None,
        foreign: ForeignReader | None = None,
        keep_results: float | timedelta = KEEP_RESULTS,
        clock: Clock = SYSTEM_CLOCK,
        tracing: Tracing | None = None,
    ) -> None:
        if not name:
            raise InvalidOption(option="name", value=name, remedy="name the queue")
        if foreign is not None and not callable(foreign):
            remedy = "give a function that makes the signal of a ForeignJob"
            raise InvalidOption(option="foreign", value=foreign, remedy=remedy)
        self.name = name
        self.url = url
        self.clock = clock
        self.tracing = tracing
        self.foreign = foreign
        self.keep_results = seconds(keep_results)
        self.io = IOThread(f"cnstra-io {name}")
        chosen = _chosen(store, clock)
        self.broker: Broker = adapter_for(url).broker(name, url, clock, self.keep_results, chosen)
        self._own_store = chosen
        if self.broker.capabilities.atomic_settlement:
            self._own_store = None
            if store is not None:
                remedy = "leave it out: this broker keeps progress itself, in one step with the job"
                told = shown(store) if isinstance(store, str) else store
                raise InvalidOption(option="store", value=told, remedy=remedy)
        self._opened: asyncio.Lock | None = None
        self._is_open = False
        self._closed = False

    @property
    def store(self) -> ProgressStore | None:
        """Where the queue's runs keep their progress."""
        return self._own_store or self.broker.store

    @property
    def place(self) -> str:
        """Where its broker is, for people and logs: the URL without passwords and options."""
        return shown(self.url)

    # --- opening and closing

    async def open(self) -> None:
        """Connect, if that has not been done. Raises `BrokerUnavailable`, or what else is wrong."""
        if self._closed:
            raise QueueClosed(queue=self.name)
        if not self._is_open:
            await self._ask(self._open)

    async def close(self) -> None:
        """Disconnect. Harmless when called twice."""
        if self._closed:
            return
        self._closed = True
        if self._is_open:
            with suppress(UsedBeforeFork):  # the connection is another process's: it stays
                await self.io.call(self._disconnect)
        self.io.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _open(self) -> None:
        self._opened = self._opened or asyncio.Lock()
        async with self._opened:
            if not self._is_open:
                await self.broker.open()
                if self._own_store is not None:
                    await self._own_store.open()
                self._is_open = True

    async def _disconnect(self) -> None:
        if self._own_store is not None:
            await self._own_store.close()
        await self.broker.close()

    async def _call(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        await self.open()
        return await self._ask(work)

    async def _ask(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        try:
            return await self.io.call(work)
        except IOClosed:
            raise QueueClosed(queue=self.name) from None

    # --- enqueueing

    async def enqueue(
        self,
        signal: Signal[Any] | Mapping[str, Any],
        *,
        max_attempts: int = 1,
        backoff: Backoff | BackoffFunction | float | timedelta | None = None,
        delay: float | timedelta | None = None,
        run_at: datetime | float | None = None,
        priority: int = 0,
        ordering_key: str | None = None,
        job_id: str | None = None,
        one_at_a_time: str | None = None,
        connection: Any = None,
    ) -> Job:
        """Add a job that will run the signal.

        max_attempts: how many attempts may fail before the job is dead-lettered.
        backoff: the pause before a retry: `fixed(...)`, `exponential(...)`, seconds, or a function
            of the number of failed attempts. Without one, a retry comes at once.
        delay: seconds (or a `timedelta`) until the job is due.
        run_at: the time at which it is due: an aware `datetime`, or seconds since the epoch.
        priority: larger runs first, where the broker has priorities.
        ordering_key: jobs of the same key run one after the other, where the broker can.
        job_id: a job with an id that the queue still holds is not added again; see `Job.new`.
        one_at_a_time: a name for jobs of one kind, of which the queue holds one at a time: while
            one waits, runs or is to be retried, this returns that one and adds none.
        connection: on Postgres, a connection of yours to the same database. The job is added in the
            transaction that is open there, and exists once you commit it.

        Raises `NotSerializable`, naming the collateral, for a payload that has no JSON form, and
        `MessageTooLarge` for one that is over the broker's limit.
        """
        _require_text(one_at_a_time=one_at_a_time)
        options = self._options(max_attempts, backoff, delay, run_at, priority, ordering_key)
        with self._sending(1) as trace:
            job = self._new_job(signal, job_id, options, trace)
            if one_at_a_time is None:
                return (await self._add([job], connection))[0]
            if job_id is not None or connection is not None:
                remedy = "leave out job_id= and connection=: the store says which job is the one"
                raise InvalidOption(option="one_at_a_time", value=one_at_a_time, remedy=remedy)
            return await self._add_or_join(one_at_a_time, job)

    async def enqueue_many(
        self,
        signals: Iterable[Signal[Any] | Mapping[str, Any]],
        *,
        max_attempts: int = 1,
        backoff: Backoff | BackoffFunction | float | timedelta | None = None,
        delay: float | timedelta | None = None,
        run_at: datetime | float | None = None,
        priority: int = 0,
        ordering_key: str | None = None,
        connection: Any = None,
    ) -> list[Job]:
        """Add a job for each signal, all or none. The options are those of `enqueue`."""
        options = self._options(max_attempts, backoff, delay, run_at, priority, ordering_key)
        given = list(signals)
        with self._sending(len(given)) as trace:
            jobs = [self._new_job(signal, None, options, trace) for signal in given]
            return await self._add(jobs, connection)

    def _sending(self, count: int) -> AbstractContextManager[str | None]:
        tracing = self.tracing
        return nullcontext() if tracing is None else tracing.sending(self.name, self.url, count)

    def prepare(
        self,
        signal: Signal[Any] | Mapping[str, Any],
        *,
        max_attempts: int = 1,
        backoff: Backoff | BackoffFunction | float | timedelta | None = None,
        delay: float | timedelta | None = None,
        run_at: datetime | float | None = None,
        priority: int = 0,
        ordering_key: str | None = None,
        job_id: str | None = None,
    ) -> NewJob:
        """A job for `add`, checked as `enqueue` checks it. It has its run id: added again, after an
        answer that was lost, it is the same job of the same run.
        """
        options = self._options(max_attempts, backoff, delay, run_at, priority, ordering_key)
        tracing = self.tracing
        with nullcontext() if tracing is None else tracing.creating(self.name, self.url) as trace:
            job = self._new_job(signal, job_id, options, trace)
        self._require_room([job])
        return job

    async def add(self, jobs: Sequence[NewJob]) -> list[Job]:
        """Add prepared jobs, all or none."""
        tracing = self.tracing
        if tracing is None:
            return await self._add(jobs, None)
        traces = [trace_in(job.data) for job in jobs]
        with tracing.sending_on(self.name, self.url, traces):
            return await self._add(jobs, None)

    async def _add(self, jobs: Sequence[NewJob], connection: Any) -> list[Job]:
        added: Sequence[bool] = ()
        if jobs:
            await self.open()
            self._require_room(jobs)
        if connection is not None:
            added = await self._add_within(connection, jobs)
        elif jobs:
            added = await self._call(lambda: self.broker.enqueue(jobs))
        return [Job(self, job.id, new=new) for job, new in zip(jobs, added, strict=True)]

    async def _add_or_join(self, kind: str, job: NewJob) -> Job:
        store = self.require_store("one_at_a_time=")
        await self.open()
        self._require_room([job])
        incumbents = Incumbents(self.name, self.broker, store, self.clock)
        job_id, is_new = await self._call(lambda: incumbents.enqueue(kind, job))
        return Job(self, job_id, new=is_new)

    async def _add_within(self, connection: Any, jobs: Sequence[NewJob]) -> Sequence[bool]:
        """Add jobs on a connection of the caller's, which belongs to this very event loop."""
        if not self.broker.capabilities.transactional_enqueue:
            remedy = "this broker cannot join your transaction: enqueue once that is committed"
            raise InvalidOption(option="connection", value=connection, remedy=remedy)
        broker = cast(TransactionalBroker, self.broker)
        return await broker.enqueue_within(connection, jobs) if jobs else ()

    def _require_room(self, jobs: Sequence[NewJob]) -> None:
        limit = self.broker.capabilities.max_payload
        for job in jobs:
            if limit is not None and len(job.data) > limit:
                broker = urlsplit(self.url).scheme
                raise MessageTooLarge(job_id=job.id, size=len(job.data), broker=broker, limit=limit)

    def _new_job(
        self,
        signal: Signal[Any] | Mapping[str, Any],
        job_id: str | None,
        options: Mapping[str, Any],
        trace: str | None,
    ) -> NewJob:
        _require_text(job_id=job_id)
        run = self.clock.new_id()
        data = job_data(signal, run, trace)
        return NewJob(id=job_id or run, data=data, run=run, trace=trace, **options)

    def _options(
        self,
        max_attempts: int,
        backoff: Backoff | BackoffFunction | float | timedelta | None,
        delay: float | timedelta | None,
        run_at: datetime | float | None,
        priority: int,
        ordering_key: str | None,
    ) -> dict[str, Any]:
        _require_text(ordering_key=ordering_key)
        if max_attempts < 1:
            raise InvalidOption(option="max_attempts", value=max_attempts, remedy="allow 1 or more")
        if priority and not self.broker.capabilities.priorities:
            remedy = "this broker has no priorities: use a queue for each"
            raise InvalidOption(option="priority", value=priority, remedy=remedy)
        if ordering_key is not None and not self.broker.capabilities.ordering:
            remedy = "this broker keeps no order by key: leave it out"
            raise InvalidOption(option="ordering_key", value=ordering_key, remedy=remedy)
        pause = backoff_of(backoff)
        return {
            "max_attempts": max_attempts,
            "backoff": None if pause is None else pause.to_wire(),
            "run_at": self._due(delay, run_at),
            "delay": None if delay is None else seconds(delay),
            "priority": priority,
            "ordering_key": ordering_key,
        }

    def _due(
        self, delay: float | timedelta | None, run_at: datetime | float | None
    ) -> float | None:
        if delay is not None and run_at is not None:
            raise InvalidOption(
                option="delay", value=delay, remedy="give delay or run_at, not both"
            )
        if delay is not None:
            if not 0 <= seconds(delay) < inf:
                raise InvalidOption(option="delay", value=delay, remedy="give seconds from now on")
            return self.clock.time() + seconds(delay)
        if isinstance(run_at, datetime):
            if run_at.tzinfo is None:
                remedy = "give an aware datetime, as datetime.now(UTC) is"
                raise InvalidOption(option="run_at", value=run_at, remedy=remedy)
            return run_at.timestamp()
        if run_at is not None and not isfinite(run_at):
            remedy = "give seconds since the epoch"
            raise InvalidOption(option="run_at", value=run_at, remedy=remedy)
        return run_at

    # --- looking

    async def get(self, job_id: str) -> Job | None:
        """The job of that id, or `None` if the queue does not hold it."""
        return None if await self.record(job_id) is None else Job(self, job_id)

    async def record(self, job_id: str) -> JobRecord | None:
        """All that the broker holds of a job."""
        _require_text(job_id=job_id)
        found = await self._call(lambda: self.broker.get(job_id))
        return None if found is None else self._in_our_form(found)

    async def jobs(
        self, state: JobState | None = None, *, limit: int = 100, offset: int = 0
    ) -> Sequence[JobRecord]:
        """Jobs, newest first."""
        found = await self._call(lambda: self.broker.jobs(state, limit=limit, offset=offset))
        return [self._in_our_form(job) for job in found]

    def _in_our_form(self, job: JobRecord) -> JobRecord:
        """The job, as its worker reads it; as it is, where that cannot be done."""
        if self.foreign is None:
            return job
        try:
            data = in_our_form(job.id, job.data, job.name, job.run, self.foreign)
        except ForeignJobUnread:
            return job
        return replace(job, data=data)

    async def counts(self) -> Mapping[JobState, int]:
        """How many jobs are in each state, as far as the broker can count them."""
        return await self._call(self.broker.counts)

    async def progress(self, job_id: str) -> Progress | None:
        """What is saved of the job's run: what it owes, its context values, its results so far."""
        record = await self.record(job_id)
        return None if record is None else await self.progress_of(record)

    async def progress_of(self, record: JobRecord) -> Progress | None:
        """As `progress`, of a job that was looked up already."""
        store = self.store
        if record.progress is not None:
            return from_wire(record.run, record.progress)
        if store is None:
            return None
        saved = await self._call(lambda: store.peek(record.run))
        return None if saved is None else Progress(record.run, saved.entries)

    async def events(self, after: int | None = None) -> AsyncIterator[Event]:
        """What happens in the queue, on all its workers: from now on, or after the event of that
        id. A broker that is away meanwhile is asked again.
        """
        last, seen = after, await self.watch(0)
        if last is None:
            newest = await self._call(lambda: self.broker.events(None))
            last = newest[-1].id if newest else 0
        while True:
            try:
                told = await self._call(partial(self.broker.events, last))
                for event in told:
                    last = event.id
                    yield event
                seen = await self.watch(EVENT_PAUSE, seen)
            except BrokerUnavailable:
                await self.clock.sleep(EVENT_PAUSE)

    async def watch(self, timeout: float, since: int | None = None) -> int:
        """Return when something may have changed, or after `timeout` seconds.

        What it returns marks that moment: pass it back as `since` to miss nothing in between.
        """
        return await self._call(lambda: self.broker.watch(timeout, since))

    # --- steering

    async def pause(self) -> None:
        """Hand out no more jobs, on any worker, until `resume`. Running ones go on."""
        await self._call(self.broker.pause)

    async def resume(self) -> None:
        """Hand out jobs again."""
        await self._call(self.broker.resume)

    async def paused(self) -> bool:
        """Whether the queue is paused."""
        return await self._call(self.broker.paused)

    async def cancel(self, job_id: str) -> bool:
        """End a job: it goes to the dead letters, at once or when its worker hears of it."""
        _require_text(job_id=job_id)
        return await self._call(lambda: self.broker.cancel(job_id))

    async def redrive(self, job_id: str) -> bool:
        """Put a dead job back; it resumes where it stood, all its branches. `False` if it is not
        dead.
        """
        _require_text(job_id=job_id)
        return await self._call(lambda: self._redrive(job_id))

    async def _redrive(self, job_id: str) -> bool:
        if self.store is not None:
            await clear_holds(self.broker, self.store, job_id)
        return await self.broker.redrive(job_id)

    async def remove(self, job_id: str) -> bool:
        """Drop a job that is not active, with all that is stored of it."""
        _require_text(job_id=job_id)
        return await self._call(lambda: self.broker.remove(job_id))

    def require_store(self, what: str) -> ProgressStore:
        """The store. Raises `StoreRequired`, naming what needs it."""
        if self.store is None:
            raise StoreRequired(what=what)
        return self.store

    def __repr__(self) -> str:
        return f"<Queue {self.name!r} at {self.place}>"


def _require_text(**options: object) -> None:
    """Raise `InvalidOption` for what is given and no text: the key of a database, say."""
    for option, value in options.items():
        if value is not None and not isinstance(value, str):
            raise InvalidOption(option=option, value=value, remedy="give a text")


def _chosen(store: str | ProgressStore | None, clock: Clock) -> ProgressStore | None:
    """The store that was asked for, here or in the environment."""
    chosen = store or os.environ.get("CNSTRA_STORE")
    if isinstance(chosen, str):
        opened: ProgressStore = adapter_for(chosen).store(chosen, clock)
        return opened
    return chosen
