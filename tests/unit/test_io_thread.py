"""The thread on which clients live."""

import asyncio
import os
import threading
import time

import pytest

from cnstra.durable.io_thread import IOThread, Mailbox
from cnstra.errors import IOClosed, UsedBeforeFork


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


async def test_closed_it_never_starts_again() -> None:
    io, done = IOThread("a test's"), list[int]()

    async def work() -> None:
        done.append(1)

    await io.call(work)
    io.close()
    before = threading.active_count()
    io.post(lambda: done.append(2))
    with pytest.raises(IOClosed, match="a test's"):
        await io.call(work)
    assert (done, threading.active_count()) == ([1], before)


async def test_who_waits_for_it_as_it_is_closed_is_told() -> None:
    """Be the work under way, or not begun."""
    io, started, gate = IOThread(), threading.Event(), threading.Event()

    async def work() -> None:
        started.set()
        await asyncio.Event().wait()

    under_way = asyncio.ensure_future(io.call(work))
    assert await asyncio.to_thread(started.wait, 10.0)
    io.post(lambda: gate.wait(10.0) and None)
    waiting = [asyncio.ensure_future(io.call(work)) for _ in range(3)]
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(asyncio.to_thread(io.close))
    gate.set()
    await closing
    told = await asyncio.wait_for(asyncio.gather(under_way, *waiting, return_exceptions=True), 10)
    assert [type(one) for one in told] == [IOClosed] * 4


async def test_work_that_was_posted_when_it_ended_is_refused_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Given a call that comes when the thread has taken its last look, nobody waits for ever."""
    io = IOThread()

    async def nothing() -> None:
        pass

    await io.call(nothing)
    post = io.post

    def late(callback: object) -> None:
        monkeypatch.setattr(io, "post", post)
        io.close()
        io.post(callback)  # type: ignore[arg-type]

    monkeypatch.setattr(io, "post", late)
    with pytest.raises(IOClosed):
        await asyncio.wait_for(io.call(nothing), 10)


async def test_a_process_that_was_forked_does_not_share_it(monkeypatch: pytest.MonkeyPatch) -> None:
    io = IOThread("a test's")

    async def work() -> int:
        return os.getpid()

    assert await io.call(work) == os.getpid()
    with monkeypatch.context() as child:
        child.setattr(os, "getpid", lambda: 1)
        with pytest.raises(UsedBeforeFork, match="a test's"):
            await asyncio.wait_for(io.call(work), 10)
        with pytest.raises(UsedBeforeFork):
            io.post(lambda: None)
    assert await io.call(work) == os.getpid(), "the parent's goes on"
    io.close()


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
