"""An edit of a dead job is of what was read: whoever was there meanwhile is not written over."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from cnstra import CNS, Queue
from cnstra.durable.store import ProgressStore, Saved
from cnstra.errors import NotEditable
from cnstra.jobs.editing import edit_payload, owed_task, redrive_branch
from cnstra.jobs.explanation import OwedTask, explain
from tests.durables import (
    PATIENCE,
    StoreAround,
    Story,
    drain,
    entry,
    record_of,
    with_store,
    working,
)

Meanwhile = Callable[[], Awaitable[None]]


class Overtaken(StoreAround):
    """A store in which something happens, once, just after somebody has looked into it."""

    def __init__(self, inner: ProgressStore) -> None:
        super().__init__(inner)
        self._loop = asyncio.get_running_loop()
        self.meanwhile: Meanwhile | None = None

    async def peek(self, run: str) -> Saved | None:
        found = await super().peek(run)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            happening = asyncio.run_coroutine_threadsafe(_of(meanwhile), self._loop)
            await asyncio.wrap_future(happening)
        return found


async def _of(meanwhile: Meanwhile) -> None:
    await meanwhile()


async def owed(queue: Queue, job_id: str) -> Sequence[OwedTask]:
    found = await explain(queue, job_id)
    assert found is not None
    return found.runs


async def dead_bush(queue: Queue, story: Story, cns: CNS, width: int = 2) -> Any:
    """A job whose branches have failed, each at its leaf; what was played is forgotten."""
    story.fails("leaf", width)
    job = await queue.enqueue(entry.create_signal(0))
    await drain(queue, cns)
    story.log.clear()
    return job


async def test_an_edit_that_a_whole_attempt_has_overtaken_is_refused(url: str) -> None:
    """Else what was done meanwhile would be owed again."""
    story = Story()
    cns = story.bush(2)
    async with Queue("q", url) as queue:
        store = with_store(queue, Overtaken)
        job = await dead_bush(queue, story, cns)
        done, _ = await owed(queue, job.id)

        async def redriven_and_run() -> None:
            story.fails("leaf", 0)
            assert await redrive_branch(queue, job.id, done.key)
            await drain(queue, cns)

        store.meanwhile = redriven_and_run
        with pytest.raises(NotEditable, match="taken it up meanwhile"):
            await edit_payload(queue, job.id, done.key, b"8", cns.network)

        assert [one.payload for one in await owed(queue, job.id)] == [b"1"]
        assert await job.redrive()
        await drain(queue, cns)
        assert story.log == [("leaf", 0), ("leaf", 1)]
        assert await job.result(timeout=PATIENCE) == {"results": [0, 1]}


async def test_an_edit_of_what_another_has_edited_is_refused(url: str) -> None:
    story = Story()
    cns = story.bush(2)
    network = cns.network
    async with Queue("q", url) as queue:
        job = await dead_bush(queue, story, cns)
        key = (await owed(queue, job.id))[0].key
        seen = (await owed_task(queue, job.id, key, network)).payload
        await edit_payload(queue, job.id, key, b"7", network, before=seen)

        with pytest.raises(NotEditable, match="somebody else has changed that"):
            await edit_payload(queue, job.id, key, b"8", network, before=seen)

        assert (await owed_task(queue, job.id, key, network)).payload == b"7"


async def test_an_edit_leaves_the_worker_alone_that_has_begun_meanwhile(url: str) -> None:
    story = Story()
    cns = story.bush(1)
    async with Queue("q", url) as queue:
        store = with_store(queue, Overtaken)
        job = await dead_bush(queue, story, cns, 1)
        (task,) = await owed(queue, job.id)
        entered = story.stands("leaf")

        async def redriven_and_begun() -> None:
            assert await job.redrive()
            await asyncio.wait_for(entered.wait(), PATIENCE)

        async with working(queue, cns):
            real = queue.broker.get

            async def look(job_id: str) -> Any:
                """The job is dead as it is looked at, and then no more."""
                found = await real(job_id)
                if store.meanwhile is not None:
                    happening = asyncio.run_coroutine_threadsafe(redriven_and_begun(), loop)
                    store.meanwhile = None
                    await asyncio.wrap_future(happening)
                return found

            loop, store.meanwhile = asyncio.get_running_loop(), redriven_and_begun
            queue.broker.get = look  # type: ignore[method-assign]
            with pytest.raises(NotEditable, match="taken it up meanwhile"):
                await edit_payload(queue, job.id, task.key, b"8", cns.network)
            story.opens("leaf")
            assert await job.result(timeout=PATIENCE) == {"results": [0]}
    assert story.log == [("leaf", 0)]


async def test_an_edit_that_a_redrive_has_overtaken_is_refused_and_leaves_no_trace(
    url: str,
) -> None:
    """No worker has begun yet, and when one does, nobody seems to have died."""
    story = Story()
    cns = story.bush(1)
    async with Queue("q", url) as queue:
        store = with_store(queue, Overtaken)
        job = await dead_bush(queue, story, cns, 1)
        (task,) = await owed(queue, job.id)

        async def redriven() -> None:
            assert await job.redrive()

        store.meanwhile = redriven
        with pytest.raises(NotEditable, match="taken it up meanwhile"):
            await edit_payload(queue, job.id, task.key, b"8", cns.network)

        await drain(queue, cns, crash_limit=1)
        assert await job.result(timeout=PATIENCE) == {"results": [0]}


async def test_of_two_who_choose_a_branch_at_once_one_is_told_so(url: str) -> None:
    story = Story()
    cns = story.bush(2)
    async with Queue("q", url) as queue:
        store = with_store(queue, Overtaken)
        job = await dead_bush(queue, story, cns)
        mine, theirs = await owed(queue, job.id)

        async def chosen_by_another() -> None:
            assert await redrive_branch(queue, job.id, theirs.key)

        store.meanwhile = chosen_by_another
        with pytest.raises(NotEditable, match="taken it up meanwhile"):
            await redrive_branch(queue, job.id, mine.key)

        await drain(queue, cns)
        assert story.log == [("leaf", 1)]
        assert [one.key for one in await owed(queue, job.id)] == [mine.key]


@pytest.mark.parametrize("then", ["edit", "redrive"])
async def test_who_dies_while_they_edit_keeps_nobody_from_the_job(url: str, then: str) -> None:
    """Given an editor whose process died once it had taken the run, the job is edited by the next,
    or redriven, and nothing of it is taken for what killed a worker.
    """
    story = Story()
    cns = story.bush(1)
    async with Queue("q", url) as queue:
        job = await dead_bush(queue, story, cns, 1)
        run, store = (await record_of(queue, job.id)).run, queue.require_store("this test")
        (task,) = await owed(queue, job.id)
        await queue.io.call(lambda: store.load(run))

        if then == "edit":
            await edit_payload(queue, job.id, task.key, b"8", cns.network)
        assert await job.redrive()
        await drain(queue, cns, crash_limit=1)
        result = {"results": [8 if then == "edit" else 0]}
        assert await job.result(timeout=PATIENCE) == result
