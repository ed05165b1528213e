"""A worker ends: told to stop at whatever moment, or with its queue. While it runs, it is not run
again.
"""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from cnstra import CNS, Queue, Resource, Worker, neuron
from cnstra.durable.io_thread import IOThread
from cnstra.durable.store import Patch, Saved, Ticket
from cnstra.errors import QueueClosed, StoreUnavailable, WorkerRuns
from tests.durables import (
    PATIENCE,
    BrokerAround,
    StoreAround,
    Story,
    around,
    drain,
    entry,
    output,
    store_at,
    until,
    working,
)

number = Resource[int]("number")


@pytest.fixture
def url() -> str:
    return f"memory://{uuid.uuid4()}"


class Slow:
    """A resource that takes for ever to open, unless its door is open."""

    def __init__(self) -> None:
        self.door = asyncio.Event()
        self.log: list[str] = []

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[int, None]:
        self.log.append("opening")
        await self.door.wait()
        yield 1
        self.log.append("closed")


def slowly(story: Story, slow: Slow) -> CNS:
    return CNS([story.step("only", entry, output)], resources=[number.opened_by(slow.open)])


@pytest.mark.parametrize("how", ["stop", "signal"])
async def test_while_its_resources_open(url: str, how: str) -> None:
    """It ends at once and has leased nothing; the next run of the same worker does the job."""
    story, slow = Story(), Slow()
    before = signal.getsignal(signal.SIGTERM)
    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(1))
        worker = Worker(queue, slowly(story, slow), results=[output])
        for _ in range(2):
            running = asyncio.ensure_future(worker.run())
            await until(lambda: slow.log[-1:] == ["opening"])
            if how == "stop":
                worker.stop()
            else:
                os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.wait_for(running, PATIENCE)
            assert slow.log.pop() == "opening"
            assert await job.state() == "waiting"
        assert signal.getsignal(signal.SIGTERM) is before

        slow.door.set()
        await asyncio.wait_for(worker.run(until_idle=True), PATIENCE)
        assert await job.result(timeout=0) == {"results": [1]}
    assert slow.log == ["opening", "closed"]


async def test_while_its_broker_cannot_be_reached(url: str) -> None:
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()

    class Away(BrokerAround):
        async def open(self) -> None:
            loop.call_soon_threadsafe(asked.set)
            await asyncio.Event().wait()

    queue = Queue("q", url)
    around(queue, Away)
    worker = Worker(queue, CNS([Story().step("only", entry, output)]))
    running = asyncio.ensure_future(worker.run())
    await asyncio.wait_for(asked.wait(), PATIENCE)
    worker.stop()
    await asyncio.wait_for(running, PATIENCE)
    await queue.close()


async def test_before_it_has_taken_its_first_step(url: str) -> None:
    """As a server does whose start fails just after it has begun to run its worker."""
    story = Story()
    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(1))
        worker = Worker(queue, CNS([story.step("only", entry, output)]))
        running = asyncio.ensure_future(worker.run())
        worker.stop()
        await asyncio.wait_for(running, PATIENCE)
        assert await job.state() == "waiting"


async def test_before_it_runs_at_all_is_of_no_account(url: str) -> None:
    story = Story()
    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(1))
        worker = Worker(queue, CNS([story.step("only", entry, output)]), results=[output])
        worker.stop()
        for _ in range(2):
            await asyncio.wait_for(worker.run(until_idle=True), PATIENCE)
            worker.stop()
        assert await job.result(timeout=0) == {"results": [1]}


async def test_a_worker_that_runs_is_not_run_again(url: str) -> None:
    """Nor does the call that is refused keep the first from being stopped."""
    story = Story()
    entered: Any = story.stands("only")
    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(1))
        async with working(queue, CNS([story.step("only", entry, output)])) as worker:
            await asyncio.wait_for(entered.wait(), PATIENCE)
            with pytest.raises(WorkerRuns, match="'q'"):
                await worker.run()
            story.opens("only")
        assert await job.state() == "completed"


@pytest.mark.parametrize("stops", [1, 2])
@pytest.mark.parametrize("at", ["a handler", "the end"])
async def test_while_its_store_is_away(at: str, stops: int) -> None:
    """Its broker answers, so no lease runs out. It ends all the same, and another goes on from what
    was written.
    """
    story = Story()
    store = Away(store_at(f"memory://{uuid.uuid4()}"))
    story.fails("third", 1 if at == "the end" else 0)
    entered = story.stands("second" if at == "a handler" else "third")
    async with Queue("q", f"mail://{uuid.uuid4()}", store=store) as queue:
        job = await queue.enqueue(entry.create_signal(1), max_attempts=2)
        options: dict[str, Any] = {"results": [output], "lease": 0.6, "durability": "step"}
        worker = Worker(queue, story.chain(), grace=0.0, **options)
        running = asyncio.ensure_future(worker.run())
        await asyncio.wait_for(entered.wait(), PATIENCE)
        store.is_away = True
        if at == "the end":
            story.opens("third")
            await until(lambda: store.refused)
        for _ in range(stops):
            worker.stop()
        await asyncio.wait_for(running, PATIENCE)

        store.is_away = False
        if at == "a handler":
            story.opens("second")
        await drain(queue, story.chain(), lease=0.6)
        assert await job.result(timeout=PATIENCE) == {"results": [1]}
    assert story.count("first") == 1


