"""R9: limits of a run, of a neuron over all runs, of time, and of hops."""

import asyncio
import threading
import time
from datetime import timedelta
from typing import Any

import pytest

from cnstra import CNS, Context, Signal, collateral, neuron
from cnstra.errors import (
    DurationExceeded,
    HopLimitExceeded,
    InvalidOption,
    StimulationFailed,
    UnstoppableHandler,
    WaitCycle,
)
from tests.graphs import Door, entry, middle, names, out, passing, sink, stranger
from tests.manual_clock import ManualClock, settled

Ctx = Context[Any]
PATIENCE = 10.0

texts = collateral("texts", str)


def entries(*payloads: int) -> list[Signal[int]]:
    return [entry.create_signal(payload) for payload in payloads]


# --- concurrency of a run


async def test_a_run_keeps_to_its_concurrency() -> None:
    door = Door("door", entry)
    run = CNS([door.neuron]).stimulate(entries(*range(10)), concurrency=3)
    await settled()
    assert door.inside == [0, 1, 2]

    door.opened.set()
    await run
    assert door.most == 3


async def test_without_a_limit_all_of_a_fan_out_runs_at_once() -> None:
    door = Door("door", entry)
    run = CNS([door.neuron]).stimulate(entries(*range(20)))
    await settled()

    assert door.inside == list(range(20))
    door.opened.set()
    await run


async def test_the_concurrency_of_one_run_is_not_that_of_another() -> None:
    door = Door("door", entry)
    cns = CNS([door.neuron])
    runs = [cns.stimulate(entries(number, number), concurrency=1) for number in range(3)]
    await settled()

    assert door.inside == [0, 1, 2]
    door.opened.set()
    await asyncio.gather(*(run.wait_until_complete() for run in runs))


@pytest.mark.parametrize("option", ["concurrency", "max_neuron_hops"])
def test_a_limit_allows_at_least_one(option: str) -> None:
    cns = CNS([sink("n", entry, [])])

    with pytest.raises(InvalidOption, match=f"{option}=0 is not valid: allow at least 1"):
        cns.stimulate(entries(1), **{option: 0})  # type: ignore[arg-type]
    with pytest.raises(InvalidOption, match="concurrency=0"):
        neuron("n", {}, concurrency=0)


# --- concurrency of a neuron


async def test_a_gate_counts_over_all_runs_first_come_first_served() -> None:
    # Given a neuron that two may be inside of, and three runs that want in
    log: list[int] = []
    turns = {number: asyncio.Event() for number in range(6)}

    async def work(payload: int) -> None:
        log.append(payload)
        await turns[payload].wait()

    cns = CNS([neuron("n", {}, concurrency=2).dendrite(entry, work)])
    runs: list[Any] = []
    for pair in ((0, 1), (2, 3), (4, 5)):
        runs.append(cns.stimulate(entries(*pair)))
        await settled()
    assert log == [0, 1]

    # When permits get free one by one
    for number in (1, 0, 2, 3, 4, 5):
        turns[number].set()
        await settled()

    # Then they go to whoever came first
    assert log == [0, 1, 2, 3, 4, 5]
    for run in runs:
        await run


async def test_a_newcomer_stands_behind_those_in_line() -> None:
    door = Door("door", entry, concurrency=1)
    log = door.inside
    cns = CNS([door.neuron])
    first = cns.stimulate(entries(1))
    second = cns.stimulate(entries(2))
    await settled()
    assert log == [1]

    door.opened.set()
    await first
    third = cns.stimulate(entries(3))
    await second
    await third
    assert door.most == 1


async def test_a_newcomer_does_not_overtake_one_who_was_promised_a_permit() -> None:
    # Given a run on another loop in line for a permit, whose thread has been called to look
    log: list[str] = []
    held, standing = threading.Event(), threading.Event()

    def work(payload: str) -> None:
        log.append(payload)

    cns = CNS([neuron("n", {}, concurrency=1).dendrite(texts, work)])
    gate = cns.network.receiver("n", "texts").gate
    assert gate is not None
    holder = stranger()
    assert gate.enter(holder)

    async def stand_in_line() -> None:
        run = cns.stimulate(texts.create_signal("first"))
        standing.set()
        held.wait(PATIENCE)  # this thread does not look yet
        await run

    other = in_thread(lambda: asyncio.run(stand_in_line()))
    assert standing.wait(PATIENCE)
    gate.release(holder)

    # When a newcomer comes before it has looked
    run = cns.stimulate(texts.create_signal("second"))

    # Then the newcomer waits its turn
    assert log == []
    held.set()
    await asyncio.wait_for(run.wait_until_complete(), PATIENCE)
    await asyncio.to_thread(other.join, PATIENCE)
    assert log == ["first", "second"]


