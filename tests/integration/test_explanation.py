"""Why a job stands where it stands, and what a person may change of it."""

from dataclasses import dataclass

import pytest

from cnstra import CNS, Queue, collateral, neuron
from cnstra.errors import InvalidPayload, NotEditable
from cnstra.jobs.editing import edit_context, edit_payload, leave_out
from cnstra.jobs.explanation import Explanation, explain
from tests.durables import PATIENCE, Story, drain, entry


async def explained(queue: Queue, job_id: str, cns: CNS | None = None) -> Explanation:
    found = await explain(queue, job_id, None if cns is None else cns.network)
    assert found is not None
    return found


async def test_a_dead_job_tells_what_a_retry_runs_and_skips(url: str) -> None:
    story = Story()
    story.fails("second", 1)
    cns = story.chain()

    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(7))
        await drain(queue, cns, results=["middle"])
        found = await explained(queue, job.id, cns)

    assert found.standing == "It is in the dead letters after 1 attempt: Broken: second."
    assert "redrives it" in found.next
    ((owed),) = found.runs
    assert (owed.neuron, owed.collateral, owed.payload) == ("second", "middle", b"7")
    assert owed.error is not None
    assert (owed.error.name, owed.problem) == ("Broken", None)
    assert (found.follows, found.skips) == (["third"], ["first"])
    assert found.contexts == {"first": b"[7]", "second": b"[7]"}
    assert list(found.results) == [b"7"]
    assert not found.begins_afresh


async def test_code_that_cannot_resume_a_task_is_told_of(url: str) -> None:
    story = Story()
    story.fails("third", 1)
    other = Story().chain()
    del other.network.receivers["third", "later"]

    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(7))
        await drain(queue, story.chain())
        found = await explained(queue, job.id, other)

    assert found.runs[0].problem is not None
    assert "is not in this network" in found.runs[0].problem


async def test_a_job_that_was_put_back_goes_on_where_it_stood(url: str) -> None:
    story = Story()
    story.fails("second", 1)
    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(7))
        await drain(queue, story.chain())
        await queue.redrive(job.id)
        found = await explained(queue, job.id)

    assert found.standing == "Part of it has run; it waits to go on."
    assert [one.neuron for one in found.runs] == ["second"]


async def test_a_job_that_waits_begins_at_its_entry() -> None:
    async with Queue("q", "memory://explained waiting") as queue:
        await queue.pause()
        job = await queue.enqueue(entry.create_signal(7), max_attempts=3)
        later = await queue.enqueue(entry.create_signal(7), delay=3600)
        found, delayed = await explained(queue, job.id), await explained(queue, later.id)

    assert found.standing == "No worker has taken it yet."
    assert found.next.endswith("The queue is paused: it waits until that is resumed.")
    assert found.begins_afresh
    assert delayed.standing.startswith("It is due in 3,600 s.")


async def test_a_completed_job_and_one_that_is_not_there() -> None:
    async with Queue("q", "memory://explained completed") as queue:
        job = await queue.enqueue(entry.create_signal(7))
        await drain(queue, Story().chain())
        found = await explained(queue, job.id)

        assert found.standing == "It is completed."
        assert not found.begins_afresh
        assert await explain(queue, "nobody") is None


async def test_a_dead_job_goes_on_with_what_was_edited(url: str) -> None:
    story = Story()
    story.fails("second", 1)
    cns = story.chain()

    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(7))
        await drain(queue, cns)
        ((owed),) = (await explained(queue, job.id)).runs

        await edit_payload(queue, job.id, owed.key, b"8", cns.network)
        await edit_context(queue, job.id, "second", b"[70]", cns.network)
        edited = await explained(queue, job.id)
        assert await job.redrive()
        await drain(queue, cns)

        assert [(one.key, one.payload) for one in edited.runs] == [(owed.key, b"8")]
        assert edited.contexts["second"] == b"[70]"
        assert story.log[-2:] == [("second", 8), ("third", 8)]
        assert await job.result(timeout=PATIENCE) == {"results": [8]}


async def test_an_edit_keeps_every_value_as_it_is_given() -> None:
    """What the type does not know of a value, and what it would add, is nobody's change."""

    @dataclass
    class Price:
        amount: float
        currency: str = "EUR"

    price = collateral("price", Price)
    till = neuron("till", {})

    @till.dendrite(price)
    async def charge(value: Price) -> None:
        raise RuntimeError("no bank")

    cns = CNS([till])
    async with Queue("q", "memory://edited as it is given") as queue:
        job = await queue.enqueue({"collateralName": "price", "payload": {"amount": 1}})
        await drain(queue, cns, results=[])
        ((owed),) = (await explained(queue, job.id)).runs
        given = b'{"amount": 2, "note": "\\u00a0"}'
        await edit_payload(queue, job.id, owed.key, given, cns.network)

        ((edited),) = (await explained(queue, job.id)).runs
        assert edited.payload == b'{"amount":2,"note":"\\u00a0"}'


async def test_an_edit_is_checked_and_refused_where_it_could_do_harm(url: str) -> None:
    story = Story()
    story.fails("second", 1)
    cns = story.chain()

    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(7))
        with pytest.raises(NotEditable, match="only a dead job holds still"):
            await edit_context(queue, job.id, "first", b"[]", cns.network)
        await drain(queue, cns)
        ((owed),) = (await explained(queue, job.id)).runs

        with pytest.raises(InvalidPayload):
            await edit_payload(queue, job.id, owed.key, b'"eight"', cns.network)
        with pytest.raises(NotEditable, match="does not owe that task"):
            await edit_payload(queue, job.id, "0" * 32, b"8", cns.network)

        assert (await explained(queue, job.id)).runs[0].payload == b"7"


async def test_a_branch_is_left_out_and_the_others_are_retried(url: str) -> None:
    story = Story()
    story.fails("leaf", 2)
    cns = story.bush(4)

    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(0))
        await drain(queue, cns)
        first, second = (await explained(queue, job.id)).runs

        await leave_out(queue, job.id, first.key)
        with pytest.raises(NotEditable, match="does not owe that task"):
            await leave_out(queue, job.id, first.key)
        with pytest.raises(NotEditable, match="owes nothing else"):
            await leave_out(queue, job.id, second.key)
        assert await job.redrive()
        await drain(queue, cns)
        result = await job.result(timeout=PATIENCE)

    left = int(first.payload)
    assert result == {"results": [one for one in range(4) if one != left]}
    assert story.count("leaf") == 4 + 1