async def test_a_handler_may_outlast_all_patience_where_its_store_is_there() -> None:
    """What it did can be written, and is."""
    story = Story()
    door = threading.Event()

    def slow(payload: int, axon: Any) -> Any:
        story.log.append(("slow", payload))
        door.wait(PATIENCE)
        return axon.output.create_signal(payload)

    stubborn = neuron("slow", {"output": output}).dendrite(entry, slow, in_thread=True)
    async with Queue("q", f"mail://{uuid.uuid4()}") as queue:
        job = await queue.enqueue(entry.create_signal(1))
        worker = Worker(queue, CNS([stubborn]), results=[output], lease=0.3, grace=0.0)
        running = asyncio.ensure_future(worker.run())
        await until(lambda: story.log)
        worker.stop()
        worker.stop()
        await asyncio.sleep(1.0)
        door.set()
        await asyncio.wait_for(running, PATIENCE)
        assert await job.result(timeout=PATIENCE) == {"results": [1]}


class Away(StoreAround):
    """A store that is away when it is told so."""

    is_away = False
    refused = 0

    def _look(self) -> None:
        if self.is_away:
            self.refused += 1
            raise StoreUnavailable(url="store://", reason="it is away")

    async def load(self, run: str) -> Saved:
        self._look()
        return await super().load(run)

    async def peek(self, run: str) -> Saved | None:
        self._look()
        return await super().peek(run)

    async def commit(self, ticket: Ticket, patch: Patch) -> None:
        self._look()
        await super().commit(ticket, patch)

    async def finish(self, ticket: Ticket, result: bytes, keep: float | None) -> None:
        self._look()
        await super().finish(ticket, result, keep)


async def test_its_queue_closed_under_it(url: str) -> None:
    """It says so and ends, its handlers interrupted; another does the job when the lease is over.
    The queue is dead: what asked it is told, and no thread of it is left.
    """
    story = Story()
    entered: Any = story.stands("only")
    cns = CNS([story.step("only", entry, output)])
    async with Queue("q", url) as other:
        queue = Queue("q", url)
        queue.io = IOThread("cnstra-io closed")
        job = await queue.enqueue(entry.create_signal(1))
        asking = asyncio.ensure_future(job.result())
        worker = Worker(queue, cns, results=[output], lease=1.0, grace=0.0)
        running = asyncio.ensure_future(worker.run())
        await asyncio.wait_for(entered.wait(), PATIENCE)

        await queue.close()
        for one in (running, asking):
            with pytest.raises(QueueClosed, match="'q'"):
                await asyncio.wait_for(one, PATIENCE)
        assert not [one for one in threading.enumerate() if one.name == "cnstra-io closed"]

        story.opens("only")
        await asyncio.wait_for(Worker(other, cns, results=[output]).run(until_idle=True), PATIENCE)
        record = await other.record(job.id)
    assert record is not None
    assert (record.state, record.attempts_made) == ("completed", 0)


async def test_its_queue_closed_while_it_waits_for_jobs(url: str) -> None:
    queue = Queue("q", url)
    worker = Worker(queue, CNS([Story().step("only", entry, output)]))
    running = asyncio.ensure_future(worker.run())
    await until(queue.counts)
    await queue.close()
    with pytest.raises(QueueClosed, match="'q'"):
        await asyncio.wait_for(running, PATIENCE)


async def test_its_queue_closed_while_its_resources_open(url: str) -> None:
    queue, slow = Queue("q", url), Slow()
    running = asyncio.ensure_future(Worker(queue, slowly(Story(), slow)).run())
    await until(lambda: slow.log == ["opening"])
    await queue.close()
    slow.door.set()
    with pytest.raises(QueueClosed, match="'q'"):
        await asyncio.wait_for(running, PATIENCE)
    assert slow.log == ["opening", "closed"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_queue_that_was_used_is_not_shared_with_a_forked_process(tmp_path: Path) -> None:
    """The child is told so, at once, whatever it asks; the parent's connection is as it was."""
    script = tmp_path / "forks.py"
    script.write_text(
        """
import os, sys
from cnstra import History, Queue, blocking, collateral
from cnstra.errors import UsedBeforeFork
order = collateral("order", int)
queue = Queue("q", sys.argv[1])
blocking(queue.enqueue(order.create_signal(1)))
history = History(sys.argv[1] + "-history")
blocking(history.open())
if (child := os.fork()) == 0:
    try:
        blocking(queue.enqueue(order.create_signal(2)))
    except UsedBeforeFork:
        blocking(queue.close())
        blocking(history.close())
        os._exit(7)
    os._exit(1)
_, status = os.waitpid(child, 0)
blocking(queue.enqueue(order.create_signal(3)))
print(os.waitstatus_to_exitcode(status), blocking(queue.counts())["waiting"])
blocking(queue.close())
blocking(history.close())
"""
    )
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", script, f"sqlite:///{tmp_path}/jobs.db"],
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert (ran.stdout, ran.stderr) == ("7 2\n", "")
