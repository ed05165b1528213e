"""R5: errors are values: a failed task each, with the rest going on."""

import asyncio
import gc
import logging
from collections.abc import Generator
from typing import Any

import pytest

from cnstra import CNS, Context, collateral, neuron
from cnstra.engine.tasks import error_to_wire
from cnstra.errors import InvalidOutput, InvalidPayload, StimulationFailed
from tests.graphs import entry, middle, out, passing, sink


def failing(coroutine: bool, error: BaseException) -> Any:
    def fail(payload: int) -> None:
        raise error

    async def fail_later(payload: int) -> None:
        raise error

    return fail_later if coroutine else fail


def cancel_all_tasks() -> None:
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()


@pytest.mark.parametrize("coroutine", [False, True])
async def test_a_handler_that_raises_makes_one_failed_task(coroutine: bool) -> None:
    error = ValueError("no such user")
    cns = CNS([neuron("n", {}).dendrite(entry, failing(coroutine, error))])

    run = cns.stimulate(entry.create_signal(7))
    with pytest.raises(StimulationFailed, match=r"1 of the run's tasks.*n: ValueError") as caught:
        await run

    (failed,) = run.failed_tasks
    assert (failed.task.neuron_id, failed.task.dendrite_collateral_name) == ("n", "entry")
    assert failed.task.input == entry.create_signal(7)
    assert failed.task.stimulation_id == run.id
    assert failed.error is error
    assert not failed.aborted
    assert list(caught.value.failed_tasks) == run.failed_tasks
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("coroutine", [False, True])
async def test_a_failing_branch_does_not_stop_the_others(coroutine: bool) -> None:
    log: list[Any] = []
    cns = CNS(
        [
            neuron("bad", {}).dendrite(entry, failing(coroutine, ValueError("1"))),
            passing("good", entry, out, log),
            sink("end", out, log),
            neuron("bad too", {}).dendrite(out, failing(coroutine, KeyError("2"))),
        ]
    )

    run = cns.stimulate([entry.create_signal(1), entry.create_signal(2)])
    with pytest.raises(StimulationFailed, match="4 of the run's tasks"):
        await run

    assert log.count(1) == log.count(2) == 1
    assert {failed.task.neuron_id for failed in run.failed_tasks} == {"bad", "bad too"}


def test_without_a_loop_the_failed_tasks_are_there_and_can_be_raised() -> None:
    run = CNS([neuron("n", {}).dendrite(entry, failing(False, ValueError("no")))]).stimulate(
        entry.create_signal(1)
    )

    assert len(run.failed_tasks) == 1
    with pytest.raises(StimulationFailed, match="no"):
        run.raise_for_failures()


async def test_waiting_twice_and_from_several_places_says_the_same() -> None:
    run = CNS([neuron("n", {}).dendrite(entry, failing(True, ValueError("no")))]).stimulate(
        entry.create_signal(1)
    )

    first, second = await asyncio.gather(run, run.wait_until_complete(), return_exceptions=True)

    assert isinstance(first, StimulationFailed)
    assert isinstance(second, StimulationFailed)
    with pytest.raises(StimulationFailed):
        await run


async def test_the_first_errors_are_told_and_the_others_counted() -> None:
    run = CNS([neuron("n", {}).dendrite(entry, failing(False, ValueError("no")))]).stimulate(
        [entry.create_signal(number) for number in range(5)]
    )

    with pytest.raises(StimulationFailed, match=r"5 of the run's tasks.*and 2 more"):
        await run


@pytest.mark.parametrize("coroutine", [False, True])
async def test_a_cancellation_that_nobody_asked_for_is_an_ordinary_failure(coroutine: bool) -> None:
    log: list[Any] = []
    stray = failing(coroutine, asyncio.CancelledError("stray"))
    cns = CNS([neuron("n", {}).dendrite(entry, stray), sink("other", entry, log)])

    run = cns.stimulate([entry.create_signal(1), entry.create_signal(2)])
    with pytest.raises(StimulationFailed) as caught:
        await run

    assert [type(failed.error) for failed in caught.value.failed_tasks] == [
        asyncio.CancelledError
    ] * 2
    assert not any(failed.aborted for failed in caught.value.failed_tasks)
    assert log == [1, 2]


async def test_a_handler_whose_own_work_was_cancelled_has_failed() -> None:
    async def wait_for_what_is_cancelled(payload: int) -> None:
        work = asyncio.ensure_future(asyncio.Event().wait())
        asyncio.get_running_loop().call_soon(work.cancel)
        await work

    run = CNS([neuron("n", {}).dendrite(entry, wait_for_what_is_cancelled)]).stimulate(
        entry.create_signal(1)
    )
    with pytest.raises(StimulationFailed, match="CancelledError"):
        await run


