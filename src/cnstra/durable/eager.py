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
        return asyncio.get_running_loop().create_task(_raise(error))
    return asyncio.get_running_loop().create_task(_Begun(coroutine, waits_for))


async def _raise(error: BaseException) -> None:
    raise error


class _Begun(Coroutine[Any, Any, None]):
    """A coroutine that has begun, as a task takes it: first it waits for `waits_for`."""

    __slots__ = ("_coroutine", "_waits_for")

    def __init__(self, coroutine: Coroutine[Any, Any, None], waits_for: Any) -> None:
        self._coroutine = coroutine
        self._waits_for: list[Any] = [waits_for]

    def send(self, value: Any, /) -> Any:
        return self._waits_for.pop() if self._waits_for else self._coroutine.send(value)

    def throw(self, *error: Any) -> Any:
        self._waits_for.clear()
        return self._coroutine.throw(*error)

    def close(self) -> None:
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, None]:
        raise NotImplementedError("it is a task's")
