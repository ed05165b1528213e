"""What `stimulate` and `activate` take: signals and tasks, and their wire form."""

import json
from dataclasses import dataclass
from typing import Any, TypedDict

import pytest

from cnstra import CNS, ActivationTask, Context, FailedTask, Signal, collateral, neuron
from cnstra.errors import (
    InvalidPayload,
    InvalidSignal,
    InvalidTask,
    UnknownCollateral,
    UnknownNeuron,
)
from tests.graphs import entry, middle, names, out, passing, sink


class Item(TypedDict):
    id: int


@dataclass
class Order:
    id: int


request = collateral("input", Item)
Ctx = Context[Any]


# --- stimulate


@pytest.mark.parametrize(
    "signals",
    [
        request.create_signal({"id": 1}),
        [request.create_signal({"id": 1})],
        (request.create_signal({"id": 1}),),
        {"collateralName": "input", "payload": {"id": 1}},
        [{"collateralName": "input", "payload": {"id": 1}, "more": "is ignored"}],
    ],
)
def test_stimulate_takes_signals_and_their_wire_form_one_or_a_list(signals: Any) -> None:
    log: list[Any] = []

    CNS([sink("n", request, log)]).stimulate(signals)

    assert log == [{"id": 1}]


def test_a_wire_form_without_a_payload_has_none() -> None:
    log: list[Any] = []
    anything = collateral("anything")

    CNS([sink("n", anything, log)]).stimulate({"collateralName": "anything"})

    assert log == [None]


@pytest.mark.parametrize(
    "wrong", [5, None, "input", {}, {"collateralName": 5}, {"collateral_name": "input"}, [None]]
)
def test_what_is_no_signal_is_refused_with_the_shape_that_is(wrong: Any) -> None:
    with pytest.raises(InvalidSignal, match="pass a Signal or"):
        CNS([sink("n", request, [])]).stimulate(wrong)


def test_a_payload_from_outside_is_checked_and_one_from_inside_is_not() -> None:
    log: list[Any] = []
    cns = CNS([sink("n", request, log)])

    with pytest.raises(InvalidPayload, match=r"'input' is not of its type Item.*`int`, got `str`"):
        cns.stimulate({"collateralName": "input", "payload": {"id": "1"}})
    assert log == []

    cns.stimulate(Signal("input", {"id": "1"}))
    assert log == [{"id": "1"}]


def test_an_unknown_collateral_is_refused_with_the_one_that_was_meant() -> None:
    cns = CNS([passing("n", entry, out)])

    with pytest.raises(UnknownCollateral, match=r"'entri'.*mean 'entry'\?.*Known: entry, out"):
        cns.stimulate({"collateralName": "entri", "payload": 1})
    with pytest.raises(UnknownCollateral, match="'middle'"):
        cns.stimulate(middle.create_signal(1))


def test_a_network_without_neurons_takes_any_signal() -> None:
    assert CNS().stimulate(entry.create_signal(1)).failed_tasks == []


def test_options_reach_the_run() -> None:
    seen: list[Any] = []

    def look(payload: int, axon: Any, ctx: Ctx) -> None:
        seen.append((ctx.stimulation_id, ctx.get(), ctx.attempt))

    run = CNS([neuron("n", {}).dendrite(entry, look)]).stimulate(
        entry.create_signal(1), stimulation_id="mine", context_values={"n": 5, "gone": 6}
    )

    assert seen == [("mine", 5, 1)]
    assert run.id == "mine"
    assert run.context.get_all() == {"n": 5, "gone": 6}


def test_context_values_from_outside_are_of_the_neurons_type() -> None:
    class Count:
        pass

    n = neuron("n", {}, context=Item).dendrite(entry, lambda payload: None)

    with pytest.raises(InvalidPayload, match="context of n"):
        CNS([n]).stimulate(entry.create_signal(1), context_values={"n": {"id": "x"}})


