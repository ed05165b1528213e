"""An event loop whose turns somebody else gives, and whose time is virtual."""

import asyncio
import logging
import sys
import threading
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Executor
from contextlib import suppress
from contextvars import Context, copy_context
from random import Random
from typing import Any, NoReturn, Protocol, TypeVar, TypeVarTuple

from cnstra.errors import NotSimulated

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")

logger = logging.getLogger("asyncio")

TASKS_MAY_START_UNSEEN = sys.version_info >= (3, 12)
"""Whether a task may be made eagerly, past the loop; to find such ones later is slow."""
MOST_TASKS = 1000

LONGEST_HOP = 0.001
"""Seconds that a callback from one thread to another takes at most."""


class Timeline(Protocol):
    """The time that several loops share."""

    now: float
    chance: Random
    was_called_from_outside: bool
    """Whether a thread of the real world, which nobody waits for, has answered."""

    def call_at(self, when: float, callback: Callable[[], object]) -> None:
        """Call it once that time has come."""
        ...


class Ready(asyncio.Handle):
    """A callback of a loop."""

    def __init__(
        self,
        callback: Callable[..., object],
        arguments: tuple[Any, ...],
        loop: "SimulatedLoop",
        context: Context | None,
    ) -> None:
        super().__init__(callback, arguments, loop, context)
        self.is_step = isinstance(getattr(callback, "__self__", None), asyncio.Task)
        """Whether a task goes on with it: the order of such ones is nobody's promise."""

    def run(self) -> None:
        if not self._cancelled:
            self._run()


class Timer(asyncio.TimerHandle):
    """A callback that waits for its time."""

    def __init__(
        self,
        when: float,
        callback: Callable[..., object],
        arguments: tuple[Any, ...],
        loop: "SimulatedLoop",
        context: Context | None,
    ) -> None:
        super().__init__(when, callback, arguments, loop, context)
        self._home = loop

    def ring(self) -> None:
        if not self._cancelled:
            self._home.push(self._run)


class SimulatedLoop(asyncio.AbstractEventLoop):
    """The loop of one thread of a simulated process. `turn` runs what is ready.

    Callbacks run in their order, but the tasks among them in one that the seed chooses: their
    order is what timing decides in a real process. Threads run at once, to their end. What else is
    real raises `NotSimulated`.
    """

    hosts_clients = True
    """Queues that a handler opens work on the loop that it runs on."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._thread = threading.get_ident()
        self._ready: list[Ready] = []
        self._tasks: list[asyncio.Task[Any]] = []
        self._closed = False
        self.awake = True
        """Whether it takes turns; where it does not, what becomes ready waits."""
        self.remains: set[asyncio.Task[Any]] = set()
        """The tasks of a loop that was abandoned. Somebody must hold them: none may be finalized
        while the simulation goes on, as its `finally` would run."""

    @property
    def has_work(self) -> bool:
        return bool(self._ready)

    def turn(self) -> None:
        """Run all that is ready now."""
        ready, self._ready = self._ready, []
        if len(ready) > 1:
            steps = [one for one in ready if one.is_step]
            if len(steps) > 1:
                self._timeline.chance.shuffle(steps)
                ready = [steps.pop() if one.is_step else one for one in ready]
        asyncio._set_running_loop(self)
        try:
            for number, one in enumerate(ready):
                if self._closed:
                    return
                if not self.awake:
                    self._ready[:0] = ready[number:]
                    return
                one.run()
        finally:
            asyncio._set_running_loop(None)

    def abandon(self) -> None:
        """Never take another turn, and clean up nothing: what a killed process does."""
        if not self._closed:
            self._closed = True
            self._ready.clear()
            own = (one for one in self._tasks if not one.done())
            self.remains = asyncio.all_tasks(self) if TASKS_MAY_START_UNSEEN else {*own}

    def bury(self) -> None:
        """Let the abandoned tasks go. What their `finally` blocks do is for the caller to hide."""
        for task in self.remains:
            with suppress(BaseException):
                task.get_coro().close()
        self.remains.clear()

    def push(self, callback: Callable[[], object]) -> None:
        """Have it run in the next turn."""
        if not self._closed:
            self._ready.append(Ready(callback, (), self, None))

    # --- the part of an event loop that pure computation uses

    def time(self) -> float:
        return self._timeline.now

    def call_soon(
        self,
        callback: Callable[[*Arguments], object],
        *args: *Arguments,
        context: Context | None = None,
    ) -> asyncio.Handle:
        handle = Ready(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_soon_threadsafe(
        self,
        callback: Callable[[*Arguments], object],
        *args: *Arguments,
        context: Context | None = None,
    ) -> asyncio.Handle:
        """From another thread: it takes its time. Raises `RuntimeError` where nobody lives."""
        is_outside = threading.get_ident() != self._thread
        if is_outside:
            self._timeline.was_called_from_outside = True
        if self._closed:
            raise RuntimeError("Event loop is closed")
        if is_outside:
            return Ready(callback, args, self, context)
        delay = self._timeline.chance.choice((0.0, 0.5, 1.0)) * LONGEST_HOP
        if delay:
            return self.call_later(delay, callback, *args, context=context)
        return self.call_soon(callback, *args, context=context)

    def call_later(
        self,
        delay: float,
        callback: Callable[[*Arguments], object],
        *args: *Arguments,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*Arguments], object],
        *args: *Arguments,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        timer = Timer(when, callback, args, self, context)
        self._timeline.call_at(when, timer.ring)
        return timer

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It stays where it is, and does nothing when its time comes."""

    def get_task_factory(self) -> None:
        """Its tasks are asyncio's own."""

    def create_future(self) -> "asyncio.Future[Any]":
        return asyncio.Future(loop=self)

    def create_task(
        self,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        **options: Any,
    ) -> "asyncio.Task[T]":
        task: asyncio.Task[T] = asyncio.Task(coro, loop=self, **options)
        self._tasks.append(task)
        if len(self._tasks) > MOST_TASKS:
            self._tasks = [one for one in self._tasks if not one.done()]
        return task

    def run_in_executor(
        self,
        executor: Executor | None,
        func: Callable[[*Arguments], T],
        *args: *Arguments,
    ) -> "asyncio.Future[T]":
        """What a thread would do, done here and now: a simulation has no other threads."""
        future: asyncio.Future[T] = self.create_future()
        asyncio._set_running_loop(None)
        try:
            future.set_result(copy_context().run(func, *args))
        except Exception as error:
            future.set_exception(error)
        finally:
            asyncio._set_running_loop(self)
        return future

    def add_signal_handler(  # type: ignore[override]
        self, sig: int, callback: Callable[..., object], *args: Any
    ) -> None:
        """No signal comes here."""

    def remove_signal_handler(self, sig: int) -> bool:
        del sig
        return False

    def is_running(self) -> bool:
        return not self._closed

    def is_closed(self) -> bool:
        return self._closed

    def get_debug(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self._closed:
            logger.error(context["message"], exc_info=context.get("exception"))


def _refusing(name: str) -> Callable[..., NoReturn]:
    def refuse(*args: object, **options: object) -> NoReturn:
        raise NotSimulated(what=f"loop.{name}()")

    return refuse


for _name in vars(asyncio.AbstractEventLoop):
    if not _name.startswith("_") and _name not in vars(SimulatedLoop):
        setattr(SimulatedLoop, _name, _refusing(_name))
