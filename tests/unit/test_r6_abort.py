"""R6: after an abort nothing new starts, and what was not done is still owed."""

import asyncio
import gc
import threading
import weakref
from datetime import timedelta
from typing import Any

import pytest

from cnstra import CNS, AbortController, Context, Signal, collateral, neuron
from cnstra.engine.tasks import NEVER_STARTED
from cnstra.errors import Aborted, NothingToActivate, StimulationFailed
from tests.graphs import Door, entry, middle, names, out, passing, sink
from tests.manual_clock import ManualClock, settled

Ctx = Context[Any]


async def aborted(run: Any) -> Any:
    """Wait for the run, which owes something; returns it."""
    with pytest.raises(StimulationFailed):
        await run
    return run


# --- nothing new starts


def test_a_sync_handler_that_aborts_its_run_starts_nothing_more() -> None:
    log: list[Any] = []

    def stop(payload: int, axon: Any, ctx: Ctx) -> Any:
        ctx.run.abort("enough")  # type: ignore[attr-defined]
        return axon.out.create_signal(payload)

    cns = CNS([neuron("stop", {"out": out}).dendrite(entry, stop), sink("end", out, log)])

    run = cns.stimulate([entry.create_signal(1), entry.create_signal(2)])

    assert log == []
    assert run.aborted
    assert run.done
    assert names(run.failed_tasks) == [("stop", 2), ("end", 1)]
    assert all(failed.aborted for failed in run.failed_tasks)
    assert {str(failed.error) for failed in run.failed_tasks} == {NEVER_STARTED}


async def test_running_handlers_may_finish_and_what_they_emit_is_owed() -> None:
    door = Door("door", entry, out)
    log: list[Any] = []
    run = CNS([door.neuron, sink("end", out, log)]).stimulate(entry.create_signal(1))
    await door.entered.wait()

    run.abort()
    door.opened.set()
    await aborted(run)

    assert log == []
    assert names(run.failed_tasks) == [("end", 1)]


async def test_a_run_that_was_aborted_before_it_began_starts_nothing() -> None:
    controller = AbortController()
    controller.abort("too late")
    log: list[Any] = []

    run = CNS([sink("n", entry, log)]).stimulate(
        entry.create_signal(1), abort_signal=controller.signal
    )

    await aborted(run)
    assert log == []
    assert names(run.failed_tasks) == [("n", 1)]


async def test_one_controller_aborts_several_runs_and_keeps_none_of_them_alive() -> None:
    controller = AbortController()
    door = Door("door", entry)
    cns = CNS([door.neuron])
    runs = [cns.stimulate(entry.create_signal(n), abort_signal=controller.signal) for n in (1, 2)]
    await settled()

    controller.abort("both")
    controller.abort("a second call changes nothing")
    door.opened.set()
    for run in runs:
        await run
    assert controller.signal.reason == "both"

    other = AbortController()
    done = cns.stimulate(entry.create_signal(3), abort_signal=other.signal)
    await done
    gone = weakref.ref(done)
    del done
    await settled()
    gc.collect()
    assert gone() is None


# --- the grace period


async def test_after_the_grace_period_handlers_are_cancelled_and_owed() -> None:
    clock, door = ManualClock(), Door("door", entry, out)
    run = CNS([door.neuron], clock=clock).stimulate(entry.create_signal(1))
    await door.entered.wait()

    run.abort("shutdown")
    await settled()
    await clock.advance(4.9)
    assert not run.done
    await clock.advance(0.2)

    assert run.done
    (failed,) = run.failed_tasks
    assert failed.aborted
    assert isinstance(failed.error, Aborted)
    assert "shutdown" in str(failed.error)


@pytest.mark.parametrize("grace", [60.0, timedelta(minutes=1)])
@pytest.mark.parametrize("where", ["stimulate", "activate", "an inner run", "abort"])
async def test_the_grace_period_may_be_chosen(where: str, grace: float | timedelta) -> None:
    clock, door = ManualClock(), Door("door", entry)
    cns = CNS([door.neuron], clock=clock)
    options = {} if where == "abort" else {"grace": grace}
    match where:
        case "activate":
            tasks = [{"neuronId": "door", "dendriteCollateralName": "entry", "stimulationId": "1",
                      "input": {"collateralName": "entry", "payload": 1}}]  # fmt: skip
            run = cns.activate(tasks, **options)
        case "an inner run":
            run = await inner(cns, options)
        case _:
            run = cns.stimulate(entry.create_signal(1), **options)
    await door.entered.wait()

    run.abort(**({"grace": grace} if where == "abort" else {}))
    await settled()
    await clock.advance(59)
    assert not run.done
    await clock.advance(2)
    assert run.done
    assert len(run.failed_tasks) == 1


