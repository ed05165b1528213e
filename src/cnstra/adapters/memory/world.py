"""What all who say the same `memory://` name share."""

import asyncio
import threading
from typing import ClassVar

from cnstra.adapters.memory.jobs import Jobs
from cnstra.adapters.memory.runs import Runs


class Bell:
    """Wakes those who wait in one event loop, rung from any thread.

    Who takes `event` before they look at the world, and waits for it afterwards, misses nothing.
    """

    __slots__ = ("_loop", "event")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.event = asyncio.Event()

    def ring(self) -> bool:
        """`False` if nobody can hear it any more."""
        try:
            self._loop.call_soon_threadsafe(self._ring)
        except RuntimeError:
            return False
        return True

    def _ring(self) -> None:
        self.event.set()
        self.event = asyncio.Event()


class World:
    """Runs, queues, and the lock under which they are read and changed."""

    __slots__ = ("_bells", "_queues", "generation", "lock", "name", "runs")

    _worlds: ClassVar[dict[str, "World"]] = {}
    _worlds_lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, name: str) -> None:
        self.name = name
        self.lock = threading.Lock()
        self.runs = Runs()
        self.generation = 0
        self._queues: dict[str, Jobs] = {}
        self._bells: list[Bell] = []

    @classmethod
    def named(cls, name: str) -> "World":
        with cls._worlds_lock:
            return cls._worlds.setdefault(name, cls(name))

    @classmethod
    def drop(cls, name: str) -> None:
        with cls._worlds_lock:
            cls._worlds.pop(name, None)

    def queue(self, name: str) -> Jobs:
        with self.lock:
            return self._queues.setdefault(name, Jobs(self.runs))

    def new_bell(self) -> Bell:
        bell = Bell(asyncio.get_running_loop())
        with self.lock:
            self._bells.append(bell)
        return bell

    def drop_bell(self, bell: Bell) -> None:
        with self.lock:
            self._bells = [each for each in self._bells if each is not bell]

    def ring(self) -> None:
        """Wake all who wait for a change. The caller holds the lock."""
        self.generation += 1
        self._bells = [bell for bell in self._bells if bell.ring()]