async def test_a_gate_waiter_holds_no_slot_and_blocks_nobody_behind_it() -> None:
    # Given a run with one slot, whose head waits at a gate that another run holds
    door, log = Door("door", entry, concurrency=1), list[int]()
    cns = CNS([door.neuron, sink("free", middle, log)])
    holder = cns.stimulate(entries(1))
    await settled()

    run = cns.stimulate([entry.create_signal(2), middle.create_signal(3)], concurrency=1)
    await settled()

    # Then what stands behind it runs
    assert log == [3]
    assert names(run.frontier) == [("door", 2)]

    # And it has its turn when the permit is free, in the one slot
    door.opened.set()
    await holder
    await run


async def test_a_permit_that_nobody_ahead_has_a_slot_for_goes_to_those_behind() -> None:
    # Given a run whose one slot is taken, with an activation in line, and a permit that gets free
    gate, busy = Door("gate", entry, concurrency=1), Door("busy", middle)
    cns = CNS([gate.neuron, busy.neuron])
    holder = cns.stimulate(entries(1))
    await settled()
    full = cns.stimulate([entry.create_signal(2), middle.create_signal(3)], concurrency=1)
    await settled()
    assert busy.inside == [3]
    gate.opened.set()
    await holder

    # When another run comes
    newcomer = cns.stimulate(entries(4))

    # Then it does not wait for the slot of the run ahead
    await newcomer
    busy.opened.set()
    await full


async def test_when_a_slot_gets_free_those_in_line_have_their_turn() -> None:
    gate, busy = Door("gate", entry, concurrency=1), Door("busy", middle)
    cns = CNS([gate.neuron, busy.neuron])
    holder = cns.stimulate(entries(1))
    await settled()
    run = cns.stimulate([entry.create_signal(2), middle.create_signal(3)], concurrency=1)
    await settled()
    gate.opened.set()
    await holder
    await settled()
    assert names(run.frontier) == [("busy", 3), ("gate", 2)]

    busy.opened.set()
    await run


async def test_those_in_line_leave_on_abort() -> None:
    door = Door("door", entry, concurrency=1)
    cns = CNS([door.neuron])
    first, second, third = (cns.stimulate(entries(number)) for number in (1, 2, 3))
    await settled()

    second.abort()
    with pytest.raises(StimulationFailed):
        await second
    assert names(second.failed_tasks) == [("door", 2)]

    door.opened.set()
    await first
    await third
    assert door.most == 1


async def test_a_permit_is_given_back_whatever_becomes_of_the_activation() -> None:
    clock = ManualClock()

    async def work(payload: int, axon: Any, ctx: Ctx) -> None:
        if payload == 1:
            raise ValueError
        if payload == 2:
            await asyncio.Event().wait()

    cns = CNS([neuron("n", {}, concurrency=1).dendrite(entry, work)], clock=clock)
    failing = cns.stimulate(entries(1))
    await failing.wait_until_done()
    cancelled = cns.stimulate(entries(2))
    await settled()
    cancelled.abort(grace=1)
    await settled()
    await clock.advance(2)
    assert cancelled.done

    assert await cns.stimulate(entries(3))
    assert len(failing.failed_tasks) == len(cancelled.failed_tasks) == 1


async def test_permits_are_reentrant_along_inner_runs() -> None:
    # Given a neuron with one permit that calls itself, twice over, in inner runs
    log: list[int] = []

    async def count_down(payload: int, axon: Any, ctx: Ctx) -> None:
        log.append(payload)
        if payload:
            await ctx.cns.stimulate(entry.create_signal(payload - 1))

    cns = CNS([neuron("n", {}, concurrency=1).dendrite(entry, count_down)])

    await cns.stimulate(entries(2))
    assert log == [2, 1, 0]

    # And the permit is free afterwards
    await cns.stimulate(entries(0))