async def inner(cns: CNS, options: dict[str, Any]) -> Any:
    """A run that a handler of another CNS has started on `cns` as its own, and does not await."""
    runs: list[Any] = []

    async def handler(payload: int, axon: Any, ctx: Ctx) -> None:
        runs.append(ctx.cns.stimulate(entry.create_signal(payload), **options))

    outer = CNS(
        [*cns.network.neurons.values(), neuron("outer").dendrite(middle, handler)], clock=cns.clock
    )
    outer.stimulate(middle.create_signal(1))
    await settled()
    return runs[0]


async def test_a_second_abort_may_shorten_the_grace() -> None:
    clock, door = ManualClock(), Door("door", entry)
    run = CNS([door.neuron], clock=clock).stimulate(entry.create_signal(1))
    await door.entered.wait()

    run.abort("please", grace=60)
    await settled()
    run.abort("now", grace=1)
    await settled()
    await clock.advance(1.1)

    assert run.done
    assert len(run.failed_tasks) == 1


async def test_a_handler_may_use_its_cancellation_to_finish() -> None:
    clock = ManualClock()

    async def finish(payload: int, axon: Any) -> Any:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return axon.out.create_signal(payload)

    cns = CNS([neuron("n", {"out": out}).dendrite(entry, finish), sink("s", out, [])], clock=clock)
    run = cns.stimulate(entry.create_signal(1))
    await settled()

    run.abort()
    await settled()
    await clock.advance(6)

    assert names(run.failed_tasks) == [("s", 1)]


async def test_the_grace_never_cancels_a_listener_or_the_caller() -> None:
    # Given a listener that takes longer than the grace period
    clock, opened, heard = ManualClock(), asyncio.Event(), list[Any]()

    async def listen(response: Any) -> None:
        await opened.wait()
        heard.append(response)

    cns = CNS([passing("n", entry, out), sink("s", out, [])], clock=clock)
    run = cns.stimulate(entry.create_signal(1), on_response=listen)
    caller = asyncio.ensure_future(run.wait_until_complete())
    await settled()

    # When the run is aborted and the grace is over
    run.abort()
    await settled()
    await clock.advance(6)

    # Then the run ends when the listener has heard, and tells the caller what is owed
    assert not run.done
    assert not caller.done()
    opened.set()
    with pytest.raises(StimulationFailed):
        await caller
    assert len(heard) == 1
    assert names(run.failed_tasks) == [("n", 1)]


async def test_an_abort_right_after_the_start_waits_for_listeners_too() -> None:
    heard: list[Any] = []

    async def listen(response: Any) -> None:
        await asyncio.sleep(0)
        heard.append(response)

    run = CNS([passing("n", entry, out)]).stimulate(entry.create_signal(1), on_response=listen)
    run.abort()
    await run.wait_until_done()

    assert len(heard) == 1


async def test_the_grace_never_cancels_a_commit() -> None:
    # Given a handler that has returned, and whose inner run takes its time to end
    clock, door = ManualClock(), Door("door", middle)

    async def start_inner(payload: int, axon: Any, ctx: Ctx) -> Signal[int]:
        ctx.cns.stimulate(middle.create_signal(payload), grace=60.0)
        await door.entered.wait()
        ctx.set("returned")
        return axon.out.create_signal(payload)

    outer = neuron("outer", {"out": out}).dendrite(entry, start_inner)
    run = CNS([outer, door.neuron], clock=clock).stimulate(entry.create_signal(1))
    await door.entered.wait()
    await settled()

    # When the run's own grace is over before that
    run.abort()
    await settled()
    await clock.advance(6)
    assert not run.done
    door.opened.set()
    await run

    # Then the activation is committed
    assert run.context.get_all() == {"outer": "returned"}


# --- observed, and interrupted


def reading(ctx: Ctx) -> Any:
    assert ctx.abort_signal.aborted


async def waiting(ctx: Ctx) -> None:
    await ctx.abort_signal.wait()


async def called_back(ctx: Ctx) -> None:
    fired = asyncio.Event()
    ctx.abort_signal.add_callback(fired.set)
    await fired.wait()


async def stepping_out(ctx: Ctx) -> None:
    ctx.abort_signal.raise_if_aborted()


