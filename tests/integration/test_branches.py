"""One branch of a dead job is redriven alone, and the others stay owed."""

import asyncio
from collections.abc import Sequence
from typing import Any, TypedDict

import pytest

from cnstra import CNS, JobFailed, Queue, collateral, neuron, payload
from cnstra.errors import BrokerUnavailable, NotEditable
from cnstra.jobs.editing import leave_out, redrive_branch
from cnstra.jobs.explanation import OwedTask, explain
from tests.durables import (
    PATIENCE,
    BrokerAround,
    Story,
    around,
    drain,
    entry,
    later,
    middle,
    output,
    record_of,
    working,
)

ALL = {"results": [0, 1, 2]}


def no_way(old: Any) -> Any:
    raise ValueError(f"what became of {old}?")


@payload(version=2, upcasts={1: no_way})
class Unreachable(TypedDict):
    name: str


async def owed(queue: Queue, job_id: str) -> Sequence[OwedTask]:
    found = await explain(queue, job_id)
    assert found is not None
    return found.runs


def both(payload: int, axon: Any) -> Any:
    return [axon.middle.create_signal(payload), axon.later.create_signal(payload)]


async def held_back(queue: Queue, job_id: str) -> list[bool]:
    return [one.held_back for one in await owed(queue, job_id)]


async def dead_bush(queue: Queue, story: Story, **options: Any) -> Any:
    """A job whose three branches have failed, each at its leaf; what was played is forgotten."""
    story.fails("leaf", 3 * options.get("max_attempts", 1))
    job = await queue.enqueue(entry.create_signal(0), **options)
    await drain(queue, story.bush(3))
    assert len(await owed(queue, job.id)) == 3
    story.log.clear()
    return job


async def test_one_branch_runs_alone_and_the_others_stay_owed(url: str) -> None:
    story = Story()
    async with Queue("q", url) as queue:
        job = await dead_bush(queue, story, max_attempts=2)
        first, chosen, last = await owed(queue, job.id)

        assert await redrive_branch(queue, job.id, chosen.key)
        await drain(queue, story.bush(3))

        assert story.log == [("leaf", 1)]
        assert await owed(queue, job.id) == [first, last], "with the errors that they had"
        dead = await record_of(queue, job.id)
        assert (dead.state, dead.attempts_made, dead.error["name"]) == ("dead", 1, "HeldBack")
        with pytest.raises(JobFailed, match="2 in all"):
            await job.result(timeout=PATIENCE)

        assert await job.redrive()
        await drain(queue, story.bush(3))
        assert story.log[1:] == [("leaf", 0), ("leaf", 2)]
        assert await job.result(timeout=PATIENCE) == ALL


async def test_one_branch_after_the_other_completes_the_job(url: str) -> None:
    story = Story()
    async with Queue("q", url) as queue:
        job = await dead_bush(queue, story)
        for one in reversed(await owed(queue, job.id)):
            assert await redrive_branch(queue, job.id, one.key)
            await drain(queue, story.bush(3))

        assert story.log == [("leaf", 2), ("leaf", 1), ("leaf", 0)]
        assert await job.result(timeout=PATIENCE) == ALL


async def test_what_comes_of_the_branch_runs_with_it(url: str) -> None:
    story = Story()
    story.fails("branch", 3)
    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(0))
        await drain(queue, story.bush(3))
        story.log.clear()

        assert await redrive_branch(queue, job.id, (await owed(queue, job.id))[2].key)
        await drain(queue, story.bush(3), durability="step")

        assert story.log == [("branch", 2), ("leaf", 2)]
        assert await job.redrive()
        await drain(queue, story.bush(3))
        assert await job.result(timeout=PATIENCE) == ALL


async def test_a_branch_that_fails_again_is_retried_alone(url: str) -> None:
    """In the end the job owes all of them, and a plain redrive runs all of them."""
    story = Story()
    async with Queue("q", url) as queue:
        job = await dead_bush(queue, story, max_attempts=3)
        chosen = (await owed(queue, job.id))[0]
        story.fails("leaf", 3)

        assert await redrive_branch(queue, job.id, chosen.key)
        await drain(queue, story.bush(3))

        assert story.log == [("leaf", 0)] * 3
        dead = await record_of(queue, job.id)
        assert (dead.state, dead.attempts_made, dead.error["name"]) == ("dead", 3, "Broken")
        assert await held_back(queue, job.id) == [False] * 3

        assert await job.redrive()
        await drain(queue, story.bush(3))
        assert [payload for _, payload in story.log[3:]] == [0, 1, 2]
        assert await job.result(timeout=PATIENCE) == ALL