async def test_whoever_cancels_the_tasks_of_a_loop_finds_the_work_still_owed() -> None:
    # Given a handler that waits
    entered = asyncio.Event()

    async def wait(payload: int) -> None:
        entered.set()
        await asyncio.Event().wait()

    run = CNS([neuron("n", {}).dendrite(entry, wait)]).stimulate(entry.create_signal(1))
    await entered.wait()

    # When every task of the loop but ours is cancelled, as asyncio.run does at its end
    cancel_all_tasks()
    await run.wait_until_done()

    # Then the activation is interrupted, not failed
    (failed,) = run.failed_tasks
    assert failed.aborted


async def test_a_run_whose_task_was_cancelled_before_it_began_ends_and_owes_all() -> None:
    log: list[int] = []

    async def work(payload: int) -> None:
        log.append(payload)

    run = CNS([neuron("n", {}).dendrite(entry, work)]).stimulate(
        [entry.create_signal(1), entry.create_signal(2)]
    )
    cancel_all_tasks()

    await asyncio.wait_for(run.wait_until_done(), 5)
    assert log == []
    assert [failed.task.input.payload for failed in run.failed_tasks] == [1, 2]
    assert all(failed.aborted for failed in run.failed_tasks)


async def test_a_run_whose_task_was_cancelled_while_inner_runs_ended_ends_too() -> None:
    # Given a handler that has returned, and its inner run that goes on
    entered = asyncio.Event()

    async def wait(payload: int) -> None:
        entered.set()
        await asyncio.Event().wait()

    async def start(payload: int, axon: Any, ctx: Context[Any]) -> None:
        ctx.cns.stimulate(middle.create_signal(payload))

    cns = CNS([neuron("o", {}).dendrite(entry, start), neuron("i", {}).dendrite(middle, wait)])
    run = cns.stimulate(entry.create_signal(1))
    await entered.wait()

    # When every task is cancelled
    cancel_all_tasks()

    # Then the run ends, and its activation was interrupted with its inner run
    await asyncio.wait_for(run.wait_until_done(), 5)
    (failed,) = run.failed_tasks
    assert failed.aborted


@pytest.mark.parametrize("fatal", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_process_in_a_listener_leaves_the_run_owed(
    fatal: type[BaseException],
) -> None:
    runs: list[Any] = []

    def listen(response: Any) -> None:
        if response.output_signal == middle.create_signal(1):
            runs.append(response.stimulation)
            raise fatal

    with pytest.raises(fatal):
        CNS([passing("n", entry, middle), sink("s", middle, [])]).stimulate(
            entry.create_signal(1), on_response=listen
        )
    assert runs[0].aborted
    assert [task.neuron_id for task in runs[0].frontier] == ["s"]


@pytest.mark.parametrize("fatal", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_process_is_no_failure_of_the_handler(fatal: type[BaseException]) -> None:
    runs: list[Any] = []

    def stop(payload: int, axon: Any, ctx: Context[Any]) -> None:
        runs.append(ctx.run)
        raise fatal

    cns = CNS([neuron("n", {}).dendrite(entry, stop)])

    with pytest.raises(fatal):
        cns.stimulate([entry.create_signal(1), entry.create_signal(2)])
    assert [task.input.payload for task in runs[0].frontier] == [1, 2]
    assert runs[0].done


def test_an_unobserved_failure_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "cnstra"):
        CNS([neuron("n", {}).dendrite(entry, failing(False, ValueError("lost")))]).stimulate(
            entry.create_signal(1)
        )
        gc.collect()

    assert "nobody looked: [ValueError('lost')]" in caplog.text
    assert "run.failed_tasks" in caplog.text


def test_a_failure_that_somebody_saw_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "cnstra"):
        run = CNS([neuron("n", {}).dendrite(entry, failing(False, ValueError("seen")))]).stimulate(
            entry.create_signal(1)
        )
        assert run.failed_tasks
        del run
        gc.collect()

    assert caplog.text == ""


async def test_waiting_for_a_run_never_cancels_it() -> None:
    opened, log = asyncio.Event(), list[int]()

    async def wait(payload: int) -> None:
        await opened.wait()
        log.append(payload)

    run = CNS([neuron("n", {}).dendrite(entry, wait)]).stimulate(entry.create_signal(1))
    waiter = asyncio.ensure_future(run.wait_until_complete())
    await asyncio.sleep(0)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter

    opened.set()
    await run
    assert log == [1]


class Thenable:
    """Awaitable, but neither a coroutine nor a future."""

    def __init__(self, result: Any) -> None:
        self.result = result

    def __await__(self) -> Generator[Any, None, Any]:
        yield from asyncio.sleep(0).__await__()
        return self.result


async def test_whatever_can_be_awaited_is_awaited() -> None:
    # Given sync handlers that return awaitables of three kinds (T7)
    log: list[Any] = []

    async def coroutine(payload: int) -> Any:
        return out.create_signal(2)

    async def asynchronous(payload: int) -> Any:
        return Thenable(out.create_signal(4))

    kinds: dict[str, Any] = {
        "thenable": lambda payload: Thenable(out.create_signal(1)),
        "coroutine": lambda payload: coroutine(payload),  # noqa: PLW0108
        "future": lambda payload: asyncio.ensure_future(coroutine(payload)),
        "from a coroutine": asynchronous,
    }
    neurons = [neuron(name, {"out": out}).dendrite(entry, fn) for name, fn in kinds.items()]

    await CNS([*neurons, sink("end", out, log)]).stimulate(entry.create_signal(0))

    assert sorted(log) == [1, 2, 2, 4]


