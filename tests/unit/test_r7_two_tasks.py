"""R7: two tasks of the same neuron and collateral are two tasks."""

from typing import Any

from cnstra import CNS, Signal, neuron
from tests.graphs import Door, entry, middle, names, sink
from tests.manual_clock import settled


def fan_out(payload: int, axon: Any) -> list[Signal[int]]:
    return [axon.middle.create_signal(payload) for _ in range(3)]


async def test_a_fan_out_that_aborts_owes_each_of_its_branches() -> None:
    # Given three equal branches, of which none has finished (T6)
    door = Door("branch", middle)
    cns = CNS([neuron("split", {"middle": middle}).dendrite(entry, fan_out), door.neuron])
    run = cns.stimulate(entry.create_signal(7), concurrency=1)
    await door.entered.wait()
    assert names(run.frontier) == [("branch", 7)] * 3

    # When the run aborts and cancels what it must
    run.abort(grace=0)
    await run.wait_until_done()

    # Then three tasks are owed, and three run on the retry, by wire too
    assert names(run.failed_tasks) == [("branch", 7)] * 3
    log: list[Any] = []
    CNS([sink("branch", middle, log)]).activate(run.failed_tasks)
    CNS([sink("branch", middle, log)]).activate([one.task.to_wire() for one in run.failed_tasks])
    assert log == [7] * 6


async def test_equal_branches_that_fail_are_as_many_failed_tasks() -> None:
    def fail(payload: int) -> None:
        raise ValueError

    cns = CNS(
        [
            neuron("split", {"middle": middle}).dendrite(entry, fan_out),
            neuron("branch", {}).dendrite(middle, fail),
        ]
    )
    run = cns.stimulate(entry.create_signal(7))
    await settled()

    assert names(run.failed_tasks) == [("branch", 7)] * 3
