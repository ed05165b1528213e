"""R8: listeners hear everything, may hold back what follows, and stop nothing by raising."""

import asyncio
from typing import Any

import pytest

from cnstra import CNS, Context, Response, collateral, neuron
from cnstra.errors import ListenerFailed, StimulationFailed
from tests.graphs import Door, entry, middle, names, out, passing, sink
from tests.manual_clock import settled

Ctx = Context[Any]


def told(response: Response) -> tuple[Any, Any, Any]:
    """What a response says, in short: payloads for signals, the class of an error."""
    given, output, error = response.input_signal, response.output_signal, response.error
    return (
        None if given is None else given.payload,
        None if output is None else (output.collateral_name, output.payload),
        None if error is None else type(error),
    )


async def test_every_response_is_heard_by_the_runs_listener_and_the_global_ones() -> None:
    # Given a graph that emits one, two and no signals, and fails
    def split(payload: int, axon: Any) -> Any:
        return [axon.out.create_signal(10), axon.out.create_signal(20)]

    async def end(payload: int) -> None:
        if payload == 20:
            raise ValueError

    cns = CNS(
        [
            passing("pass", entry, middle),
            neuron("split", {"out": out}).dendrite(middle, split),
            neuron("end", {}).dendrite(out, end),
        ]
    )
    own: list[Response] = []
    everyones: list[Response] = []
    remove = cns.add_response_listener(everyones.append)

    # When it runs
    run = cns.stimulate(entry.create_signal(1), on_response=own.append)
    await run.wait_until_done()

    # Then each heard one response for each signal, for the entry, the silence and the failure too
    assert [told(each) for each in own] == [
        (None, ("entry", 1), None),
        (1, ("middle", 1), None),
        (1, ("out", 10), None),
        (1, ("out", 20), None),
        (10, None, None),
        (20, None, ValueError),
    ]
    assert everyones == own
    assert {each.stimulation for each in own} == {run}
    assert {each.parent for each in own} == {None}
    assert len(run.failed_tasks) == 1

    # And a listener that was removed hears no more, however often it is removed
    remove()
    remove()
    cns.stimulate(out.create_signal(1))
    assert len(everyones) == len(own)


async def test_an_activated_run_is_heard_without_an_entry() -> None:
    heard: list[Any] = []
    cns = CNS([passing("pass", entry, middle), sink("end", middle, [])])
    wire = {
        "stimulationId": "id",
        "neuronId": "pass",
        "dendriteCollateralName": "entry",
        "input": {"collateralName": "entry", "payload": 1},
    }

    cns.activate([wire], on_response=lambda response: heard.append(told(response)))

    assert heard == [(1, ("middle", 1), None), (1, None, None)]


async def test_inner_runs_are_heard_with_their_parent() -> None:
    heard: list[Response] = []
    inner_heard: list[Response] = []

    async def transaction(payload: int, axon: Any, ctx: Ctx) -> Any:
        await ctx.cns.stimulate(middle.create_signal(payload), on_response=inner_heard.append)

    cns = CNS([neuron("outer", {}).dendrite(entry, transaction), passing("inner", middle, out)])
    run = cns.stimulate(entry.create_signal(1), on_response=heard.append)
    await run

    assert [told(each)[1] for each in heard] == [("entry", 1), ("middle", 1), ("out", 1), None]
    assert [each.parent for each in heard] == [None, run, run, None]
    assert inner_heard == heard[1:3]
    assert {each.stimulation for each in inner_heard} != {run}


# --- barriers


@pytest.mark.parametrize("coroutine", [False, True])
async def test_an_awaitable_listener_holds_back_successors_but_no_other_branch(
    coroutine: bool,
) -> None:
    # Given a listener that waits when it hears of one branch
    opened, log = asyncio.Event(), list[Any]()

    async def listen(response: Response) -> None:
        if response.output_signal == middle.create_signal(1):
            await opened.wait()

    async def pass_later(payload: int, axon: Any) -> Any:
        return axon.middle.create_signal(payload)

    first = (
        neuron("first", {"middle": middle}).dendrite(entry, pass_later)
        if coroutine
        else passing("first", entry, middle)
    )
    cns = CNS([first, sink("second", middle, log)])

    # When both branches run
    run = cns.stimulate([entry.create_signal(1), entry.create_signal(2)], on_response=listen)
    await settled()

    # Then the other has gone on, and this one is owed and goes on when the listener lets it
    assert log == [2]
    assert names(run.frontier) == [("second", 1)]
    assert not run.done
    opened.set()
    await run
    assert log == [2, 1]


async def test_the_entry_waits_for_an_awaitable_listener_too() -> None:
    opened, log = asyncio.Event(), list[Any]()

    async def listen(response: Response) -> None:
        await opened.wait()

    run = CNS([sink("n", entry, log)]).stimulate(entry.create_signal(1), on_response=listen)
    await settled()
    assert log == []

    opened.set()
    await run
    assert log == [1]


