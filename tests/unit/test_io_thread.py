"""The thread on which clients live."""

import asyncio
import threading
import time

import pytest

from cnstra.durable.io_thread import IOThread, Mailbox


async def test_work_runs_on_the_thread_and_its_outcome_comes_back() -> None:
    io = IOThread("a test's")

    async def work() -> str:
        await asyncio.sleep(0)
        return threading.current_thread().name

    async def fail() -> None:
        raise ValueError("no")

    assert await io.call(work) == "a test's"
    with pytest.raises(ValueError, match="no"):
        await io.call(fail)
    io.close()


async def test_it_calls_from_itself_too() -> None:
    io = IOThread()

    async def inner() -> int:
        return 7

    async def outer() -> int:
        return await io.call(inner)

    assert await io.call(outer) == 7
    io.close()


async def test_work_goes_on_when_its_caller_leaves() -> None:
    io, done = IOThread(), threading.Event()

    async def work() -> None:
        await asyncio.sleep(0.01)
        done.set()

    caller = asyncio.create_task(io.call(work))
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert await asyncio.to_thread(done.wait, 10.0)
    io.close()


async def test_closing_ends_what_still_runs_there() -> None:
    io = IOThread()
    started, ended = threading.Event(), threading.Event()

    async def forever() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    io.spawn(forever)
    assert await asyncio.to_thread(started.wait, 10.0)
    io.close()
    io.close()
    assert ended.is_set()


async def test_posts_come_in_their_order_with_few_wake_ups() -> None:
    io, seen = IOThread(), list[int]()
    gate = threading.Event()
    io.post(lambda: gate.wait(10.0) and None)
    for number in range(1000):
        io.post(lambda at=number: seen.append(at))
    gate.set()

    async def nothing() -> None:
        pass

    await io.call(nothing)
    assert seen == list(range(1000))
    io.close()


async def test_a_callback_that_raises_holds_no_other_up() -> None:
    loop = asyncio.get_running_loop()
    told: list[object] = []
    loop.set_exception_handler(lambda _, context: told.append(context))
    mailbox, seen = Mailbox(loop), list[int]()

    def fail() -> None:
        raise RuntimeError

    mailbox.post(lambda: seen.append(1))
    mailbox.post(fail)
    mailbox.post(lambda: seen.append(2))
    for _ in range(5):
        await asyncio.sleep(0)
    assert seen == [1, 2]
    assert len(told) == 1


def test_a_mailbox_of_a_closed_loop_takes_nothing() -> None:
    loop = asyncio.new_event_loop()
    mailbox = Mailbox(loop)
    loop.close()
    mailbox.post(lambda: None)
    mailbox.post(lambda: None)


async def test_a_busy_loop_holds_up_nothing_of_the_thread() -> None:
    io, beats = IOThread(), list[float]()

    async def beat() -> None:
        while True:
            beats.append(time.monotonic())
            await asyncio.sleep(0.01)

    io.spawn(beat)
    before = len(beats)
    time.sleep(0.5)
    assert len(beats) - before > 5
    io.close()