async def obeying(observe: Any, output: Any) -> Any:
    """An aborted run whose handler observed that in its way, and returned `output`."""
    entered, going = asyncio.Event(), asyncio.Event()

    async def work(payload: int, axon: Any, ctx: Ctx) -> Any:
        ctx.set("half")
        entered.set()
        await going.wait()
        done = observe(ctx)
        if done is not None:
            await done
        return output

    cns = CNS([neuron("n", {"out": out}).dendrite(entry, work), sink("s", out, [])])
    run = cns.stimulate(entry.create_signal(1), context_values={"n": "before"})
    await entered.wait()
    run.abort()
    going.set()
    await run.wait_until_done()
    return run


@pytest.mark.parametrize("observe", [reading, waiting, called_back, stepping_out])
async def test_to_observe_and_return_none_is_to_be_interrupted(observe: Any) -> None:
    run = await obeying(observe, None)

    (failed,) = run.failed_tasks
    assert failed.aborted
    assert names([failed]) == [("n", 1)]
    assert run.context.get_all() == {"n": "before"}


@pytest.mark.parametrize("observe", [reading, waiting, called_back])
async def test_to_observe_and_return_an_empty_list_is_to_be_done(observe: Any) -> None:
    run = await obeying(observe, [])

    assert run.failed_tasks == []
    assert run.aborted
    assert run.context.get_all() == {"n": "half"}
    assert await run is run


async def test_to_observe_and_emit_is_to_be_done() -> None:
    run = await obeying(reading, out.create_signal(5))

    assert names(run.failed_tasks) == [("s", 5)]
    assert run.context.get_all() == {"n": "half"}


@pytest.mark.parametrize(
    "observe", [lambda ctx: None, lambda ctx: ctx.abort_signal.reason and None]
)
async def test_none_from_a_handler_that_did_not_observe_is_done(observe: Any) -> None:
    assert (await obeying(observe, None)).failed_tasks == []


@pytest.mark.parametrize(("looks", "owed"), [(False, 0), (True, 1)])
async def test_a_thread_that_outlasts_the_grace_is_done_unless_it_looked(
    looks: bool, owed: int
) -> None:
    entered, going = threading.Event(), threading.Event()

    def work(payload: int, axon: Any, ctx: Ctx) -> None:
        entered.set()
        going.wait()
        assert not looks or ctx.abort_signal.aborted

    cns = CNS([neuron("n", {}, in_thread=True).dendrite(entry, work)])
    run = cns.stimulate(entry.create_signal(1), grace=0)
    await asyncio.to_thread(entered.wait)
    run.abort()
    await asyncio.sleep(0.01)
    going.set()
    await run.wait_until_done()

    assert len(run.failed_tasks) == owed


async def test_to_have_looked_before_the_abort_is_not_to_have_observed_it() -> None:
    entered, going = asyncio.Event(), asyncio.Event()

    async def work(payload: int, axon: Any, ctx: Ctx) -> None:
        assert not ctx.abort_signal.aborted
        remove = ctx.abort_signal.add_callback(lambda: None)
        remove()
        remove()
        entered.set()
        await going.wait()

    run = CNS([neuron("n", {}).dendrite(entry, work)]).stimulate(entry.create_signal(1))
    await entered.wait()
    run.abort()
    going.set()

    await run
    assert run.failed_tasks == []


async def test_an_error_of_a_handler_that_observed_is_a_failure_for_the_aborts_sake() -> None:
    async def work(payload: int, axon: Any, ctx: Ctx) -> None:
        ctx.set("attempted")
        await ctx.abort_signal.wait()
        raise ValueError("could not finish")

    run = CNS([neuron("n", {}).dendrite(entry, work)]).stimulate(entry.create_signal(1))
    await settled()
    run.abort()
    await run.wait_until_done()

    (failed,) = run.failed_tasks
    assert failed.aborted
    assert isinstance(failed.error, ValueError)
    assert run.context.get_all() == {"n": "attempted"}


async def test_a_callback_that_raises_keeps_nobody_from_hearing(caplog: Any) -> None:
    controller, heard = AbortController(), list[str]()

    def fail() -> None:
        raise ValueError("broken callback")

    controller.signal.add_callback(fail)
    controller.signal.add_callback(lambda: heard.append("second"))
    controller.abort()

    assert heard == ["second"]
    assert "broken callback" in caplog.text


