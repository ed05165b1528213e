"""A neuron or a collateral that was renamed answers to what it was called before."""

from typing import Any

import pytest

from cnstra import CNS, Collateral, Neuron, collateral, neuron, with_ctx
from cnstra.errors import FormerNameTaken, InvalidName, InvalidOption, UnknownNeuron

old_task = {
    "stimulationId": "s",
    "neuronId": "old",
    "dendriteCollateralName": "old in",
    "input": {"collateralName": "old in", "payload": 7},
}


def listening(
    made: Neuron[Any, Any], source: Collateral[Any], heard: list[Any]
) -> Neuron[Any, Any]:
    def handler(payload: Any, axon: Any, ctx: Any) -> None:
        heard.append((payload, ctx.get()))

    return made.dendrite(source, handler)


def test_a_task_of_the_former_names_is_activated() -> None:
    heard: list[Any] = []
    source = collateral("in", int, former_names=("old in", "older in"))
    cns = CNS([listening(neuron("new", former_names=("old",)), source, heard)])

    run = cns.activate([old_task], context_values={"old": "kept"})

    assert heard == [(7, "kept")]
    assert not run.failed_tasks
    assert run.id == "s"


def test_a_signal_of_a_former_name_is_understood() -> None:
    heard: list[Any] = []
    cns = CNS([listening(neuron("n"), collateral("in", int, former_names=["old in"]), heard)])

    cns.stimulate({"collateralName": "old in", "payload": 7})

    assert heard == [(7, None)]


def test_with_ctx_passes_former_names_on() -> None:
    assert with_ctx(int).neuron("new", {}, former_names=["old"]).former_names == ("old",)


def test_the_value_under_the_present_name_counts() -> None:
    heard: list[Any] = []
    source = collateral("in", int, former_names=("old in",))
    cns = CNS([listening(neuron("new", former_names=("old", "older")), source, heard)])

    cns.activate([old_task], context_values={"older": 1, "new": 2, "old": 3})
    cns.activate([old_task], context_values={"older": 1, "old": 3})

    assert [value for _, value in heard] == [2, 1]


def test_what_declares_no_former_name_is_unknown_as_before() -> None:
    source = collateral("in", int, former_names=("old in",))
    cns = CNS([listening(neuron("new"), source, [])])

    with pytest.raises(UnknownNeuron, match="former_names"):
        cns.activate([old_task])


@pytest.mark.parametrize(
    "neurons",
    [
        [neuron("a", former_names=("b",)), neuron("b")],
        [neuron("b"), neuron("a", former_names=("b",))],
        [neuron("a", former_names=("old",)), neuron("b", former_names=("old",))],
        [neuron("a", former_names=("a",))],
        [neuron("a", {"x": collateral("x", former_names=["y"]), "y": collateral("y")})],
    ],
)
def test_a_name_that_could_mean_two_is_refused(neurons: list[Neuron[Any, Any]]) -> None:
    with pytest.raises(FormerNameTaken):
        CNS(neurons)


def test_one_text_is_no_list_of_names() -> None:
    with pytest.raises(InvalidOption, match=r"\('old',\)"):
        neuron("new", former_names="old")
    with pytest.raises(InvalidOption, match=r"\('old',\)"):
        collateral("new", former_names="old")


@pytest.mark.parametrize("name", ["", 7])
def test_a_former_name_is_a_text(name: Any) -> None:
    with pytest.raises(InvalidName):
        neuron("new", former_names=[name])
    with pytest.raises(InvalidName):
        collateral("new", former_names=[name])