async def test_a_cycle_of_waits_is_a_failed_task_that_names_it() -> None:
    # Given two neurons with one permit each, each of which calls the other in an inner run
    both = asyncio.Barrier(2)
    errors: list[Any] = []

    def calling(other: Any) -> Any:
        async def call(payload: int, axon: Any, ctx: Ctx) -> None:
            if payload == 0:
                return
            await both.wait()
            inner = ctx.cns.stimulate(other.create_signal(0))
            await inner.wait_until_done()  # type: ignore[attr-defined]
            errors.extend(failed.error for failed in inner.failed_tasks)

        return call

    cns = CNS(
        [
            neuron("left", {}, concurrency=1).dendrite(entry, calling(middle)),
            neuron("right", {}, concurrency=1).dendrite(middle, calling(entry)),
        ]
    )

    # When two runs hold one permit each and want the other's
    runs = [cns.stimulate(each.create_signal(1)) for each in (entry, middle)]
    await asyncio.wait_for(asyncio.gather(*runs), PATIENCE)

    # Then the wait that would have closed the circle failed, and the other ended well
    (error,) = errors
    assert isinstance(error, WaitCycle)
    assert "left -> right -> left" in str(error) or "right -> left -> right" in str(error)
    assert "concurrency" in str(error)


async def test_a_long_line_at_a_gate_is_served_in_order_and_in_good_time() -> None:
    log: list[int] = []

    async def work(payload: int) -> None:
        log.append(payload)

    cns = CNS([neuron("n", {}, concurrency=2).dendrite(entry, work)])
    run = cns.stimulate(entries(*range(5_000)), concurrency=4)
    await asyncio.wait_for(run.wait_until_complete(), PATIENCE)

    assert log == list(range(5_000))


async def test_a_gate_serves_a_sync_handler_too() -> None:
    door, log = Door("n", entry, concurrency=1), list[Any]()
    door.neuron.dendrite(middle, log.append)
    cns = CNS([door.neuron])
    holder = cns.stimulate(entries(1))
    await settled()

    run = cns.stimulate(middle.create_signal(2))
    assert log == []

    door.opened.set()
    await holder
    await run
    assert log == [2]


# --- gates over threads


def in_thread(call: Any) -> threading.Thread:
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    return thread


def test_a_gate_counts_over_threads() -> None:
    # Given a sync neuron with one permit, and four threads that run it without a loop
    inside, most, log = [0], [0], list[int]()

    def work(payload: int) -> None:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        time.sleep(0.0005)
        inside[0] -= 1
        log.append(payload)

    cns = CNS([neuron("n", {}, concurrency=1).dendrite(entry, work)])
    threads = [in_thread(lambda: cns.stimulate(entries(*range(10)))) for _ in range(4)]
    for thread in threads:
        thread.join(PATIENCE)

    assert most == [1]
    assert sorted(log) == sorted([*range(10)] * 4)


async def test_a_loop_and_threads_pass_a_permit_to_and_fro() -> None:
    inside, most = [0], [0]

    def work(payload: int) -> None:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        time.sleep(0.0005)
        inside[0] -= 1

    async def work_later(payload: int) -> None:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        await asyncio.sleep(0)
        inside[0] -= 1

    cns = CNS(
        [neuron("n", {}, concurrency=1).dendrite(entry, work).dendrite(middle, work_later)],
    )
    threads = [in_thread(lambda: cns.stimulate(entries(*range(20)))) for _ in range(2)]
    run = cns.stimulate([middle.create_signal(number) for number in range(50)])

    await asyncio.wait_for(run.wait_until_complete(), PATIENCE)
    await asyncio.to_thread(lambda: [thread.join(PATIENCE) for thread in threads])
    assert not any(thread.is_alive() for thread in threads)
    assert most == [1]


def test_a_thread_that_waits_at_a_gate_may_be_aborted_from_another() -> None:
    entered, leave = threading.Event(), threading.Event()
    runs: list[Any] = []

    def work(payload: int) -> None:
        entered.set()
        leave.wait(PATIENCE)

    cns = CNS([neuron("n", {}, concurrency=1).dendrite(entry, work)])
    holder = in_thread(lambda: cns.stimulate(entries(1)))
    assert entered.wait(PATIENCE)

    cns.add_response_listener(lambda response: runs.append(response.stimulation))
    waiter = in_thread(lambda: cns.stimulate(entries(2)))
    while not (runs and runs[0].wake):
        time.sleep(0.001)
    runs[0].abort("give up")
    waiter.join(PATIENCE)

    assert not waiter.is_alive()
    assert names(runs[0].failed_tasks) == [("n", 2)]
    leave.set()
    holder.join(PATIENCE)


