"""A clock that jumps ahead when all wait: days of backoff in milliseconds."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import count
from typing import Any, Protocol, TypeVar, cast

from cnstra.clock import seconds
from cnstra.durable.adapters import adapter_for
from cnstra.durable.io_thread import IOThread, Mailbox
from cnstra.engine.cns import CNS
from cnstra.errors import InvalidOption
from cnstra.jobs.broker import Broker
from cnstra.jobs.foreign import ForeignReader
from cnstra.jobs.limits import RateLimit
from cnstra.jobs.queue import Queue
from cnstra.jobs.settlement import Delivery
from cnstra.jobs.worker import Worker

T = TypeVar("T")

EPOCH = 1_700_000_000.0
GLANCE = 0.001
"""Seconds of real time for which a thread is waited for before it is looked for again."""
LONGEST_WAIT = 86_400.0

_numbers = count(1)


class Selector(Protocol):
    """What an event loop waits with."""

    def select(self, timeout: float | None = None) -> list[Any]: ...


class VirtualClock:
    """The time of an event loop, while all that waits on it waits in no time.

    Inside `virtual_time()` whatever the loop does by time is done by this clock: `asyncio.sleep`,
    timeouts, and with `queue` and `worker` the delays, backoffs, leases and deadlines of jobs.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._loop: Any = None
        self._selector: Selector | None = None
        self._threads = 0
        self._ids = count(1)
        self._urls: list[str] = []

    # --- a clock

    def time(self) -> float:
        """Seconds since the epoch: it begins in November 2023, and is the same in every test."""
        return EPOCH + self._now

    def monotonic(self) -> float:
        """Seconds since the clock began."""
        return self._now

    async def sleep(self, duration: float | timedelta) -> None:
        """Let time pass: others that wait for less are woken before."""
        self.start()
        await asyncio.sleep(seconds(duration))

    def random(self) -> float:
        """Always a half: what has jitter takes its mean."""
        return 0.5

    def new_id(self) -> str:
        """The next of `id-1`, `id-2` and so on."""
        return f"id-{next(self._ids)}"

    # --- what lives by it

    def queue(
        self, name: str, url: str | None = None, *, foreign: ForeignReader | None = None
    ) -> Queue:
        """A queue in memory whose delays, backoffs and leases go by this clock.

        url: `memory://name`, to share it; where it is not given, one of its own. foreign: as of
        `Queue`.
        """
        self.start()
        if url is None:
            url = f"memory://virtual {next(_numbers)}"
            self._urls.append(url)
        queue = Queue(name, url, clock=self, foreign=foreign)
        queue.io = LoopIO()
        queue.broker = cast(Any, PatientBroker(queue.broker))
        return queue

    def queue_like(self, queue: Queue) -> Queue:
        """One of its name, for the same jobs."""
        return self.queue(queue.name, foreign=queue.foreign)

    def worker(self, worker: Worker, queue: Queue | None = None) -> Worker:
        """The same worker on a queue of this clock: `queue`, or one like its own."""
        other = worker.with_queue(queue or self.queue_like(worker.queue))
        other.cns = self.cns(other.cns)
        return other

    def cns(self, cns: CNS) -> CNS:
        """The same CNS, with its deadlines and graces by this clock."""
        other = cns.with_resources(())
        other.clock = self
        return other

    # --- taking the loop's time over

    def start(self) -> None:
        """Take over the time of the running loop. Harmless when called again there."""
        loop = cast(Any, asyncio.get_running_loop())
        if self._loop is loop:
            return
        if self._loop is not None or not isinstance(loop, asyncio.BaseEventLoop):
            remedy = "use one clock a loop, and asyncio's own event loop"
            raise InvalidOption(option="clock", value=self, remedy=remedy)
        inner = cast(Any, loop)
        self._selector = inner._selector
        self._loop = inner
        self._now = 0.0
        inner._selector = _Jumping(inner._selector, self)
        began = asyncio.BaseEventLoop.time(loop)
        inner.time = lambda: began + self._now
        run = inner.run_in_executor

        def run_counted(*call: Any) -> "asyncio.Future[Any]":
            return self._counted(run(*call))

        inner.run_in_executor = run_counted

    def stop(self) -> None:
        """Give the loop its own time back, and drop the queues that were made."""
        if self._loop is not None:
            self._loop._selector = self._selector
            del self._loop.time, self._loop.run_in_executor
            self._loop = None
        for url in self._urls:
            adapter_for(url).forget(url)

    def jump(self, duration: float) -> bool:
        """Nothing is left to do for so long: let it pass, unless a thread works meanwhile."""
        if self._threads:
            return False
        self._now += duration
        return True

    def _counted(self, future: "asyncio.Future[Any]") -> "asyncio.Future[Any]":
        self._threads += 1
        future.add_done_callback(self._uncount)
        return future

    def _uncount(self, _: object) -> None:
        self._threads -= 1


class _Jumping:
    """A selector that does not wait for time to pass, but for everything else."""

    def __init__(self, inner: Selector, clock: VirtualClock) -> None:
        self._inner = inner
        self._clock = clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            return self._inner.select(None)
        events = self._inner.select(0)
        if not events and timeout > 0 and not self._clock.jump(timeout):
            return self._inner.select(min(timeout, GLANCE))
        return events


class LoopIO(IOThread):
    """Broker and store clients on the loop that they are used from: then one clock rules all."""

    async def call(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return await work()

    def _start(self) -> Mailbox:
        if self._mailbox is None:
            self._mailbox = Mailbox(asyncio.get_running_loop())
        return self._mailbox

    def close(self) -> None:
        """There is no thread to end."""
        for task in self._tasks:
            task.cancel()


class PatientBroker:
    """Waits for a job for as long as there may be one: in virtual time that costs nothing."""

    def __init__(self, inner: Broker) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def receive(
        self, limit: int, *, lease: float, wait: float, rate: RateLimit | None
    ) -> Sequence[Delivery]:
        found = await self.inner.receive(limit, lease=lease, wait=0.0, rate=rate)
        if found:
            return found
        counts = await self.inner.counts()
        if counts["waiting"] + counts["delayed"] + counts["active"]:
            wait = max(wait, LONGEST_WAIT)
        return await self.inner.receive(limit, lease=lease, wait=wait, rate=rate)


@asynccontextmanager
async def virtual_time() -> AsyncGenerator[VirtualClock, None]:
    """Let time pass by itself when all wait, and by nothing else.

    >>> async with virtual_time() as clock:
    ...     worker = clock.worker(app.worker)
    ...     job = await worker.queue.enqueue(signal, max_attempts=3, backoff=timedelta(days=1))
    ...     await worker.run(until_idle=True)  # two days later, in milliseconds
    """
    clock = VirtualClock()
    clock.start()
    try:
        yield clock
    finally:
        clock.stop()
