"""A job whose progress was saved under former names resumes under the present ones."""

import pytest

from cnstra import CNS, Queue, collateral
from tests.durables import Story, drain, entry, later, output, record_of

OLD = collateral("old middle", int)
NEW = collateral("middle", int, former_names=("old middle",))


def before(story: Story) -> CNS:
    return CNS([
        story.step("first", entry, OLD),
        story.step("old second", OLD, later),
        story.step("third", later, output),
    ])  # fmt: skip


def after(story: Story) -> CNS:
    return CNS([
        story.step("first", entry, NEW),
        story.step("second", NEW, later, former_names=("old second",)),
        story.step("third", later, output),
    ])  # fmt: skip


@pytest.mark.parametrize("durability", ["exit", "step"])
async def test_a_dead_job_resumes_on_the_renamed(url: str, durability: str) -> None:
    story, renamed = Story(), Story()
    story.fails("old second", 2)
    renamed.fails("second", 1)
    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(7), max_attempts=2)
        await drain(queue, before(story), durability=durability)
        assert await job.state() == "dead"
        assert await job.redrive()

        await drain(queue, after(renamed), durability=durability)

        assert await job.result(timeout=0) == {"results": [7]}
    assert renamed.log == [("second", 7), ("second", 7), ("third", 7)]
    assert renamed.keys["second", 7] == story.keys["old second", 7], "its key stays what it was"


async def test_the_context_moves_with_its_neuron(url: str) -> None:
    """The new neuron sees the value, and the old name is gone from the progress."""
    story, renamed = Story(), Story()
    story.fails("old second", 1)
    renamed.fails("second", 1)
    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(7))
        await drain(queue, before(story))
        assert await job.redrive()
        await drain(queue, after(renamed))

        progress = await queue.progress(job.id)
        assert progress is not None
        assert progress.contexts() == {"first": b"[7]", "second": b"[7,7]"}
        ((_, task),) = progress.tasks()
        assert (task.neuron, task.collateral) == ("second", "middle")


async def test_a_job_that_was_enqueued_under_a_former_name_runs(url: str) -> None:
    story = Story()
    renamed = collateral("in", int, former_names=(entry.name,))
    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(7))

        await drain(queue, CNS([story.step("first", renamed, output)]))

        assert await job.result(timeout=0) == {"results": [7]}
        assert (await record_of(queue, job.id)).attempts_made == 0
