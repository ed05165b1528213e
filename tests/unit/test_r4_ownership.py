"""R4: a neuron emits what is on its axon; names are unique in a CNS."""

from typing import Any

import pytest

from cnstra import CNS, Signal, collateral, neuron
from cnstra.errors import DuplicateDendrite, DuplicateName, NotOnAxon, StimulationFailed
from tests.graphs import entry, middle, out, passing, sink


def emitting(signal: Any, coroutine: bool) -> Any:
    async def later(payload: int) -> Any:
        return signal

    return later if coroutine else lambda payload: signal


@pytest.mark.parametrize("coroutine", [False, True])
@pytest.mark.parametrize("many", [False, True])
async def test_emitting_what_is_not_on_the_axon_is_an_error_that_names_both(
    coroutine: bool, many: bool
) -> None:
    # Given a neuron with `middle` on its axon that emits `out`
    stray: Any = out.create_signal(1)
    handler = emitting([middle.create_signal(0), stray] if many else stray, coroutine)
    log: list[Any] = []
    cns = CNS(
        [neuron("n", {"middle": middle}).dendrite(entry, handler), sink("s", [middle, out], log)]
    )

    # When it runs
    with pytest.raises(StimulationFailed) as caught:
        await cns.stimulate(entry.create_signal(1))

    # Then its task failed, by an error with both names, and nothing of the emission got through
    (failed,) = caught.value.failed_tasks
    assert isinstance(failed.error, NotOnAxon)
    assert "'n'" in str(failed.error)
    assert "'out'" in str(failed.error)
    assert "(middle)" in str(failed.error)
    assert log == []


def test_two_neurons_of_one_name_are_an_error() -> None:
    with pytest.raises(DuplicateName, match="Two neurons are named 'n'"):
        CNS([sink("n", entry, []), sink("n", middle, [])])


def test_two_different_collaterals_of_one_name_are_an_error() -> None:
    with pytest.raises(DuplicateName, match="Two collaterals are named 'entry'"):
        CNS([sink("n", entry, []), passing("m", middle, collateral("entry", str))])


def test_two_dendrites_of_one_neuron_on_one_collateral_are_an_error() -> None:
    with pytest.raises(DuplicateDendrite, match="'n' has two dendrites on collateral 'entry'"):
        sink("n", entry, []).dendrite(entry, lambda payload: None)
    with pytest.raises(DuplicateDendrite):
        neuron("n", {}).dendrite([entry, middle, entry], lambda payload: None)


def test_a_collateral_may_sit_on_several_axons() -> None:
    log: list[Any] = []
    cns = CNS(
        [passing("one", entry, out), passing("two", middle, out), sink("s", out, log)],
    )

    cns.stimulate([entry.create_signal(1), middle.create_signal(2)])

    assert log == [1, 2]


def test_a_neuron_may_listen_to_its_own_collateral() -> None:
    log: list[int] = []

    def count_down(left: int, axon: Any) -> Signal[int] | None:
        log.append(left)
        return axon.again.create_signal(left - 1) if left else None

    CNS([neuron("n", {"again": entry}).dendrite(entry, count_down)]).stimulate(
        entry.create_signal(3)
    )

    assert log == [3, 2, 1, 0]