def test_a_loop_that_is_gone_holds_up_nobody() -> None:
    # Given a loop that closes while a run of it stands in line
    entered, leave = threading.Event(), threading.Event()

    def work(payload: int) -> None:
        entered.set()
        leave.wait(PATIENCE)

    cns = CNS([neuron("n", {}, concurrency=1).dendrite(entry, work)])
    holder = in_thread(lambda: cns.stimulate(entries(1)))
    assert entered.wait(PATIENCE)

    async def leave_in_line() -> None:
        cns.stimulate(entries(2))

    asyncio.run(leave_in_line())

    # When the permit gets free
    leave.set()
    holder.join(PATIENCE)

    # Then others have it
    last = in_thread(lambda: cns.stimulate(entries(3)))
    last.join(PATIENCE)
    assert not last.is_alive()


def test_a_sync_handler_that_waits_for_its_own_permit_in_another_run_is_told_so() -> None:
    # Given a handler that stimulates the same CNS from outside its run, without a loop
    failed: list[Any] = []

    def again(payload: int) -> None:
        if payload:
            failed.extend(cns.stimulate(entry.create_signal(0)).failed_tasks)

    cns = CNS([neuron("n", {}, concurrency=1).dendrite(entry, again)])
    thread = in_thread(lambda: cns.stimulate(entries(1)))
    thread.join(PATIENCE)

    assert not thread.is_alive()
    assert [type(one.error) for one in failed] == [WaitCycle]


# --- max_duration


@pytest.mark.parametrize("limit", [2, 2.0, timedelta(seconds=2)])
async def test_max_duration_cancels_an_async_handler(limit: Any) -> None:
    # T5: the body stops, too
    clock, door = ManualClock(), Door("door", entry, max_duration=limit)
    run = CNS([door.neuron], clock=clock).stimulate(entries(1))
    await settled()

    await clock.advance(1.9)
    assert not run.done
    await clock.advance(0.2)

    (failed,) = run.failed_tasks
    assert isinstance(failed.error, DurationExceeded)
    assert isinstance(failed.error, TimeoutError)
    assert "'door' ran longer than its max_duration of 2" in str(failed.error)
    assert not failed.aborted


async def test_a_handler_that_is_in_time_hears_nothing_of_its_limit() -> None:
    clock, door = ManualClock(), Door("door", entry, max_duration=2)
    run = CNS([door.neuron], clock=clock).stimulate(entries(1))
    await settled()
    door.opened.set()
    await run
    await clock.advance(5)

    assert run.failed_tasks == []


async def test_what_a_handler_returns_after_its_time_does_not_count() -> None:
    clock, log = ManualClock(), list[Any]()

    async def cling(payload: int, axon: Any) -> Any:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return axon.out.create_signal(1)

    slow = neuron("n", {"out": out}, max_duration=1).dendrite(entry, cling)
    run = CNS([slow, sink("s", out, log)], clock=clock).stimulate(entries(1))
    await settled()
    await clock.advance(2)

    assert [type(one.error) for one in run.failed_tasks] == [DurationExceeded]
    assert log == []


async def test_a_dendrite_may_have_its_own_limit() -> None:
    clock = ManualClock()
    door = Door("door", entry, max_duration=100)

    async def wait(payload: int) -> None:
        await asyncio.Event().wait()

    door.neuron.dendrite(middle, wait, max_duration=1)
    run = CNS([door.neuron], clock=clock).stimulate(middle.create_signal(1))
    await settled()
    await clock.advance(2)

    assert len(run.failed_tasks) == 1


async def test_the_time_in_line_at_a_gate_does_not_count() -> None:
    clock, door = ManualClock(), Door("door", entry, concurrency=1, max_duration=2)
    cns = CNS([door.neuron], clock=clock)
    run = cns.stimulate(entries(1, 2))
    await settled()
    await clock.advance(3)
    await clock.advance(1)
    assert names(run.failed_tasks) == [("door", 1)]

    door.opened.set()
    await settled()
    assert run.done
    assert len(run.failed_tasks) == 1


