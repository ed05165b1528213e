"""An event loop whose time jumps when nothing can be done before the next timer."""

import asyncio
import selectors
from collections.abc import Coroutine
from itertools import count
from typing import Any, TypeVar

from cnstra.durable.io_thread import Callback, IOThread

T = TypeVar("T")
EPOCH = 1_700_000_000.0

PATIENCE = 10.0
"""Real seconds in which a signal of the process may still wake a loop that has nothing due."""


class Stuck(AssertionError):
    """A loop would sleep for ever."""


class Jumping(selectors.DefaultSelector):  # type: ignore[misc, valid-type]
    """Waits for nothing: what would have passed meanwhile has passed."""

    def __init__(self) -> None:
        super().__init__()
        self.passed = 0.0

    def select(self, timeout: float | None = None) -> Any:
        found = super().select(PATIENCE if timeout is None else 0)
        if not found and timeout is None:
            raise Stuck("Nothing is ready and nothing is due: all that is left waits for ever.")
        if not found:
            self.passed += max(0.0, timeout)
        return found


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop for what does no I/O: three days of backoff take no time, and the same steps come in
    the same order each time.
    """

    def __init__(self) -> None:
        self._jumping = Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.passed


class LoopClock:
    """The time of the running loop, which a test may set forward; ids in a row, no chance."""

    def __init__(self, name: str = "id") -> None:
        self.ahead = 0.0
        self._name = name
        self._ids = count(1)

    def time(self) -> float:
        return EPOCH + self.monotonic()

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time() + self.ahead

    async def sleep(self, duration: float) -> None:
        await asyncio.sleep(duration)

    def random(self) -> float:
        return 0.5

    def new_id(self) -> str:
        return f"{self._name}-{next(self._ids)}"

    def travel(self, duration: float) -> None:
        """Set it forward; what would have expired by then has."""
        self.ahead += duration


class SameLoop(IOThread):
    """In place of the I/O thread: the very loop on which the run lives, so that nothing races."""

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()

    def post(self, callback: Callback) -> None:
        assert self._loop is not None
        self._loop.call_soon(callback)

    def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()


def run_virtually(main: Coroutine[Any, Any, T]) -> T:
    """As `asyncio.run`, on a `VirtualLoop`."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
