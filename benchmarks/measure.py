"""Two ways to do the same work, timed in turn in one process: only their ratio means anything.

What is timed is the thread's own processor time, so that a busy machine does not count.
"""

import gc
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

Work = Callable[[], object]
AsyncWork = Callable[[], Awaitable[object]]


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    bare, engine: nanoseconds, or bytes, for one unit of work.
    ratio: the median over the pairs of repetitions.
    goal: what the ratio should not exceed.
    """

    name: str
    unit: str
    bare: float
    engine: float
    ratio: float
    goal: float

    @property
    def is_reached(self) -> bool:
        return self.ratio <= self.goal


def compare(
    name: str, bare: Work, engine: Work, *, per: int, goal: float, repetitions: int
) -> Figure:
    """Time both in turn; `per`: how many units of work one call does."""
    pairs = [(_timed(bare), _timed(engine)) for _ in _rounds(bare, engine, repetitions)]
    return _figure(name, pairs, per, goal)


async def compare_async(
    name: str, bare: AsyncWork, engine: AsyncWork, *, per: int, goal: float, repetitions: int
) -> Figure:
    """The same for two coroutine functions, on one loop."""
    await bare()
    await engine()
    pairs: list[tuple[float, float]] = []
    with _no_collections():
        for _ in range(repetitions):
            pairs.append((await _timed_async(bare), await _timed_async(engine)))
    return _figure(name, pairs, per, goal)


def repeated(work: Work, times: int) -> Work:
    """The work so often that the clock can tell."""

    def repeat() -> None:
        for _ in range(times):
            work()

    return repeat


def repeated_async(work: AsyncWork, times: int) -> AsyncWork:
    """The same for a coroutine function."""

    async def repeat() -> None:
        for _ in range(times):
            await work()

    return repeat


def _rounds(bare: Work, engine: Work, repetitions: int) -> Iterator[int]:
    bare()
    engine()
    with _no_collections():
        yield from range(repetitions)


@contextmanager
def _no_collections() -> Iterator[None]:
    """The collector would strike whichever of the two it falls on."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _timed(work: Work) -> float:
    start = time.thread_time_ns()
    work()
    return time.thread_time_ns() - start


async def _timed_async(work: AsyncWork) -> float:
    start = time.thread_time_ns()
    await work()
    return time.thread_time_ns() - start


def _figure(name: str, pairs: list[tuple[float, float]], per: int, goal: float) -> Figure:
    return Figure(
        name=name,
        unit="ns",
        bare=statistics.median(bare for bare, _ in pairs) / per,
        engine=statistics.median(engine for _, engine in pairs) / per,
        ratio=statistics.median(engine / bare for bare, engine in pairs),
        goal=goal,
    )
