"""A worker opens the resources before its first job, and closes them after its drain."""

import asyncio
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from cnstra import CNS, Context, Queue, Resource, StimulationFailed, Worker, neuron, run_durably
from cnstra.errors import ResourceFailed
from tests.graphs import entry

Ctx = Context[Any]

word = Resource[str]("word")


class Story:
    """What happened, in order, and a graph that goes on telling it."""

    def __init__(self) -> None:
        self.log: list[Any] = []
        self.started = asyncio.Event()
        self.opened = asyncio.Event()
        self.neuron = neuron("teller", {})
        self.neuron.dendrite(entry, self._tell)

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[str, None]:
        self.log.append(("open", threading.get_ident() == threading.main_thread().ident))
        yield "word"
        self.log.append(("close", threading.get_ident() == threading.main_thread().ident))

    async def _tell(self, payload: int, axon: Any, ctx: Ctx) -> None:
        self.log.append(ctx.resources[word])
        self.started.set()
        await self.opened.wait()
        self.log.append("done")


async def test_they_are_open_from_the_first_job_to_the_end_of_the_drain() -> None:
    # Given a worker whose job waits
    story = Story()
    cns = CNS([story.neuron], resources=[word.opened_by(story.open)])
    async with Queue("q", "memory://worker-resources") as queue:
        job = await queue.enqueue(entry.create_signal(1))
        worker = Worker(queue, cns)
        working = asyncio.ensure_future(worker.run())
        await story.started.wait()

        # When it is told to stop, and the job ends within its grace
        worker.stop()
        await asyncio.sleep(0)
        story.opened.set()
        await working

        # Then they were closed after that, on the worker's own thread as they had been opened
        assert story.log == [("open", True), "word", "done", ("close", True)]
        assert await job.state() == "completed"


async def test_a_worker_is_given_its_own() -> None:
    story = Story()
    story.opened.set()
    cns = CNS([story.neuron], resources=[word.opened_by(story.open)])
    async with Queue("q", "memory://own-resources") as queue:
        await queue.enqueue(entry.create_signal(1))
        await Worker(queue, cns, resources=[word.of("other")]).run(until_idle=True)

    assert story.log == ["other", "done"]


async def test_those_of_an_open_cns_are_shared() -> None:
    story = Story()
    story.opened.set()
    cns = CNS([story.neuron], resources=[word.opened_by(story.open)])
    async with Queue("q", "memory://shared-resources") as queue, cns:
        await queue.enqueue(entry.create_signal(1))
        await asyncio.gather(*(Worker(queue, cns).run(until_idle=True) for _ in range(2)))
        assert story.log == [("open", True), "word", "done"]


async def test_where_one_cannot_be_opened_no_job_is_touched() -> None:
    story = Story()

    def broken() -> Any:
        raise OSError("no such host")

    cns = CNS([story.neuron], resources=[word.opened_by(broken)])
    async with Queue("q", "memory://broken-resources") as queue:
        job = await queue.enqueue(entry.create_signal(1))
        with pytest.raises(ResourceFailed, match="no such host"):
            await Worker(queue, cns).run(until_idle=True)

        assert await job.state() == "waiting"
    assert story.log == []


async def test_a_durable_run_by_itself_opens_them_too(tmp_path: Any) -> None:
    story = Story()
    story.opened.set()
    cns = CNS([story.neuron], resources=[word.opened_by(story.open)])

    signal = entry.create_signal(1)
    await run_durably(cns, signal, key="k", store=f"sqlite:///{tmp_path}/runs.db")

    assert story.log == [("open", True), "word", "done", ("close", True)]


async def test_what_a_durable_run_interrupted_is_undone(tmp_path: Any) -> None:
    log: list[str] = []

    async def fail_once(payload: int, axon: Any, ctx: Ctx) -> None:
        log.append("written")
        ctx.add_undo(lambda: log.append("undone"))
        if ctx.attempt == 1:
            raise ValueError

    cns = CNS([neuron("n", {}).dendrite(entry, fail_once)])
    call: Any = {"key": "k", "store": f"sqlite:///{tmp_path}/runs.db"}
    with pytest.raises(StimulationFailed):
        await run_durably(cns, entry.create_signal(1), **call)
    await run_durably(cns, entry.create_signal(1), **call)

    assert log == ["written", "undone", "written"]
