"""Takes jobs from a queue and runs them, until it is told to stop."""

import asyncio
import copy
import logging
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from datetime import timedelta
from math import inf
from typing import Any

from cnstra.clock import seconds
from cnstra.durable.eager import begin
from cnstra.durable.io_thread import Mailbox
from cnstra.durable.journal import Durability
from cnstra.durable.run import DEFAULT_CRASH_LIMIT, DurableOptions
from cnstra.engine.cns import CNS
from cnstra.engine.resources import Given
from cnstra.engine.signals import Collateral
from cnstra.engine.stimulation import DEFAULT_GRACE
from cnstra.errors import (
    InvalidOption,
    IOClosed,
    LeaseLost,
    QueueClosed,
    UnboundedHandler,
    WorkerRuns,
)
from cnstra.history.history import History, WorkerLog
from cnstra.jobs.attempt import Attempt, Settled
from cnstra.jobs.consumer import Consumer
from cnstra.jobs.limits import RateLimit
from cnstra.jobs.observing import Observer, Work, seen_by
from cnstra.jobs.queue import Queue
from cnstra.jobs.settlement import Delivery, Lost
from cnstra.jobs.stopping import stopped_by_signals
from cnstra.jobs.tending import Tended

logger = logging.getLogger("cnstra.jobs")

DEFAULT_LEASE = 30.0
LAST_WAIT = 5.0
"""Seconds that a store which is away has to come back once the worker was told to stop twice."""
SHUTDOWN = "the worker is shutting down"
CUT_OFF = "The task of job %r was cancelled: it goes on elsewhere once its lease is over."
"""Nobody here cancels one; who cancels all tasks of a loop does, as `asyncio.run` at its end."""

CLOSED = "Queue %r was closed under its worker: %d jobs go on elsewhere once their leases are over."