async def test_a_run_ends_after_its_last_listener() -> None:
    opened = asyncio.Event()

    def listen(response: Response) -> Any:
        return opened.wait() if response.input_signal else None

    run = CNS([sink("n", entry, [])]).stimulate(entry.create_signal(1), on_response=listen)
    await settled()

    assert not run.done
    opened.set()
    await run


# --- listeners that raise


async def raising_later(response: Response) -> None:
    raise ValueError("broken listener")


def raising(response: Response) -> None:
    raise ValueError("broken listener")


@pytest.mark.parametrize("listener", [raising, raising_later])
@pytest.mark.parametrize("everywhere", [False, True])
async def test_a_listener_that_raises_stops_nothing(listener: Any, everywhere: bool) -> None:
    log: list[Any] = []
    cns = CNS([passing("first", entry, middle, log), sink("second", middle, log)])
    heard: list[Any] = []
    if everywhere:
        cns.add_response_listener(listener)
    cns.add_response_listener(lambda response: heard.append(told(response)))

    run = cns.stimulate(entry.create_signal(1), on_response=None if everywhere else listener)
    with pytest.raises(ListenerFailed, match=r"3 calls.*broken listener") as caught:
        await run

    assert log == [("first", 1), 1]
    assert len(heard) == len(caught.value.listener_errors) == 3
    assert run.failed_tasks == []


async def test_failed_tasks_come_first_and_listener_errors_with_them() -> None:
    def fail(payload: int) -> None:
        raise KeyError

    run = CNS([neuron("n", {}).dendrite(entry, fail)]).stimulate(
        entry.create_signal(1), on_response=raising
    )

    with pytest.raises(StimulationFailed) as caught:
        await run
    assert len(caught.value.failed_tasks) == 1
    assert len(caught.value.listener_errors) == 2


@pytest.mark.parametrize("listener", [raising, raising_later])
async def test_a_listener_that_raises_on_an_inner_run_does_not_fail_the_handler(
    listener: Any,
) -> None:
    log: list[Any] = []

    async def transaction(payload: int, axon: Any, ctx: Ctx) -> Any:
        await ctx.cns.stimulate(middle.create_signal(payload))
        return axon.out.create_signal(payload)

    outer = neuron("outer", {"out": out}).dendrite(entry, transaction)
    cns = CNS([outer, sink("inner", middle, log), sink("end", out, log)])
    run = cns.stimulate(entry.create_signal(1), on_response=listener)

    with pytest.raises(ListenerFailed, match="5 calls"):
        await run
    assert log == [1, 1]
    assert run.failed_tasks == []


async def test_the_listener_that_a_handler_gave_its_inner_run_is_the_handlers_concern() -> None:
    async def transaction(payload: int, axon: Any, ctx: Ctx) -> None:
        with pytest.raises(ListenerFailed):
            await ctx.cns.stimulate(middle.create_signal(payload), on_response=raising)

    cns = CNS([neuron("outer", {}).dendrite(entry, transaction), sink("inner", middle, [])])
    run = cns.stimulate(entry.create_signal(1))

    assert await run is run


def test_a_listener_that_turns_out_async_without_a_loop_is_a_listener_error() -> None:
    log: list[Any] = []
    cns = CNS([passing("first", entry, middle, log), sink("second", middle, log)])

    def listen(response: Response) -> Any:
        return raising_later(response)

    run = cns.stimulate(entry.create_signal(1), on_response=listen)

    assert log == [("first", 1), 1]
    with pytest.raises(ListenerFailed, match="async listener needs a running event loop"):
        run.raise_for_failures()


async def test_a_listener_may_abort_and_may_start_other_runs() -> None:
    log: list[Any] = []
    other = collateral("other", int)
    cns = CNS([passing("first", entry, middle), sink("second", middle, log), sink("o", other, log)])

    def listen(response: Response) -> None:
        if response.input_signal is not None:
            cns.stimulate(other.create_signal(9))
            response.stimulation.abort()

    run = cns.stimulate(entry.create_signal(1), on_response=listen)
    await run.wait_until_done()

    assert log == [9]
    assert names(run.failed_tasks) == [("second", 1)]


async def test_a_listener_that_waits_in_an_inner_run_holds_that_inner_run() -> None:
    opened, door = asyncio.Event(), Door("inner", middle)
    door.opened.set()

    async def listen(response: Response) -> None:
        if response.parent is not None:
            await opened.wait()

    async def transaction(payload: int, axon: Any, ctx: Ctx) -> None:
        await ctx.cns.stimulate(middle.create_signal(payload))

    cns = CNS([neuron("outer", {}).dendrite(entry, transaction), door.neuron])
    run = cns.stimulate(entry.create_signal(1), on_response=listen)
    await settled()

    assert not door.entered.is_set()
    opened.set()
    await run
    assert door.entered.is_set()
