"""A coroutine whose first steps are taken at once: one that need not wait needs no task."""

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any


def begin(coroutine: Coroutine[Any, Any, None]) -> "asyncio.Task[None] | None":
    """Run it here and now up to its first wait. What is left is a task; `None` if nothing is.

    What it raises is raised in the task, so that the caller can begin others.
    """
    try:
        waits_for = coroutine.send(None)
    except StopIteration:
        return None
    except BaseException as error:
        return asyncio.ensure_future(_raise(error))
    return asyncio.ensure_future(_see_through(coroutine, waits_for))


async def _raise(error: BaseException) -> None:
    raise error


async def _see_through(coroutine: Coroutine[Any, Any, None], waits_for: Any) -> None:
    await _Rest(coroutine, waits_for)


class _Rest:
    """A coroutine that has begun, for `await`; it waits for `waits_for`."""

    __slots__ = ("_coroutine", "_waits_for")

    def __init__(self, coroutine: Coroutine[Any, Any, None], waits_for: Any) -> None:
        self._coroutine = coroutine
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, None, None]:
        coroutine, waits_for = self._coroutine, self._waits_for
        while True:
            try:
                yield waits_for
            except BaseException as error:
                step, argument = coroutine.throw, error
            else:
                step, argument = coroutine.send, None
            try:
                waits_for = step(argument)
            except StopIteration:
                return
