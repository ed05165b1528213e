"""The one bridge for callers without an event loop."""

import asyncio
from asyncio.events import _get_running_loop  # pyright: ignore
from collections.abc import Awaitable
from typing import TypeVar

from cnstra.errors import LoopIsRunning

T = TypeVar("T")


def blocking(awaitable: Awaitable[T]) -> T:
    """Wait for an awaitable of cnstra in a thread without an event loop, such as a Django view.

    Raises `LoopIsRunning` inside an event loop.

    >>> job = blocking(queue.enqueue(signal))
    """
    if _get_running_loop() is not None:
        if asyncio.iscoroutine(awaitable):
            awaitable.close()
        raise LoopIsRunning(call="blocking()")

    async def wait() -> T:
        return await awaitable

    return asyncio.run(wait())
