"""D1: no run that loads a checkpoint starts what that checkpoint holds as done."""

import asyncio

import pytest

from cnstra import Queue, Worker
from cnstra.durable.journal import Durability
from tests.durables import PATIENCE, Story, drain, entry, output, record_of, until, working

DURABILITIES = ["exit", "behind", "step"]


@pytest.mark.parametrize("durability", DURABILITIES)
async def test_a_failed_step_is_all_that_the_retry_runs(url: str, durability: Durability) -> None:
    story = Story()
    story.fails("second", 2)

    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(7), max_attempts=3)
        await drain(queue, story.chain(), durability=durability)

        assert [name for name, _ in story.log] == ["first", "second", "second", "second", "third"]
        assert await job.result(timeout=PATIENCE) == {"results": [7]}


@pytest.mark.parametrize("durability", DURABILITIES)
async def test_branches_that_are_done_are_not_run_again(url: str, durability: Durability) -> None:
    story = Story()
    story.fails("leaf", 2)

    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(0), max_attempts=5)
        await drain(queue, story.bush(4), durability=durability)

        assert (story.count("fan"), story.count("branch"), story.count("leaf")) == (1, 4, 4 + 2)
        assert await job.result(timeout=PATIENCE) == {"results": [0, 1, 2, 3]}


@pytest.mark.parametrize("durability", DURABILITIES)
async def test_context_and_results_outlive_an_attempt(url: str, durability: Durability) -> None:
    """A failed activation keeps its writes, so the context counts both calls of the third step."""
    story = Story()
    story.fails("third", 1)

    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(7), max_attempts=2, backoff=3600.0)
        cns = story.chain()
        async with working(queue, cns, durability=durability, results=["middle", "output"]):
            await until(lambda: _is(queue, job.id, "delayed"))

        progress = await queue.progress(job.id)
        assert progress is not None
        assert progress.contexts() == {"first": b"[7]", "second": b"[7]", "third": b"[7]"}
        ((key, task),) = progress.tasks()
        assert (task.neuron, bytes(task.payload)) == ("third", b"7")
        error = progress.error(key)
        assert error is not None
        assert (error.name, error.message, error.aborted) == ("Broken", "third", False)
        assert [one.collateral for one in progress.results()] == ["middle"]


async def _is(queue: Queue, job_id: str, state: str) -> bool:
    return (await record_of(queue, job_id)).state == state


@pytest.mark.parametrize("durability", DURABILITIES)
async def test_a_shutdown_gives_the_job_back_where_it_stands(
    url: str, durability: Durability
) -> None:
    story = Story()
    entered = story.stands("second")

    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(7))
        async with working(queue, story.chain(), durability=durability, grace=0.0):
            await asyncio.wait_for(entered.wait(), PATIENCE)
        given_back = await record_of(queue, job.id)
        assert (given_back.state, given_back.attempts_made) == ("waiting", 0)

        story.opens("second")
        await drain(queue, story.chain(), durability=durability)

        assert [name for name, _ in story.log] == ["first", "second", "second", "third"]
        assert await job.result(timeout=PATIENCE) == {"results": [7]}


@pytest.mark.parametrize("durability", DURABILITIES)
async def test_a_redriven_job_goes_on_where_it_stood(url: str, durability: Durability) -> None:
    story = Story()
    story.fails("third", 1)

    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(7))
        await drain(queue, story.chain(), durability=durability)
        assert await job.state() == "dead"

        assert await job.redrive()
        await drain(queue, story.chain(), durability=durability)

        assert [name for name, _ in story.log] == ["first", "second", "third", "third"]
        assert await job.result(timeout=PATIENCE) == {"results": [7]}


async def test_what_never_started_is_resumed_in_its_order(url: str) -> None:
    story = Story()
    entered = story.stands("branch")

    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(0))
        async with working(queue, story.bush(5), grace=0.0):
            await asyncio.wait_for(entered.wait(), PATIENCE)

        progress = await queue.progress(job.id)
        assert progress is not None
        owed = [int(bytes(task.payload)) for _, task in progress.tasks()]
        assert owed == [0, 1, 2, 3, 4]
        story.opens("branch")
        story.log.clear()
        await drain(queue, story.bush(5))

        assert [payload for name, payload in story.log if name == "branch"] == [0, 1, 2, 3, 4]
        assert await job.result(timeout=PATIENCE) == {"results": [0, 1, 2, 3, 4]}


async def test_a_second_worker_takes_over_what_the_first_had_done(url: str) -> None:
    """Two workers of one queue; the first is stopped in mid-job, the second goes on."""
    story = Story()
    entered = story.stands("second")
    async with Queue("q", url) as one, Queue("q", url) as other:
        job = await one.enqueue(entry.create_signal(7))
        async with working(one, story.chain(), durability="step", grace=0.0):
            await asyncio.wait_for(entered.wait(), PATIENCE)
            story.opens("second")
        second = Worker(other, story.chain(), results=[output])
        await asyncio.wait_for(second.run(until_idle=True), PATIENCE)

        assert story.count("first") == 1
        assert await job.result(timeout=PATIENCE) == {"results": [7]}