async def test_in_a_thread_the_deadline_aborts_the_signal_and_the_body_ends_by_itself() -> None:
    clock, ended, woke = ManualClock(), threading.Event(), list[bool]()
    loop = asyncio.get_running_loop()
    entered, going = asyncio.Event(), threading.Event()

    def work(payload: int, axon: Any, ctx: Ctx) -> None:
        loop.call_soon_threadsafe(entered.set)
        woken = threading.Event()
        ctx.abort_signal.add_callback(woken.set)
        woke.append(woken.wait(PATIENCE / 5))
        going.wait(PATIENCE)
        ended.set()

    cns = CNS([neuron("n", {}, in_thread=True, max_duration=1).dendrite(entry, work)], clock=clock)
    run = cns.stimulate(entries(1))
    await entered.wait()
    await settled()

    await clock.advance(2)
    assert not run.done
    assert not ended.is_set()
    going.set()
    await run.wait_until_done()

    assert ended.is_set()
    assert woke == [True]
    assert [type(one.error) for one in run.failed_tasks] == [DurationExceeded]


async def test_handlers_in_threads_do_not_hold_up_the_loop_and_are_committed_on_it() -> None:
    both = threading.Barrier(2, timeout=PATIENCE)
    threads: list[str] = []

    def work(payload: int, axon: Any, ctx: Ctx) -> Any:
        threads.append(threading.current_thread().name)
        both.wait()
        ctx.set(payload)
        return axon.out.create_signal(payload)

    log: list[Any] = []
    cns = CNS(
        [
            neuron("n", {"out": out}, in_thread=True).dendrite(entry, work),
            neuron("s", {}).dendrite(
                out, lambda payload: log.append(threading.current_thread().name)
            ),
        ]
    )
    run = cns.stimulate(entries(1, 2))
    await run

    assert log == [threading.current_thread().name] * 2
    assert all("neuron 'n'" in name for name in threads)
    assert run.context.get_all()["n"] in (1, 2)


async def test_an_error_in_a_thread_is_a_failed_task() -> None:
    def fail(payload: int) -> None:
        raise ValueError("in the thread")

    run = CNS([neuron("n", {}, in_thread=True).dendrite(entry, fail)]).stimulate(entries(1))

    with pytest.raises(StimulationFailed, match="in the thread"):
        await run


def test_max_duration_is_refused_on_any_other_sync_handler() -> None:
    with pytest.raises(UnstoppableHandler, match=r"'n' cannot be stopped.*in_thread=True"):
        neuron("n", {}, max_duration=1).dendrite(entry, lambda payload: None)
    with pytest.raises(UnstoppableHandler):
        neuron("n", {}).dendrite(entry, lambda payload: None, max_duration=1)
    with pytest.raises(InvalidOption, match="max_duration=0"):
        neuron("n", {}, max_duration=0)


def test_a_coroutine_function_is_not_put_in_a_thread() -> None:
    async def work(payload: int) -> None: ...

    with pytest.raises(InvalidOption, match="in_thread"):
        neuron("n", {}).dendrite(entry, work, in_thread=True)
    assert neuron("n", {}, in_thread=True).dendrite(entry, work)


# --- max_neuron_hops


@pytest.mark.parametrize("coroutine", [False, True])
async def test_a_path_that_is_too_long_ends_in_an_ordinary_failed_task(coroutine: bool) -> None:
    # T4: not in an unhandled rejection, nor in an error out of stimulate()
    log: list[int] = []

    def again(payload: int, axon: Any) -> Signal[int]:
        log.append(payload)
        return axon.again.create_signal(payload + 1)

    async def again_later(payload: int, axon: Any) -> Signal[int]:
        return again(payload, axon)

    handler = again_later if coroutine else again
    cns = CNS([neuron("n", {"again": entry}).dendrite(entry, handler)])

    run = cns.stimulate(entries(1), max_neuron_hops=5)
    with pytest.raises(StimulationFailed):
        await run

    assert log == [1, 2, 3, 4, 5]
    (failed,) = run.failed_tasks
    assert isinstance(failed.error, HopLimitExceeded)
    assert "'n' would be hop 6 of a path, over max_neuron_hops=5" in str(failed.error)
    assert not failed.aborted


def test_hops_are_counted_along_a_path_not_over_the_run() -> None:
    log: list[Any] = []
    branches = collateral("branches", int)

    def split(payload: int, axon: Any) -> list[Signal[int]]:
        return [axon.branches.create_signal(number) for number in range(50)]

    cns = CNS(
        [
            neuron("split", {"branches": branches}).dendrite(entry, split),
            passing("pass", branches, out),
            sink("end", out, log),
        ]
    )
    run = cns.stimulate(entries(1), max_neuron_hops=3)

    assert run.failed_tasks == []
    assert len(log) == 50
