"""AbortController and AbortSignal on their own."""

import asyncio
import threading
from typing import Any

import pytest

from cnstra import AbortController
from cnstra.errors import Aborted


def test_a_signal_says_whether_and_why() -> None:
    controller = AbortController()
    assert not controller.signal.aborted
    controller.signal.raise_if_aborted()

    controller.abort("the user left")

    assert controller.signal.aborted
    assert controller.signal.reason == "the user left"
    with pytest.raises(Aborted, match="the user left"):
        controller.signal.raise_if_aborted()


def test_a_second_abort_changes_nothing() -> None:
    controller, heard = AbortController(), list[Any]()
    controller.signal.add_callback(lambda: heard.append(1))

    controller.abort("first")
    controller.abort("second")

    assert heard == [1]
    assert controller.signal.reason == "first"


def test_a_callback_can_be_removed_and_a_late_one_is_called_at_once() -> None:
    controller, heard = AbortController(), list[str]()
    remove = controller.signal.add_callback(lambda: heard.append("removed"))
    remove()
    remove()

    controller.abort()
    late = controller.signal.add_callback(lambda: heard.append("late"))
    late()

    assert heard == ["late"]


async def test_wait_wakes_on_an_abort_from_any_thread() -> None:
    controller = AbortController()
    waiters = [asyncio.ensure_future(controller.signal.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    assert not any(waiter.done() for waiter in waiters)

    threading.Thread(target=controller.abort).start()

    await asyncio.gather(*waiters)
    await controller.signal.wait()


async def test_a_wait_that_was_given_up_leaves_nothing_behind() -> None:
    controller = AbortController()
    waiter = asyncio.ensure_future(controller.signal.wait())
    await asyncio.sleep(0)
    waiter.cancel()
    await asyncio.gather(waiter, return_exceptions=True)

    controller.abort()

    assert waiter.cancelled()