def test_each_run_has_an_id_of_its_own_and_says_how_it_is() -> None:
    cns = CNS([sink("n", entry, [])])

    first, second = (cns.stimulate(entry.create_signal(1)) for _ in range(2))

    assert first.id
    assert first.id != second.id
    assert first.id == first.id
    assert repr(first) == f"<Stimulation {first.id} done>"


async def test_in_a_plain_run_the_idempotency_key_is_an_activations_own() -> None:
    keys: list[str] = []

    def look(payload: int, axon: Any, ctx: Ctx) -> None:
        assert ctx.idempotency_key == ctx.idempotency_key
        keys.append(ctx.idempotency_key)

    CNS([neuron("n", {}).dendrite(entry, look)]).stimulate(
        [entry.create_signal(1), entry.create_signal(1)]
    )

    assert len(set(keys)) == 2


def test_a_context_says_whose_it_is() -> None:
    seen: list[str] = []

    def look(payload: int, axon: Any, ctx: Ctx) -> None:
        seen.append(repr(ctx))

    CNS([neuron("n", {}).dendrite(entry, look)]).stimulate(
        entry.create_signal(1), stimulation_id="mine"
    )

    assert seen == ["<Context of neuron 'n' in run mine>"]


# --- activate

TASK = ActivationTask("saved", "end", "out", out.create_signal(1))
WIRE = {
    "stimulationId": "saved",
    "neuronId": "end",
    "dendriteCollateralName": "out",
    "input": {"collateralName": "out", "payload": 1},
}


def test_a_task_has_a_wire_form_that_is_json() -> None:
    assert TASK.to_wire() == WIRE
    assert json.loads(json.dumps(TASK.to_wire())) == WIRE


@pytest.mark.parametrize(
    "task",
    [
        TASK,
        FailedTask(TASK, ValueError(), aborted=False),
        WIRE,
        {**{key: value for key, value in WIRE.items() if key != "neuronId"}, "neuronName": "end"},
    ],
)
def test_activate_takes_tasks_and_their_wire_form_and_adopts_their_id(task: Any) -> None:
    log: list[Any] = []
    cns = CNS([passing("start", entry, out, log), sink("end", out, log)])

    run = cns.activate([task])

    assert log == [1]
    assert run.id == "saved"
    assert cns.activate([task], stimulation_id="other").id == "other"


def test_activate_starts_that_dendrite_alone() -> None:
    log: list[Any] = []
    cns = CNS([sink("one", out, log), sink("end", out, log)])

    cns.activate([TASK])

    assert log == [1]


def test_a_task_without_an_id_gets_a_run_with_a_new_one() -> None:
    bare = {key: value for key, value in WIRE.items() if key != "stimulationId"}

    assert CNS([sink("end", out, [])]).activate([bare]).id


def test_a_task_without_an_input_has_a_payload_of_none() -> None:
    log: list[Any] = []
    anything = collateral("anything")
    cns = CNS([sink("n", anything, log)])

    cns.activate([{"neuronId": "n", "dendriteCollateralName": "anything"}])

    assert log == [None]


def test_the_payload_of_a_task_is_checked() -> None:
    wrong = {**WIRE, "input": {"collateralName": "out", "payload": "text"}}

    with pytest.raises(InvalidPayload, match="'out'"):
        CNS([sink("end", out, [])]).activate([wrong])


@pytest.mark.parametrize("wrong", [5, None, {}, {"neuronId": "end"}, {**WIRE, "input": 5}, "end"])
def test_what_is_no_task_is_refused_with_the_shape_that_is(wrong: Any) -> None:
    with pytest.raises(InvalidTask, match="pass an ActivationTask or"):
        CNS([sink("end", out, [])]).activate([wrong])


def test_a_task_of_a_neuron_that_is_gone_is_refused_by_name() -> None:
    log: list[Any] = []
    cns = CNS([sink("renamed", out, log)])

    with pytest.raises(UnknownNeuron, match="Neuron 'end' with a dendrite on 'out'"):
        cns.activate([{**WIRE, "neuronId": "renamed"}, WIRE])
    assert log == []