async def test_the_seeds_pattern_runs_what_was_interrupted_again() -> None:
    # Given the seed's worker: an abort after a while, and a step that obeys it (T1)
    log: list[str] = []

    async def first(payload: int, axon: Any, ctx: Ctx) -> Any:
        log.append("first")
        return axon.out.create_signal(payload)

    async def second(payload: int, axon: Any, ctx: Ctx) -> Any:
        if len(log) == 1:
            await ctx.abort_signal.wait()
            return None
        log.append("second")
        return None

    cns = CNS(
        [
            neuron("first", {"out": out}).dendrite(entry, first),
            neuron("second", {}).dendrite(out, second),
        ]
    )
    run = cns.stimulate(entry.create_signal(1))
    await settled()
    run.abort()
    await aborted(run)

    # When what it saved is retried
    saved = [failed.task.to_wire() for failed in run.failed_tasks]
    log.append("retry")
    await cns.activate(saved, context_values=run.context.get_all())

    # Then the second step has run, and the first has not run twice
    assert log == ["first", "retry", "second"]


# --- inner runs


@pytest.mark.parametrize("output", [None, [], out.create_signal(1), "raise"])
async def test_an_activation_whose_inner_run_was_aborted_is_interrupted_whatever_it_returned(
    output: Any,
) -> None:
    # Given a handler that waits for its inner run, which does not get to its end
    door, log = Door("door", middle, out), list[Any]()

    async def transaction(payload: int, axon: Any, ctx: Ctx) -> Any:
        ctx.set("half")
        inner = ctx.cns.stimulate(middle.create_signal(payload))
        if output == "raise":
            await inner
        with pytest.raises(StimulationFailed):
            await inner
        return output

    outer = neuron("outer", {"out": out}).dendrite(entry, transaction)
    run = CNS([outer, door.neuron, sink("end", out, log)]).stimulate(entry.create_signal(1))
    await door.entered.wait()

    # When the abort comes
    run.abort()
    door.opened.set()
    await aborted(run)

    # Then the whole transaction is owed, as if it had never started
    (failed,) = run.failed_tasks
    assert names([failed]) == [("outer", 1)]
    assert failed.aborted
    assert run.context.get_all() == {}
    assert log == []


async def test_an_inner_run_that_completed_all_the_same_interrupts_nothing() -> None:
    door = Door("door", middle)

    async def transaction(payload: int, axon: Any, ctx: Ctx) -> Any:
        await ctx.cns.stimulate(middle.create_signal(payload))
        return axon.out.create_signal(payload)

    outer = neuron("outer", {"out": out}).dendrite(entry, transaction)
    run = CNS([outer, door.neuron, sink("end", out, [])]).stimulate(entry.create_signal(1))
    await door.entered.wait()

    run.abort()
    door.opened.set()
    await aborted(run)

    assert names(run.failed_tasks) == [("end", 1)]


async def test_a_handler_may_abort_its_inner_run_and_be_done() -> None:
    door = Door("door", middle)

    async def give_up(payload: int, axon: Any, ctx: Ctx) -> None:
        inner = ctx.cns.stimulate(middle.create_signal(payload))
        await door.entered.wait()
        inner.abort(grace=0)
        with pytest.raises(StimulationFailed):
            await inner

    outer = neuron("outer", {}).dendrite(entry, give_up)
    run = CNS([outer, door.neuron]).stimulate(entry.create_signal(1))

    assert await run is run


# --- what is owed


async def test_when_a_run_has_ended_its_failed_tasks_are_its_frontier() -> None:
    # Given a run with activations in every place: failed, interrupted, never started, at a gate,
    # at a barrier
    opened = asyncio.Event()
    gate = Door("gated", collateral("gated", int), concurrency=1)
    kinds = {name: collateral(name, int) for name in ("fails", "stops", "holds", "queued")}

    def fail(payload: int) -> None:
        raise ValueError

    async def stop(payload: int, axon: Any, ctx: Ctx) -> None:
        await ctx.abort_signal.wait()

    async def listen(response: Any) -> None:
        if response.input_signal and response.input_signal.collateral_name == "holds":
            await opened.wait()

    cns = CNS(
        [
            neuron("fails", {}).dendrite(kinds["fails"], fail),
            neuron("stops", {}).dendrite(kinds["stops"], stop),
            passing("holds", kinds["holds"], kinds["queued"]),
            gate.neuron,
            sink("queued", kinds["queued"], []),
        ]
    )
    gated = collateral("gated", int)
    run = cns.stimulate(
        [
            kinds["fails"].create_signal(1),
            kinds["stops"].create_signal(2),
            kinds["holds"].create_signal(3),
            gated.create_signal(4),
            gated.create_signal(5),
        ],
        on_response=listen,
    )
    await gate.entered.wait()
    await settled()
    before = names(run.frontier)

    # When it is aborted
    run.abort()
    await settled()
    gate.opened.set()
    opened.set()
    await aborted(run)

    # Then all but the gated one that was inside and could finish is owed, each once
    assert sorted(before) == [("fails", 1), ("gated", 4), ("gated", 5), ("queued", 3), ("stops", 2)]
    assert sorted(names(run.failed_tasks)) == sorted(set(before) - {("gated", 4)})
    assert names(run.failed_tasks) == names(run.frontier)
    assert {names([one])[0][0]: one.aborted for one in run.failed_tasks} == {
        "fails": False,
        "stops": True,
        "gated": True,
        "queued": True,
    }


