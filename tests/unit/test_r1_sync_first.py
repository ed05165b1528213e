"""R1: the caller runs what is sync; a coroutine handler starts in a strand, and needs a loop."""

import asyncio
from contextvars import ContextVar
from typing import Any

import pytest

from cnstra import CNS, ActivationTask, collateral, neuron
from cnstra.errors import LoopIsRunning, NoRunningLoop, StimulationFailed
from tests.graphs import entry, middle, out, passing, sink

place: ContextVar[str] = ContextVar("place", default="nowhere")


def coroutine_sink(source: Any, log: list[Any]) -> Any:
    async def keep(payload: Any) -> None:
        log.append(payload)

    return neuron("later", {}).dendrite(source, keep)


def test_a_sync_graph_has_run_when_stimulate_returns_and_needs_no_loop() -> None:
    log: list[Any] = []
    cns = CNS([passing("first", entry, middle, log), sink("second", middle, log)])

    run = cns.stimulate(entry.create_signal(7))

    assert log == [("first", 7), 7]
    assert run.done
    assert run.failed_tasks == []


async def test_a_sync_graph_has_run_when_stimulate_returns_inside_a_loop_too() -> None:
    log: list[Any] = []
    cns = CNS([passing("first", entry, middle, log), sink("second", middle, log)])

    run = cns.stimulate(entry.create_signal(7))

    assert log == [("first", 7), 7]
    assert run.done
    assert await run is run


def test_without_a_loop_a_coroutine_handler_in_reach_is_an_error_before_anything_runs() -> None:
    # Given a coroutine handler two hops away from the entry
    log: list[Any] = []
    heard: list[Any] = []
    cns = CNS([passing("first", entry, middle, log), coroutine_sink(middle, log)])

    # When it is stimulated without a running loop
    with pytest.raises(NoRunningLoop, match=r"'later'.*cns\.run\(signal\).*Nothing has run"):
        cns.stimulate(entry.create_signal(7), on_response=heard.append)

    # Then nothing has run, and nobody has heard of it
    assert log == []
    assert heard == []


def test_a_coroutine_handler_out_of_reach_does_not_matter() -> None:
    log: list[Any] = []
    cns = CNS([sink("first", entry, log), coroutine_sink(middle, log)])

    assert cns.stimulate(entry.create_signal(7)).done
    assert log == [7]


def test_a_task_of_a_coroutine_handler_needs_a_loop_as_well() -> None:
    cns = CNS([passing("first", entry, middle), coroutine_sink(middle, [])])

    with pytest.raises(NoRunningLoop, match="'later'"):
        cns.activate([ActivationTask("id", "first", "entry", entry.create_signal(1))])
    with pytest.raises(NoRunningLoop, match="'later'"):
        cns.activate([ActivationTask("id", "later", "middle", middle.create_signal(1))])


def test_a_handler_in_a_thread_and_an_async_listener_need_a_loop_as_well() -> None:
    threaded = CNS([neuron("n", {}, in_thread=True).dendrite(entry, lambda payload: None)])
    plain = CNS([sink("n", entry, [])])

    async def listen(response: Any) -> None: ...

    with pytest.raises(NoRunningLoop, match="thread handler of neuron 'n'"):
        threaded.stimulate(entry.create_signal(1))
    with pytest.raises(NoRunningLoop, match="async listener"):
        plain.stimulate(entry.create_signal(1), on_response=listen)
    task = ActivationTask("id", "n", "entry", entry.create_signal(1))
    with pytest.raises(NoRunningLoop, match="async listener"):
        plain.activate([task], on_response=listen)


def test_an_awaitable_that_nobody_could_foresee_is_a_failed_task_without_a_loop() -> None:
    async def later() -> None: ...

    cns = CNS([neuron("n", {}).dendrite(entry, lambda payload: later())])

    (failed,) = cns.stimulate(entry.create_signal(1)).failed_tasks

    assert isinstance(failed.error, NoRunningLoop)
    assert "'n'" in str(failed.error)


async def test_a_coroutine_handler_never_starts_inside_the_caller() -> None:
    tasks: list[Any] = []

    async def note(payload: int) -> None:
        tasks.append(asyncio.current_task())

    cns = CNS([neuron("n", {}).dendrite(entry, note)])

    run = cns.stimulate(entry.create_signal(1))

    assert tasks == []
    await run
    assert tasks != [asyncio.current_task()]


async def test_the_caller_runs_the_fifo_until_a_coroutine_handler_is_at_its_head() -> None:
    # Given an emission of three: to a sync handler, to a coroutine handler, to a sync one
    log: list[str] = []
    one, two, three = collateral("one"), collateral("two"), collateral("three")

    async def second(payload: Any) -> None:
        log.append("second")

    cns = CNS(
        [
            neuron("n", {}).dendrite(one, lambda payload: log.append("first")),
            neuron("m", {}).dendrite(two, second),
            neuron("o", {}).dendrite(three, lambda payload: log.append("third")),
        ]
    )

    # When the caller gets its run back
    run = cns.stimulate([each.create_signal(0) for each in (one, two, three)])

    # Then it has run the first, and nothing at or behind the coroutine handler
    assert log == ["first"]
    await run
    assert log == ["first", "second", "third"]


async def test_what_a_handler_does_to_context_variables_stays_off_its_caller() -> None:
    seen: list[str] = []

    def wander(payload: int, axon: Any) -> Any:
        seen.append(place.get())
        place.set("a handler")
        return axon.target.create_signal(payload)

    async def wander_later(payload: int) -> None:
        place.set("a coroutine handler")

    first = neuron("first", {"target": middle}).dendrite(entry, wander)
    cns = CNS([first, neuron("second", {}).dendrite(middle, wander_later)])
    place.set("home")

    await cns.stimulate(entry.create_signal(1))

    assert seen == ["home"]
    assert place.get() == "home"


async def test_branches_that_overlap_do_not_share_context_variables() -> None:
    # Given handlers that set a variable, wait for each other, and look at it again
    everyone_is_in = asyncio.Barrier(3)
    seen: list[tuple[int, str]] = []

    async def note(payload: int) -> None:
        place.set(f"branch {payload}")
        await everyone_is_in.wait()
        seen.append((payload, place.get()))

    cns = CNS([neuron("n", {}).dendrite(entry, note)])

    await cns.stimulate([entry.create_signal(number) for number in range(3)])

    assert sorted(seen) == [(number, f"branch {number}") for number in range(3)]


def test_cns_run_does_it_all_for_a_caller_without_a_loop() -> None:
    log: list[Any] = []
    cns = CNS([passing("first", entry, middle, log), coroutine_sink(middle, log)])

    run = cns.run(entry.create_signal(7), context_values={"first": 1})

    assert log == [("first", 7), 7]
    assert run.done
    assert run.context.get_all() == {"first": 1}


def test_cns_run_raises_what_awaiting_would() -> None:
    async def fail(payload: int) -> None:
        raise ValueError("no")

    cns = CNS([neuron("n", {}).dendrite(entry, fail)])

    with pytest.raises(StimulationFailed, match="no"):
        cns.run(entry.create_signal(1))


async def test_cns_run_refuses_to_block_a_running_loop() -> None:
    cns = CNS([sink("n", out, [])])

    with pytest.raises(LoopIsRunning, match=r"cns\.run\(\).*await"):
        cns.run(out.create_signal(1))
