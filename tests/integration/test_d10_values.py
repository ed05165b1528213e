"""D10: what a handler sees is the same on every attempt."""

import logging
from dataclasses import dataclass
from typing import Any, NamedTuple, TypedDict

import pydantic
import pytest

from cnstra import CNS, Context, Queue, collateral, neuron, run_durably
from tests.durables import Broken, Story, drain, entry, output, record_of


@dataclass
class Point:
    x: int
    y: int


class Pair(NamedTuple):
    left: int
    right: str


class Item(TypedDict):
    id: int


SAMPLES: dict[str, tuple[Any, Any]] = {
    "dataclass": (Point, Point(1, 2)),
    "NamedTuple": (Pair, Pair(1, "r")),
    "TypedDict": (Item, {"id": 1}),
    "set": (set[int], {1, 2}),
    "tuple": (tuple[int, str], (1, "x")),
    "bytes": (bytes, b"\x00\xff"),
    "untyped tuple": (Any, (1, 2)),
    "untyped dataclass": (Any, Point(1, 2)),
}
AS_JSON = {"untyped tuple": [1, 2], "untyped dataclass": {"x": 1, "y": 2}}


@pytest.mark.parametrize("sample", SAMPLES)
async def test_a_payload_is_decoded_as_its_type_on_the_first_attempt_too(
    url: str, sample: str
) -> None:
    type_, value = SAMPLES[sample]
    typed = collateral("typed", type_)
    seen: list[Any] = []

    def emit(payload: int, axon: Any) -> Any:
        return axon.typed.create_signal(value)

    def look(payload: Any, axon: Any, ctx: Context[Any]) -> None:
        del axon
        seen.append(payload)
        if ctx.attempt == 1:
            raise Broken

    cns = CNS([
        neuron("emit", {"typed": typed}).dendrite(entry, emit),
        neuron("look").dendrite(typed, look),
    ])  # fmt: skip
    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(0), max_attempts=2)
        await drain(queue, cns, results=[])
        assert await job.state() == "completed"

    assert seen == [AS_JSON.get(sample, value)] * 2
    assert type(seen[0]) is type(seen[1])
    assert seen[0] is not value


@pytest.mark.parametrize("sample", SAMPLES)
async def test_a_context_value_is_decoded_as_its_type_on_the_first_attempt_too(
    url: str, sample: str
) -> None:
    type_, value = SAMPLES[sample]
    seen: list[Any] = []
    hop = collateral("hop", int)
    made = neuron("n", {"hop": hop}, context=type_)

    @made.dendrite(hop)
    def look(left: int, axon: Any, ctx: Context[Any]) -> Any:
        if left == 2:
            ctx.set(value)
            return axon.hop.create_signal(1)
        seen.append(ctx.get())
        if ctx.attempt == 1:
            raise Broken
        return None

    async with Queue("q", url) as queue:
        job = await queue.enqueue(hop.create_signal(2), max_attempts=2)
        await drain(queue, CNS([made]), results=[])
        assert await job.state() == "completed"
    assert seen == [AS_JSON.get(sample, value)] * 2
    assert seen[0] is not value


async def test_branches_share_no_payload(url: str) -> None:
    """What one changes, no other sees; nor does who emitted it."""
    items = collateral("items", list[int])
    seen: list[list[int]] = []
    mine = [0]

    def emit(payload: int, axon: Any) -> Any:
        return [axon.items.create_signal(mine), axon.items.create_signal(mine)]

    def change(payload: list[int]) -> None:
        payload.append(1)
        seen.append(payload)

    cns = CNS([
        neuron("emit", {"items": items}).dendrite(entry, emit),
        neuron("one").dendrite(items, change),
        neuron("other").dendrite(items, change),
    ])  # fmt: skip
    async with Queue("q", url) as queue:
        await queue.enqueue(entry.create_signal(0))
        await drain(queue, cns, results=[])
    assert seen == [[0, 1]] * 4
    assert mine == [0]


async def test_who_reads_the_context_changes_a_copy(url: str) -> None:
    hop = collateral("hop", int)
    made = neuron("n", {"hop": hop}, context=list[int])
    seen: list[list[int]] = []

    @made.dendrite(hop)
    def look(left: int, axon: Any, ctx: Context[list[int]]) -> Any:
        value = ctx.get([])
        seen.append(list(value))
        if left == 3:
            ctx.set([3])
        value.append(left)
        return axon.hop.create_signal(left - 1) if left else None

    async with Queue("q", url) as queue:
        await queue.enqueue(hop.create_signal(3))
        await drain(queue, CNS([made]), results=[])
    assert seen == [[], [3], [3], [3]]


class Evil:
    def model_dump(self, **_: Any) -> Any:
        raise KeyError("evil")


@pytest.mark.parametrize("thing", [object(), Evil()])
async def test_a_context_without_a_json_form_is_left_out_with_one_line(
    url: str, caplog: pytest.LogCaptureFixture, thing: object
) -> None:
    """It stays for this process: the seed's transaction neuron keeps a promise so."""
    caplog.set_level(logging.WARNING, "cnstra.engine")
    hop = collateral("hop", int)
    made = neuron("holder", {"hop": hop, "output": output})
    seen: list[Any] = []

    @made.dendrite(hop)
    def hold(left: int, axon: Any, ctx: Context[Any]) -> Any:
        seen.append(ctx.get())
        ctx.set(thing)
        return axon.hop.create_signal(left - 1) if left else axon.output.create_signal(7)

    story = Story()
    story.fails("last", 1)
    cns = CNS([made, story.step("last", output)])
    async with Queue("q", url) as queue:
        job = await queue.enqueue(hop.create_signal(5))
        await drain(queue, cns)
        progress = await queue.progress(job.id)
        assert progress is not None
        assert progress.contexts() == {"last": b"[7]"}
    assert seen == [None, *[thing] * 5]
    lines = [one for one in caplog.records if "'holder'" in one.getMessage()]
    assert len(lines) == 1
    assert "no JSON form" in lines[0].getMessage()


async def test_pydantic_models_are_payloads(url: str) -> None:
    class Order(pydantic.BaseModel):
        id: int
        note: str = ""

    orders = collateral("orders", Order)
    seen: list[Any] = []
    cns = CNS([
        neuron("emit", {"orders": orders}).dendrite(
            entry, lambda payload, axon: axon.orders.create_signal(Order(id=payload))
        ),
        neuron("look").dendrite(orders, seen.append),
    ])  # fmt: skip
    async with Queue("q", url) as queue:
        await queue.enqueue(entry.create_signal(7))
        await queue.enqueue(orders.create_signal(Order(id=8)))
        await queue.enqueue({"collateralName": "orders", "payload": {"id": "x"}}, job_id="bad")
        await drain(queue, cns, results=[])
        assert (await record_of(queue, "bad")).error["name"] == "InvalidPayload"
    assert seen == [Order(id=7), Order(id=8)]


async def test_a_run_alone_sees_the_same_as_a_job(url: str) -> None:
    seen: list[Any] = []
    pairs = collateral("pairs", Pair)
    cns = CNS([
        neuron("emit", {"pairs": pairs}).dendrite(
            entry, lambda _, axon: axon.pairs.create_signal(Pair(1, "r"))
        ),
        neuron("look").dendrite(pairs, seen.append),
    ])  # fmt: skip
    await run_durably(cns, entry.create_signal(1), key="k", store=url)
    assert seen == [Pair(1, "r")]
    assert isinstance(seen[0], Pair)
