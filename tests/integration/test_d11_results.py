"""D11: results are kept over attempts, once each, in lineage order; none is of an inner run."""

import asyncio
import random
from typing import Any

import pytest

from cnstra import CNS, Context, Queue, Worker, collateral, neuron, run_durably
from cnstra.errors import UnknownCollateral
from tests.durables import PATIENCE, Broken, Story, drain, entry, later, middle, output

WIDTH = 6


def jungle(chance: random.Random, failing: float = 0.0) -> CNS:
    """Branches of different depth, each step of which takes its own time, and may fail."""
    fan = neuron("fan", {"middle": middle, "output": output})
    step = neuron("step", {"middle": middle, "later": later, "output": output})
    leaf = neuron("leaf", {"output": output})

    async def dawdle() -> None:
        await asyncio.sleep(chance.random() * 0.01)
        if chance.random() < failing:
            raise Broken

    @fan.dendrite(entry)
    async def on_entry(payload: int, axon: Any) -> Any:
        return [axon.output.create_signal(-1), *map(axon.middle.create_signal, range(WIDTH))]

    @step.dendrite(middle)
    async def on_middle(payload: int, axon: Any) -> Any:
        await dawdle()
        if payload >= 2 * WIDTH:
            return axon.later.create_signal(payload)
        later_on = axon.middle.create_signal(payload + WIDTH)
        return [later_on, axon.output.create_signal(payload * 10), later_on]

    @leaf.dendrite(later)
    async def on_later(payload: int, axon: Any) -> Any:
        await dawdle()
        return [axon.output.create_signal(payload * 10 + one) for one in (1, 2)]

    return CNS([fan, step, leaf])


def in_order() -> list[int]:
    """What a run of sync handlers would emit, one after the other."""
    found, queue = [-1], [(number, False) for number in range(WIDTH)]
    while queue:
        payload, is_leaf = queue.pop(0)
        if is_leaf:
            found += [payload * 10 + 1, payload * 10 + 2]
        elif payload >= 2 * WIDTH:
            queue.append((payload, True))
        else:
            found.append(payload * 10)
            queue += [(payload + WIDTH, False)] * 2
    return found


@pytest.mark.parametrize("seed", range(4))
async def test_results_are_in_lineage_order_whatever_the_timing(url: str, seed: int) -> None:
    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(0))
        await drain(queue, jungle(random.Random(seed)))
        assert await job.result(timeout=PATIENCE) == {"results": in_order()}


@pytest.mark.parametrize("durability", ["exit", "behind", "step"])
async def test_results_are_kept_over_attempts_once_each(url: str, durability: Any) -> None:
    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(0), max_attempts=200)
        await drain(queue, jungle(random.Random(1), failing=0.3), durability=durability)
        record = await queue.record(job.id)
        assert record is not None
        assert record.attempts_made > 1
        assert await job.result(timeout=PATIENCE) == {"results": in_order()}


async def test_inner_runs_add_nothing_to_the_results(url: str) -> None:
    outer = neuron("outer", {"output": output})
    inner = neuron("inner", {"output": output, "middle": middle}).dendrite(
        middle, lambda payload, axon: axon.output.create_signal(payload)
    )
    heard: list[int] = []

    @outer.dendrite(entry)
    async def on_entry(payload: int, axon: Any, ctx: Context[Any]) -> Any:
        await ctx.cns.stimulate(
            middle.create_signal(99),
            on_response=lambda response: (
                heard.append(response.output_signal.payload) if response.output_signal else None
            ),
        )
        return axon.output.create_signal(payload)

    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(7))
        await drain(queue, CNS([outer, inner]))
        assert await job.result(timeout=PATIENCE) == {"results": [7]}
    assert heard == [99, 99]


async def test_results_may_come_of_several_collaterals_and_be_listened_to(url: str) -> None:
    """The signal that started the run is none of its results."""
    story = Story()
    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(7))
        await drain(queue, story.chain(), results=[entry, middle, "later", output])
        assert await job.result(timeout=PATIENCE) == {"results": [7, 7, 7]}


async def test_a_result_without_a_listener_is_encoded_as_its_type(url: str) -> None:
    anything = collateral("anything")
    cns = CNS(
        [
            neuron("n", {"anything": anything}).dendrite(
                entry, lambda _, axon: axon.anything.create_signal(object())
            )
        ]
    )
    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(7))
        await drain(queue, cns, results=["anything"])
        record = await queue.record(job.id)
        assert record is not None
        assert record.error is not None
        assert record.error["name"] == "NotSerializable"
        loose = await queue.enqueue(entry.create_signal(7))
        await drain(queue, cns, results=[])  # nobody listens, nobody keeps it: it never travels
        assert await loose.result(timeout=PATIENCE) == {"results": []}


async def test_a_result_that_the_graph_does_not_have_is_an_error_at_once(url: str) -> None:
    async with Queue("q", url) as queue:
        with pytest.raises(UnknownCollateral, match=r"'outptu'.*mean 'output'"):
            Worker(queue, Story().chain(), results=["outptu"])
    with pytest.raises(UnknownCollateral, match="'outptu'"):
        await run_durably(
            Story().chain(), entry.create_signal(1), key="k", store=url, results=["outptu"]
        )