class Worker:
    """Runs the jobs of `queue` on the graph `cns`.

    concurrency: how many jobs run at once.
    results: the collaterals whose payloads make up a job's result.
    durability: when checkpoints are written: "exit", "behind" or "step".
    rate_limit: how many jobs may start in a span of time, over all workers where the broker can.
    lease: seconds that a job stays ours without a sign of life. It is renewed from a thread of its
        own, so a handler may block the event loop for longer.
    grace: seconds that running handlers have to finish when the worker is told to stop.
    crash_limit: how often in a row the process may die while one activation runs. Then its job is
        dead-lettered. `None`: there is no limit.
    resources: replace those of the CNS, and all of them are opened for this worker alone. Without
        any, the worker opens those of the CNS, if nobody has.
    history: where each attempt and task is recorded for people: a `History`, or its URL.
    observers: for traces, metrics and log fields, such as `cnstra.telemetry.otel.Telemetry()`.

    Raises `UnknownCollateral` for a result that the graph does not have.

    >>> worker = Worker(queue, cns, concurrency=8, results=[output])
    >>> await worker.run()
    """

    def __init__(
        self,
        queue: Queue,
        cns: CNS,
        *,
        concurrency: int = 1,
        results: Iterable[Collateral[Any] | str] = (),
        durability: Durability = "behind",
        rate_limit: RateLimit | None = None,
        lease: float | timedelta = DEFAULT_LEASE,
        grace: float | timedelta = DEFAULT_GRACE,
        crash_limit: int | None = DEFAULT_CRASH_LIMIT,
        resources: Iterable[Given] = (),
        history: History | str | None = None,
        observers: Iterable[Observer] = (),
    ) -> None:
        if concurrency < 1:
            raise InvalidOption(option="concurrency", value=concurrency, remedy="allow 1 or more")
        if seconds(lease) <= 0:
            raise InvalidOption(option="lease", value=lease, remedy="give seconds above zero")
        if rate_limit is not None and not isinstance(rate_limit, RateLimit):  # pyright: ignore[reportUnnecessaryIsInstance]
            remedy = "give a RateLimit, as RateLimit(100, per=1.0)"
            raise InvalidOption(option="rate_limit", value=rate_limit, remedy=remedy)
        self.queue = queue
        given = list(resources)
        self.cns = cns.with_resources(given) if given else cns
        self.history = None if history is None else History.of(history, queue.clock)
        self._concurrency = concurrency
        self._grace = seconds(grace)
        self._options = DurableOptions.of(results, durability, self._grace, crash_limit)
        for name in self._options.results:
            cns.network.require(name)
        if durability != "exit":
            queue.require_store(f"durability={durability!r}")
        if self._options.results:
            queue.require_store("results=")
        self._require_bounds()
        self._lease = seconds(lease)
        self._consumer = Consumer(queue, concurrency, self._lease, rate_limit)
        self._tasks: dict[Attempt, asyncio.Task[None] | None] = {}
        self._mailbox: Mailbox | None = None
        self._log: WorkerLog | None = None
        self._stops = 0
        self._is_running = False
        self._is_cut_off = False
        self._opening: asyncio.Timeout | None = None
        """While it opens what its jobs need. It never runs out by itself: a stop ends it."""
        self._observers: list[Observer] = []
        for one in observers:
            self.observe(one)

    def observe(self, observer: Observer) -> None:
        """Let one more look on, from the next `run` on."""
        observer.watch(self.cns)
        self._observers.append(observer)

    def _require_bounds(self) -> None:
        """Without a store, a handler must end before a lease that cannot be renewed for ever."""
        limit = self.queue.broker.capabilities.longest_lease
        if limit is None or self.queue.store is not None:
            return
        for receiver in self.cns.network.receivers.values():
            if receiver.max_duration is None or receiver.max_duration >= limit:
                raise UnboundedHandler(neuron=receiver.neuron_name, limit=limit)

    def with_queue(
        self,
        queue: Queue,
        *,
        lease: float | timedelta | None = None,
        concurrency: int | None = None,
    ) -> "Worker":
        """The same worker, not running, on another queue and without a history: for a test.

        lease: one of its own, in seconds. concurrency: how many jobs run at once there.

        >>> app.worker.with_queue(Queue("orders", "memory://test"))
        """
        other = copy.copy(self)
        other.queue = queue
        other.history = None
        other._concurrency = concurrency or self._concurrency
        other._lease = self._lease if lease is None else seconds(lease)
        other._consumer = self._consumer.with_queue(queue, other._lease, other._concurrency)
        other._tasks = {}
        other._is_running, other._opening = False, None
        other._observers = list(self._observers)
        return other

    def run(self, *, until_idle: bool = False, signals: bool = True) -> Coroutine[Any, Any, None]:
        """Work until SIGTERM or SIGINT, then drain. To be awaited.

        Running handlers have `grace` seconds to finish; a job that has not by then is given back
        where it stands, without using up an attempt. A second signal does not wait for the grace.
        Cancelling this call drains too, and cancelling it again is like a second signal. A store
        that is away is not waited for without end: what it has not written is done again elsewhere.

        The resources are opened before the first job is leased, and closed after the drain; raises
        `ResourceFailed`. Who is told to stop while they open, or before, opens nothing more and
        leases nothing. Raises `WorkerRuns` while an earlier call goes on, and `QueueClosed` where
        the queue was closed meanwhile: what ran then goes on elsewhere.

        until_idle: return once no job is waiting, delayed or active.
        signals: `False` leaves SIGTERM and SIGINT to the program around, which calls `stop`.
        """
        if not self._is_running:
            self._stops = 0  # now, not with the first step: a stop counts from this call on
        return self._run(until_idle, signals)

    async def _run(self, until_idle: bool, signals: bool) -> None:
        if self._is_running:
            raise WorkerRuns(queue=self.queue.name)
        self._is_running = True
        try:
            async with AsyncExitStack() as stack:
                with stopped_by_signals(self.stop) if signals else nullcontext():
                    if not self._stops and await self._open(stack):
                        await self._work(until_idle)
        finally:
            self._is_running = False

    async def _open(self, stack: AsyncExitStack) -> bool:
        """Open all that the jobs need; whether nobody said stop meanwhile."""
        try:
            async with asyncio.timeout(None) as self._opening:
                await self.queue.open()
                await stack.enter_async_context(self.cns)
                for one in self._observers:
                    await stack.enter_async_context(one.at_work(self.queue))
                await stack.enter_async_context(self._recorded())
                await self.queue.open()  # which may have been closed meanwhile
        except TimeoutError:
            if not self._stops:
                raise
        finally:
            self._opening = None
        return not self._stops

    async def _work(self, until_idle: bool) -> None:
        mailbox = self._mailbox = Mailbox(asyncio.get_running_loop())
        over = asyncio.Event()
        tended = [one for one in self.cns.resources.all() if isinstance(one, Tended)]
        self._consumer.start(
            mailbox, self._make, self._accept, over.set, self._cut_off,
            completed=_to_each(tended), until_idle=until_idle,
        )  # fmt: skip
        self._is_cut_off = False
        async with _tending(tended):
            await self._see_through(over)
        if self._is_cut_off:
            raise QueueClosed(queue=self.queue.name)

    @asynccontextmanager
    async def _recorded(self) -> AsyncGenerator[None, None]:
        """Tell the history, if there is one, of all that this worker does."""
        if self.history is None:
            yield
            return
        try:
            log = self._log = await self.history.join(self.queue.name, self._concurrency)
        except IOClosed:
            logger.warning("The history is closed: the worker goes on without one.")
            yield
            return
        try:
            yield
        finally:
            self._log = None
            await log.leave()

    async def _see_through(self, over: asyncio.Event) -> None:
        cancelled: asyncio.CancelledError | None = None
        while not over.is_set() or self._tasks:
            left = [task for task in self._tasks.values() if task is not None]
            try:
                await (asyncio.wait(left) if over.is_set() else over.wait())
            except asyncio.CancelledError as error:
                cancelled = error
                self.stop()
        if cancelled is not None:
            raise cancelled

    def stop(self) -> None:
        """Drain, as SIGTERM does; called a second time, faster. Call it on the worker's loop.

        It counts from the call of `run` on; a worker that does not run is not told anything.
        """
        self._stops += 1
        if self._opening is not None:
            if self._stops == 1:
                logger.info("The worker stops before it has leased a job.")
                self._opening.reschedule(-inf)
        elif self._is_running:
            count = len(self._tasks)
            logger.info("The worker stops: %d jobs have %g s to finish.", count, self._left)
            self._consumer.stop(self._left + self._lease_left)
            for attempt in self._tasks:
                attempt.release(SHUTDOWN, self._left)

    def _cut_off(self) -> None:
        """The queue was closed under us: what we do from now on nobody would hear of."""
        self._is_cut_off = True
        logger.warning(CLOSED, self.queue.name, len(self._tasks))
        for attempt in self._tasks:
            attempt.lose(LeaseLost(job_id=attempt.delivery.job_id))

    @property
    def _left(self) -> float:
        """The grace of a job that is told to stop now."""
        return self._grace if self._stops <= 1 else 0.0

    @property
    def _lease_left(self) -> float:
        """Seconds more that a store which is away may keep a worker from its end."""
        return self._lease if self._stops <= 1 else min(self._lease, LAST_WAIT)

    def _make(self, delivery: Delivery, leased_at: float, expires: float) -> Attempt:
        assert self._mailbox is not None
        return Attempt(
            delivery,
            queue=self.queue,
            cns=self.cns,
            options=self._options,
            mailbox=self._mailbox,
            leased_at=leased_at,
            expires=expires,
            history=self._log,
        )

    def _accept(self, attempts: Sequence[Attempt]) -> None:
        """The consumer has leased these jobs for us."""
        for attempt in attempts:
            if self._stops:
                attempt.release(SHUTDOWN, self._left)
            self._tasks[attempt] = None
            task = begin(self._process(attempt))
            if task is not None:
                self._tasks[attempt] = task

    async def _process(self, attempt: Attempt) -> None:
        work: Work = attempt.handle
        if self._observers:
            work = seen_by(self._observers, self.queue, attempt.delivery, work)
        try:
            settled = await work()
        except asyncio.CancelledError as error:
            attempt.lose(error)
            settled = Settled(Lost(), None)
            logger.warning(CUT_OFF, attempt.delivery.job_id)
        del self._tasks[attempt]
        self._consumer.settle(attempt, settled)


def _to_each(tended: Sequence[Tended]) -> Callable[[str], None] | None:
    """Tells each of them that a run is over; `None` where nobody listens."""

    def run_ended(run: str) -> None:
        for one in tended:
            one.run_ended(run)

    return run_ended if tended else None


@asynccontextmanager
async def _tending(tended: Sequence[Tended]) -> AsyncGenerator[None, None]:
    """Tend them meanwhile."""
    tasks = [asyncio.ensure_future(one.tend()) for one in tended]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                logger.error("A resource could not be tended.", exc_info=outcome)