@pytest.mark.parametrize("how", ["the redrive fails", "cancelled while it waits"])
async def test_a_hold_that_was_never_used_is_forgotten(url: str, how: str) -> None:
    """The next plain redrive runs all branches, as the explanation says."""
    story = Story()
    async with Queue("q", url) as queue:
        broker = around(queue, Cut)
        job = await dead_bush(queue, story)
        chosen = (await owed(queue, job.id))[1]
        if how == "the redrive fails":
            broker.cuts = 1
            with pytest.raises(BrokerUnavailable):
                await redrive_branch(queue, job.id, chosen.key)
        else:
            assert await redrive_branch(queue, job.id, chosen.key)
            assert await held_back(queue, job.id) == [True, False, True]
            assert await job.cancel()
        assert await job.state() == "dead"
        assert await held_back(queue, job.id) == [False] * 3

        assert await job.redrive()
        await drain(queue, story.bush(3))
        assert [payload for _, payload in story.log] == [0, 1, 2]
        assert await job.result(timeout=PATIENCE) == ALL


class Cut(BrokerAround):
    """A broker that goes away before so many redrives."""

    cuts = 0

    async def redrive(self, job_id: str) -> bool:
        if self.cuts:
            self.cuts -= 1
            raise BrokerUnavailable(url="away://", reason="cut off")
        return await self.inner.redrive(job_id)


async def test_a_redrive_by_another_tool_runs_all_of_them_too(url: str) -> None:
    """As one of BullMQ's does, which knows of no holds."""
    story = Story()
    async with Queue("q", url) as queue:
        job = await dead_bush(queue, story)
        story.fails("leaf", 1)
        assert await redrive_branch(queue, job.id, (await owed(queue, job.id))[1].key)
        await drain(queue, story.bush(3))

        assert await queue.io.call(lambda: queue.broker.redrive(job.id))
        await drain(queue, story.bush(3))
        assert [payload for _, payload in story.log] == [1, 0, 1, 2]
        assert await job.result(timeout=PATIENCE) == ALL


async def test_a_shutdown_keeps_the_others_held_back(url: str) -> None:
    story = Story()
    async with Queue("q", url) as queue:
        job = await dead_bush(queue, story)
        assert await redrive_branch(queue, job.id, (await owed(queue, job.id))[1].key)
        assert await held_back(queue, job.id) == [True, False, True]
        entered = story.stands("leaf")
        async with working(queue, story.bush(3), grace=0.0):
            await asyncio.wait_for(entered.wait(), PATIENCE)
        assert await held_back(queue, job.id) == [True, False, True]
        story.opens("leaf")
        await drain(queue, story.bush(3))

        assert story.log == [("leaf", 1)] * 2
        assert len(await owed(queue, job.id)) == 2


async def test_what_this_code_cannot_run_keeps_no_other_branch_from_running(url: str) -> None:
    """Since the job died, one branch was renamed, one removed, and one has got a type in which its
    payload cannot be put.
    """
    story, after = Story(), Story()
    names = ("old", "removed", "changed")
    for name in names:
        story.fails(name, 1)
    unreachable = collateral("later", Unreachable)
    before = CNS([
        neuron("both", {"middle": middle, "later": later}).dendrite(entry, both),
        story.step("old", middle, output),
        story.step("removed", middle),
        story.step("changed", later),
    ])  # fmt: skip
    now = CNS([
        neuron("both", {"middle": middle, "later": unreachable}).dendrite(entry, both),
        after.step("new", middle, output, former_names=("old",)),
        after.step("changed", unreachable),
    ])  # fmt: skip
    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(7))
        await drain(queue, before)
        found = {one.neuron: one.key for one in await owed(queue, job.id)}
        assert found.keys() == {*names}

        assert await redrive_branch(queue, job.id, found["old"])
        await drain(queue, now)
        assert after.log == [("new", 7)]
        assert [one.neuron for one in await owed(queue, job.id)] == ["removed", "changed"]

        assert await job.redrive()
        await drain(queue, before)
        assert await job.result(timeout=PATIENCE) == {"results": [7]}


async def test_another_branch_is_chosen_or_the_held_back_is_left_out(url: str) -> None:
    story = Story()
    async with Queue("q", url) as queue:
        job = await dead_bush(queue, story)
        first, second, third = await owed(queue, job.id)
        with pytest.raises(NotEditable, match="does not owe that task"):
            await redrive_branch(queue, job.id, "0" * 32)
        assert await redrive_branch(queue, job.id, first.key)
        with pytest.raises(NotEditable, match="only a dead job"):
            await redrive_branch(queue, job.id, second.key)
        await drain(queue, story.bush(3))

        await leave_out(queue, job.id, second.key)
        assert await redrive_branch(queue, job.id, third.key)
        await drain(queue, story.bush(3))
        assert await job.result(timeout=PATIENCE) == {"results": [0, 2]}