async def test_a_hand_written_worker_can_save_and_retry() -> None:
    # Given a run of three steps of which the second fails
    log: list[Any] = []
    attempts: list[int] = []

    def flaky(payload: int, axon: Any, ctx: Ctx) -> Any:
        attempts.append(ctx.get(0) + 1)
        ctx.set(attempts[-1])
        if attempts[-1] == 1:
            raise ConnectionError("try again")
        return axon.out.create_signal(payload)

    cns = CNS(
        [
            passing("first", entry, middle, log),
            neuron("second", {"out": out}).dendrite(middle, flaky),
            sink("third", out, log),
        ]
    )
    run = cns.stimulate(entry.create_signal(1))

    # When its progress goes through JSON and is continued
    saved = json.loads(
        json.dumps(
            {
                "context": run.context.get_all(),
                "tasks": [failed.task.to_wire() for failed in run.failed_tasks],
            }
        )
    )
    retry = cns.activate(saved["tasks"], context_values=saved["context"])

    # Then the first step has run once, and the counter went on
    assert log == [("first", 1), 1]
    assert attempts == [1, 2]
    assert retry.id == run.id
    assert names(run.failed_tasks) == [("second", 1)]


# --- ctx.cns


async def test_an_inner_run_may_be_activated_too() -> None:
    log: list[Any] = []

    async def retry(payload: int, axon: Any, ctx: Ctx) -> None:
        inner = ctx.cns.activate([TASK], context_values={"end": 1})
        await inner
        assert inner.id == "saved"

    cns = CNS([neuron("outer", {}).dendrite(entry, retry), sink("end", out, log)])
    await cns.stimulate(entry.create_signal(1))

    assert log == [1]


async def test_an_inner_run_keeps_objects_in_the_process() -> None:
    class Blob:
        pass

    blob, log = Blob(), list[Any]()
    blobs = collateral("blobs", Blob)

    async def transaction(payload: int, axon: Any, ctx: Ctx) -> Any:
        inner = ctx.cns.stimulate(blobs.create_signal(blob))
        await inner
        return axon.out.create_signal(payload)

    outer = neuron("outer", {"out": out}).dendrite(entry, transaction)
    cns = CNS([outer, sink("inner", blobs, log), sink("end", out, log)])
    await cns.stimulate(entry.create_signal(1))

    assert log == [blob, 1]


async def test_an_inner_run_that_nobody_waits_for_is_part_of_its_activation_all_the_same() -> None:
    log: list[Any] = []

    async def slow(payload: int) -> None:
        log.append("inner")

    def start(payload: int, axon: Any, ctx: Ctx) -> Any:
        ctx.cns.stimulate(middle.create_signal(payload))
        return axon.out.create_signal(payload)

    cns = CNS(
        [
            neuron("outer", {"out": out}).dendrite(entry, start),
            neuron("inner", {}).dendrite(middle, slow),
            sink("end", out, log),
        ]
    )
    run = cns.stimulate(entry.create_signal(1))

    assert names(run.frontier) == [("outer", 1)]
    await run
    assert log == ["inner", 1]


def test_what_a_run_owes_can_be_written_as_json_whatever_its_payload_type():
    """Given a dataclass payload, a failed task's wire form is JSON, and resumes as its type."""

    order, seen = collateral("order", Order), []

    def fail_once(payload: Order) -> None:
        seen.append(payload)
        if len(seen) == 1:
            raise ValueError("not yet")

    cns = CNS([neuron("n").dendrite(order, fail_once)])
    (failed,) = cns.stimulate(order.create_signal(Order(7))).failed_tasks

    saved = json.loads(json.dumps(failed.to_wire()))
    cns.activate([saved["task"]])

    assert saved["error"]["name"] == "ValueError"
    assert saved["aborted"] is False
    assert saved["task"]["input"] == {"collateralName": "order", "payload": {"id": 7}}
    assert seen == [Order(7), Order(7)]