async def test_an_awaitable_that_fails_is_a_failed_task() -> None:
    async def fail() -> None:
        raise ValueError("late")

    run = CNS([neuron("n", {}).dendrite(entry, lambda payload: fail())]).stimulate(
        entry.create_signal(1)
    )

    with pytest.raises(StimulationFailed, match="late"):
        await run


def test_a_context_may_be_taken_apart() -> None:
    # T7: `get`, `set` and `delete` work on their own
    def take_apart(payload: int, axon: Any, ctx: Context[int]) -> None:
        get, put, delete = ctx.get, ctx.set, ctx.delete
        put(1)
        assert get() == 1
        delete()
        assert get(5) == 5
        put(2)

    run = CNS([neuron("n", {}).dendrite(entry, take_apart)]).stimulate(entry.create_signal(1))

    assert run.failed_tasks == []
    assert run.context.get_all() == {"n": 2}


@pytest.mark.parametrize(
    "output", ["text", 5, {"collateralName": "out", "payload": 1}, [1], [None], object(), {}]
)
def test_returning_what_is_no_signal_is_an_error_that_names_the_neuron(output: Any) -> None:
    run = CNS([neuron("n", {"out": out}).dendrite(entry, lambda payload: output)]).stimulate(
        entry.create_signal(1)
    )

    (failed,) = run.failed_tasks
    assert isinstance(failed.error, InvalidOutput)
    assert "'n' returned" in str(failed.error)


def test_a_tuple_of_signals_is_a_list_of_them() -> None:
    log: list[Any] = []
    pair = collateral("pair", int)

    def emit(payload: int, axon: Any) -> Any:
        return (axon.pair.create_signal(1), axon.pair.create_signal(2))

    CNS([neuron("n", {"pair": pair}).dendrite(middle, emit), sink("s", pair, log)]).stimulate(
        middle.create_signal(0)
    )

    assert log == [1, 2]


@pytest.mark.parametrize("is_async", [False, True])
async def test_what_is_written_down_of_an_error_begins_with_the_handler(is_async: bool) -> None:
    run = CNS([neuron("n", {}).dendrite(entry, failing(is_async, ValueError("lost")))]).stimulate(
        entry.create_signal(1)
    )
    await run.wait_until_done()

    (failed,) = run.failed_tasks
    first, *frames = [line.strip() for line in error_to_wire(failed.error)["stack"].splitlines()]
    assert first == "Traceback (most recent call last):"
    assert __file__ in frames[0]
    assert frames[-1] == "ValueError: lost"


class Mute(Exception):
    """An error whose own code fails where it is looked at."""

    def __str__(self) -> str:
        raise AttributeError("it has had no response")

    __repr__ = __str__


HALF = "caf\udce9.txt"

ODD_ERRORS = [
    (ValueError(HALF), "caf\\udce9.txt"),
    (Mute(), "Mute, which cannot say more: its own code raised AttributeError"),
    (ValueError(), "ValueError"),
]


@pytest.mark.parametrize(("error", "message"), ODD_ERRORS)
def test_any_error_is_written_down_as_texts_that_utf_8_holds(
    error: Exception, message: str
) -> None:
    error.__cause__, error.__notes__ = Mute(), [HALF]
    wire = error_to_wire(error)
    assert (wire["message"], wire["name"]) == (message, type(error).__name__)
    assert wire["stack"].encode().count(b"caf\\udce9.txt") >= 1


async def test_an_error_that_cannot_be_shown_fails_its_run_as_any_other() -> None:
    cns = CNS([neuron("n", {}).dendrite(entry, failing(True, Mute()))])
    with pytest.raises(StimulationFailed, match="n: Mute, which cannot say more"):
        await cns.stimulate(entry.create_signal(1))


def test_an_error_of_ours_may_quote_one_that_cannot_be_shown() -> None:
    error = InvalidPayload(collateral="c", type="t", reason=Mute())
    assert "Mute, which cannot say more" in str(error)


class Shy:
    """An output whose own code fails where it is looked at."""

    def __repr__(self) -> str:
        raise AttributeError("it has no session any more")


@pytest.mark.parametrize("coroutine", [False, True])
async def test_an_output_that_cannot_be_shown_fails_its_task(coroutine: bool) -> None:
    def emit(payload: int) -> Any:
        return Shy()

    async def emit_later(payload: int) -> Any:
        return Shy()

    cns = CNS([neuron("n", {}).dendrite(entry, emit_later if coroutine else emit)])
    run = cns.stimulate(entry.create_signal(1))
    await asyncio.wait_for(run.wait_until_done(), 5)
    (failed,) = run.failed_tasks
    assert isinstance(failed.error, AttributeError)
