"""A worker that a test drives by hand, in virtual time."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, cast

from cnstra.jobs.broker import Broker
from cnstra.jobs.job import Job
from cnstra.jobs.queue import Queue
from cnstra.jobs.settlement import Delivery, Settlement
from cnstra.jobs.worker import Worker
from cnstra.testing.virtual import VirtualClock


class WorkerHarness:
    """A worker of yours on a queue in memory, under a virtual clock.

    >>> harness = WorkerHarness(app.worker, clock)
    >>> job = await harness.queue.enqueue(order.create_signal({"id": 7}))
    >>> await harness.drain()
    {"Completed": 1}
    """

    def __init__(self, worker: Worker, clock: VirtualClock, queue: Queue | None = None) -> None:
        own = queue or clock.queue_like(worker.queue)
        own.broker = cast(Any, _Counting(own.broker, self))
        self.worker = self._running = clock.worker(worker, own)
        self._settled: Counter[str] = Counter()
        self._stops_after = 0

    @property
    def queue(self) -> Queue:
        """Where its jobs come from."""
        return self.worker.queue

    async def run_one(self) -> str | None:
        """Run one attempt of one job, whenever that is due.

        How it ended: "Completed", "Retry", "Requeued" or "DeadLettered"; `None` for an empty queue.
        """
        one_job = self.worker.with_queue(self.queue, concurrency=1)
        ends = await self._run(one_job, stops_after=1)
        return next(iter(ends), None)

    async def drain(self) -> Mapping[str, int]:
        """Run jobs, and their retries, until none is left; how many attempts ended how."""
        return await self._run(self.worker, stops_after=0)

    async def _run(self, worker: Worker, *, stops_after: int) -> Mapping[str, int]:
        self._running, self._stops_after, self._settled = worker, stops_after, Counter()
        await worker.run(until_idle=True)
        return dict(self._settled)

    async def perform(self, signal: Any, **options: Any) -> dict[str, Any]:
        """Enqueue a job, drain the queue, and return the job's result. Raises `JobFailed`.

        The options are those of `enqueue`.
        """
        job: Job = await self.queue.enqueue(signal, **options)
        await self.drain()
        return await job.result(timeout=0)

    def stop(self) -> None:
        """Tell the worker to stop, as SIGTERM does: while it runs, as from a fake of yours."""
        self._running.stop()

    def settled(self, settlement: Settlement) -> None:
        """An attempt has ended."""
        self._settled[type(settlement).__name__] += 1
        if self._settled.total() == self._stops_after:
            self.stop()


class _Counting:
    """A broker that tells how attempts end."""

    def __init__(self, inner: Broker, harness: WorkerHarness) -> None:
        self._inner = inner
        self._harness = harness

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def settle(
        self, delivery: Delivery, settlement: Settlement, *rest: Any
    ) -> Sequence[Delivery]:
        found = await self._inner.settle(delivery, settlement, *rest)
        self._harness.settled(settlement)
        return found
