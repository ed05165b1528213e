"""Work in flight survives a deploy that gives its payloads and contexts a new shape, and names."""

from typing import Any, TypedDict

import pytest

from cnstra import CNS, Context, Queue, collateral, neuron, payload
from cnstra.errors import PayloadTooNew
from cnstra.jobs.checking import check, checked_states
from cnstra.jobs.editing import edit_context, edit_payload, owed_task, saved_context
from cnstra.jobs.explanation import explain
from tests.durables import PATIENCE, drain


class Old(TypedDict):
    id: int


def next_shape(old: dict[str, Any]) -> dict[str, Any]:
    return {"ids": [old["id"]]}


@payload(version=2, upcasts={1: next_shape})
class New(TypedDict):
    ids: list[int]


@payload(version=3, upcasts={1: next_shape, 2: lambda new: {**new, "more": True}})
class Newer(TypedDict):
    ids: list[int]
    more: bool


def deployed(type_: Any, *, fails: bool, former: tuple[str, ...] = (), renamed: str = "") -> CNS:
    """entry -> first -> (middle, done) -> second -> done, all of one type, contexts too."""
    names = ("entry", "middle", "done")
    entry, middle, done = (collateral(name, type_) for name in names)
    first = neuron("first", {"middle": middle, "done": done})
    second = neuron(renamed or "second", {"done": done}, context=type_, former_names=former)

    @first.dendrite(entry)
    async def on_entry(value: Any, axon: Any) -> Any:
        return [axon.middle.create_signal(value), axon.done.create_signal(value)]

    @second.dendrite(middle)
    async def on_middle(value: Any, axon: Any, ctx: Context[Any]) -> Any:
        seen = ctx.get(None)
        ctx.set(value)
        if fails:
            raise RuntimeError("not yet")
        assert seen == value, seen
        return axon.done.create_signal(value)

    return CNS([first, second])


async def test_a_run_that_older_code_began_ends_in_the_new_shape(url: str) -> None:
    async with Queue("q", url) as queue:
        job = await queue.enqueue({"collateralName": "entry", "payload": {"id": 7}})
        await drain(queue, deployed(Old, fails=True), results=["done"])
        assert await job.redrive()

        after = deployed(New, fails=False, renamed="last", former=("second",))
        await drain(queue, after, results=["done"])

        assert await job.result(timeout=PATIENCE) == {"results": [{"ids": [7]}] * 2}


async def test_a_job_goes_through_two_deploys_and_its_versions_with_it(url: str) -> None:
    async with Queue("q", url) as queue:
        job = await queue.enqueue({"collateralName": "entry", "payload": {"id": 7}})
        for type_ in (New, Newer):
            await drain(queue, deployed(type_, fails=True), results=["done"])
            assert await job.redrive()
        await drain(queue, deployed(Newer, fails=False), results=["done"])

        expected = {"ids": [7], "more": True}
        assert await job.result(timeout=PATIENCE) == {"results": [expected] * 2}


async def test_what_newer_code_saved_waits_for_its_deploy(url: str) -> None:
    new = deployed(New, fails=False)
    entry = new.network.collaterals["entry"]

    async with Queue("q", url) as queue:
        begun = await queue.enqueue(entry.create_signal({"ids": [7]}))
        await drain(queue, deployed(New, fails=True), results=["done"])
        fresh = await queue.enqueue(entry.create_signal({"ids": [8]}))
        assert await begun.redrive()
        await drain(queue, deployed(Old, fails=False), results=["done"])

        for job in (begun, fresh):
            record = await job.record()
            assert record is not None
            assert record.error is not None
            assert (record.state, record.error["name"]) == ("dead", "PayloadTooNew")
        old = deployed(Old, fails=False).network
        stuck = [one async for one in check(queue, old, checked_states(queue))]
        assert {one.job.id for one in stuck} == {begun.id, fresh.id}
        assert [one async for one in check(queue, new.network, checked_states(queue))] == []

        assert await begun.redrive()
        await drain(queue, new, results=["done"])
        assert await begun.result(timeout=PATIENCE) == {"results": [{"ids": [7]}] * 2}


async def test_a_check_looks_at_context_values_that_will_be_read() -> None:
    """The frontier fits, but `second` would be given a value that is no longer of its type."""

    def counting(type_: Any) -> CNS:
        middle = collateral("entry", int)
        second = neuron("second", context=type_)

        @second.dendrite(middle)
        async def on_entry(value: int, axon: Any, ctx: Context[Any]) -> None:
            ctx.set(value)
            raise RuntimeError("not yet")

        return CNS([second])

    async with Queue("q", "memory://contexts that are checked") as queue:
        await queue.enqueue({"collateralName": "entry", "payload": 7})
        await drain(queue, counting(int), results=[])
        fits = [one async for one in check(queue, counting(int).network, ["dead"])]
        stuck = [one async for one in check(queue, counting(list[str]).network, ["dead"])]

    assert fits == []
    assert [one.neuron for one in stuck] == ["second"]
    assert "context value" in stuck[0].reason


async def test_what_older_code_saved_is_shown_and_edited_in_the_new_shape(url: str) -> None:
    after = deployed(New, fails=False, renamed="last", former=("second",))
    network = after.network

    async with Queue("q", url) as queue:
        job = await queue.enqueue({"collateralName": "entry", "payload": {"id": 7}})
        await drain(queue, deployed(Old, fails=True), results=["done"])
        found = await explain(queue, job.id, network)
        assert found is not None
        key = found.runs[0].key
        owed = await owed_task(queue, job.id, key, network)
        value = await saved_context(queue, job.id, "second", network)
        await edit_payload(queue, job.id, key, b'{"ids": [7, 8]}', network)
        await edit_context(queue, job.id, "second", b'{"ids": [7, 8]}', network)
        assert await job.redrive()
        await drain(queue, after, results=["done"])

        assert (owed.neuron, owed.payload, value) == ("last", b'{"ids":[7]}', b'{"ids":[7]}')
        assert found.runs[0].payload == found.contexts["second"] == b'{"ids":[7]}'
        assert await job.result(timeout=PATIENCE) == {"results": [{"ids": [7]}, {"ids": [7, 8]}]}


async def test_what_no_upcast_brings_here_is_shown_as_it_is_and_not_edited() -> None:
    old = deployed(Old, fails=False).network

    async with Queue("q", "memory://newer than the page") as queue:
        job = await queue.enqueue(
            {"collateralName": "entry", "payload": {"ids": [7]}, "v": 2},
        )
        await drain(queue, deployed(New, fails=True), results=["done"])
        found = await explain(queue, job.id, old)
        assert found is not None
        (owed,) = found.runs
        assert (owed.payload, "newer" in (owed.problem or "")) == (b'{"ids":[7]}', True)
        assert found.contexts == {"second": b'{"ids":[7]}'}
        with pytest.raises(PayloadTooNew):
            await owed_task(queue, job.id, owed.key, old)
