"""Where one test plays: a queue of its own on the rig's broker, workers, and what they did."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from cnstra import CNS, Job, Queue, Worker
from cnstra.jobs.broker import Capabilities, JobRecord, JobState
from cnstra.testing.conformance.processes import GLANCE, Process, start, until
from cnstra.testing.conformance.rig import Rig
from cnstra.testing.effects import Effects
from cnstra.testing.flow import graph, result


class Stage:
    """A queue, opened; the log of effects; and the means to start workers and make faults."""

    def __init__(self, rig: Rig, folder: Path, name: str = "") -> None:
        self.rig = rig
        self.folder = folder
        self.name = name or f"conformance-{uuid4().hex[:12]}"
        self.effects = Effects(folder / f"{self.name}.effects")
        self.queue = self.new_queue()
        self.refusal = ""
        self.remark = ""
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "Stage":
        await self._stack.enter_async_context(self.queue)
        self._stack.callback(self.effects.close)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def another(self) -> "Stage":
        """A second stage, with a queue of its own."""
        return Stage(self.rig, self.folder)

    @property
    def able(self) -> Capabilities:
        return self.queue.broker.capabilities

    def new_queue(self, **options: Any) -> Queue:
        """Another hold on the same queue, not yet opened."""
        return Queue(self.name, self.rig.url, store=self.rig.store, **options)

    # --- workers

    def worker(
        self, cns: CNS | None = None, *, queue: Queue | None = None, **options: Any
    ) -> Worker:
        """A worker of this process, on the flow unless told otherwise.

        Its leases are long: only a test that waits for one to run out can bear a pause of the
        machine that is longer than a short one.
        """
        options = {"results": [result], "grace": 0.2, **options}
        return Worker(queue or self.queue, cns or graph(self.effects), **options)

    @asynccontextmanager
    async def working(self, cns: CNS | None = None, **options: Any) -> AsyncGenerator[Worker, None]:
        """A worker that runs for as long as this context."""
        worker = self.worker(cns, **options)
        running = asyncio.ensure_future(worker.run())
        try:
            yield worker
        finally:
            if not running.done():
                worker.stop()
            await asyncio.wait_for(running, self.rig.patience)

    async def work_in_thread(self, stop: asyncio.Event, **options: Any) -> None:
        """Work on a loop and a queue of its own, until `stop` is set on this one's."""
        here = asyncio.get_running_loop()

        async def work() -> None:
            async with self.new_queue() as queue:
                worker = self.worker(queue=queue, **options)
                loop = asyncio.get_running_loop()
                running = asyncio.ensure_future(worker.run())
                waiting = asyncio.run_coroutine_threadsafe(stop.wait(), here)
                waiting.add_done_callback(lambda _: loop.call_soon_threadsafe(worker.stop))
                await running

        await asyncio.to_thread(lambda: asyncio.run(work()))

    @asynccontextmanager
    async def process(
        self, *, die: tuple[str, int] | None = None, **options: Any
    ) -> AsyncGenerator[Process, None]:
        """A worker process. Killed at the end of this context, if it is still there."""
        self.require_durable()
        orders = {
            "queue": self.name,
            "url": self.rig.url,
            "store": self.rig.store,
            "effects": str(self.effects.path),
            "die": die,
            "options": {"lease": self.rig.lease, "grace": 0.2, **options},
        }
        program = ("cnstra.testing.worker", json.dumps(orders))
        async with start(*program, patience=self.rig.patience) as process:
            yield process

    # --- waiting

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that this process can see."""
        await until(condition, self.rig.patience)

    async def until_state(self, job: Job, *states: JobState) -> JobRecord:
        """Wait until the broker holds the job in one of these states."""
        async with asyncio.timeout(self.rig.patience):
            while True:
                record = await job.record()
                if record is not None and record.state in states:
                    return record
                await asyncio.sleep(GLANCE)

    async def result(self, job: Job) -> dict[str, Any]:
        """The job's result, once it is there."""
        return await job.result(timeout=self.rig.patience)

    async def dead(self) -> list[JobRecord]:
        """The dead letters, once there are some."""
        async with asyncio.timeout(self.rig.patience):
            while True:
                found = await self.queue.jobs("dead")
                if found:
                    return list(found)
                await asyncio.sleep(GLANCE)

    # --- what the broker declares

    @contextmanager
    def refused(self, error: type[Exception], capability: str) -> Generator[None, None, None]:
        """What is done here must raise that error, as the capability declares."""
        with pytest.raises(error) as refusal:
            yield
        assert str(refusal.value), f"{error.__name__} must say what to do"
        self.refusal = f"{capability}: {refusal.value}"

    def require_durable(self) -> None:
        """Skip, where jobs end with their process: nothing of it could be killed and go on."""
        if not self.able.durable:
            pytest.skip("jobs end with their process, as durable=False declares")