async def test_a_run_that_owes_nothing_is_complete_aborted_or_not() -> None:
    door = Door("door", entry)
    run = CNS([door.neuron]).stimulate(entry.create_signal(1))
    await door.entered.wait()

    run.abort()
    door.opened.set()

    assert await run is run
    assert run.aborted
    assert run.failed_tasks == []


async def test_to_abort_a_run_that_is_over_changes_nothing() -> None:
    run = CNS([sink("n", entry, [])]).stimulate(entry.create_signal(1))

    run.abort("late", grace=1)

    assert await run is run
    assert not run.aborted


def test_to_activate_nothing_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(NothingToActivate, match=r"Check\s+run\.failed_tasks"):
        CNS([sink("n", entry, [])]).activate([])


# --- threads


async def test_an_abort_may_come_from_another_thread() -> None:
    clock = ManualClock()
    door, gated = Door("door", entry), Door("gated", middle, concurrency=1)
    run = CNS([door.neuron, gated.neuron], clock=clock).stimulate(
        [entry.create_signal(1), middle.create_signal(2), middle.create_signal(3)]
    )
    await settled()

    thread = threading.Thread(target=run.abort, args=("from afar",), kwargs={"grace": 1})
    thread.start()
    thread.join()
    assert run.aborted
    await settled()
    await clock.advance(1.1)

    assert run.done
    assert sorted(names(run.failed_tasks)) == [("door", 1), ("gated", 2), ("gated", 3)]


async def test_an_abort_from_another_thread_that_comes_as_the_last_handler_ends() -> None:
    # Given a run with one activation inside a gate and one in line
    cns = CNS([(door := Door("gated", entry, concurrency=1)).neuron])
    run = cns.stimulate([entry.create_signal(1), entry.create_signal(2)])
    await door.entered.wait()

    # When another thread aborts it, and the handler ends before the loop hears of that
    door.opened.set()
    thread = threading.Thread(target=run.abort)
    thread.start()
    thread.join()
    await aborted(run)

    # Then nobody of the run is left in the line
    later = cns.stimulate(entry.create_signal(3))
    assert await later is later
    gate = cns.network.receiver("gated", "entry").gate
    assert gate is not None
    assert not gate.line


def test_a_sync_run_may_be_aborted_from_another_thread() -> None:
    controller, log = AbortController(), list[int]()

    def count(payload: int, axon: Any) -> Any:
        log.append(payload)
        if payload == 5:
            thread = threading.Thread(target=controller.abort)
            thread.start()
            thread.join()
        return axon.again.create_signal(payload + 1)

    run = CNS([neuron("n", {"again": entry}).dendrite(entry, count)]).stimulate(
        entry.create_signal(0), abort_signal=controller.signal
    )

    assert log[-1] == 5
    assert names(run.failed_tasks) == [("n", 6)]


async def test_no_grace_at_all_cancels_what_is_just_about_to_begin() -> None:
    async def wait() -> None:
        await asyncio.Event().wait()

    async def wait_here(payload: int) -> None:
        await wait()

    cns = CNS(
        [
            neuron("sync", {}).dendrite(entry, lambda payload: wait()),
            neuron("async", {}).dendrite(middle, wait_here),
        ]
    )
    run = cns.stimulate([entry.create_signal(1), middle.create_signal(2)])

    run.abort(grace=0)

    await asyncio.wait_for(run.wait_until_done(), 5)
    assert names(run.failed_tasks) == [("sync", 1), ("async", 2)]
