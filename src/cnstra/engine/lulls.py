"""The moments at which all of a run that could run without waiting has run."""

import logging
from collections.abc import Awaitable, Callable, Generator, Iterable
from typing import Any, Protocol, TypeVar, cast

T = TypeVar("T")

LullListener = Callable[[Any], object]
"""Hears of a lull of a run: called with the run."""

logger = logging.getLogger("cnstra.engine")


class Lulling(Protocol):
    """The part of a run that its lulls use."""

    @property
    def done(self) -> bool: ...

    @property
    def spare(self) -> Any: ...

    @property
    def loop(self) -> Any: ...

    @property
    def lulls(self) -> "Lulls | None": ...


class Lulls:
    """The lulls of one run and of the inner runs in it, which are part of its turns.

    A turn of the event loop in which the run has moved is marked, and looked at when the loop comes
    round: while a strand is on its way the run moves on by itself, and that is no lull yet.
    """

    __slots__ = ("_listeners", "_marked", "_run")

    def __init__(self, run: Lulling, listeners: Iterable[LullListener]) -> None:
        self._run = run
        self._listeners = tuple(listeners)
        self._marked: dict[Lulling, None] = {}

    def mark(self, run: Lulling) -> None:
        """This run, or inner run, has moved."""
        if self._run.loop is None or run.loop is not self._run.loop:
            return  # it keeps its caller, or its thread, until it has ended
        if not self._marked:
            run.loop.call_soon(self._look)
        self._marked[run] = None

    def ended(self, run: Lulling) -> None:
        """This run, or inner run, has ended."""
        if run is self._run:
            self._marked.clear()
            self._tell()
        else:
            self.mark(run)

    def _look(self) -> None:
        if not self._marked:
            return
        if any(run.spare is not None and not run.done for run in self._marked):
            self._run.loop.call_soon(self._look)
            return
        self._marked.clear()
        self._tell()

    def _tell(self) -> None:
        for listener in self._listeners:
            try:
                listener(self._run)
            except Exception:
                logger.exception("A listener to lulls raised; the run goes on.")


def watched(run: Lulling, awaitable: Awaitable[T]) -> Awaitable[T]:
    """The same awaitable; where somebody listens for lulls, each of its waits is marked."""
    return awaitable if run.lulls is None else _Watched(run, run.lulls, awaitable)


class _Watched(Awaitable[T]):
    __slots__ = ("_awaitable", "_lulls", "_run")

    def __init__(self, run: Lulling, lulls: Lulls, awaitable: Awaitable[T]) -> None:
        self._run = run
        self._lulls = lulls
        self._awaitable = awaitable

    def __await__(self) -> Generator[Any, Any, T]:
        waits = self._awaitable.__await__()
        raised: BaseException | None = None
        while True:
            try:
                waited_for = next(waits) if raised is None else waits.throw(raised)
            except StopIteration as end:
                return cast(T, end.value)
            self._lulls.mark(self._run)
            try:
                yield waited_for
                raised = None
            except BaseException as error:
                raised = error
