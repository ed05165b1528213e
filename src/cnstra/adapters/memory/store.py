"""The progress store of a world in memory."""

from cnstra.adapters.memory.world import World
from cnstra.clock import Clock
from cnstra.durable.store import Patch, Saved, Ticket


class MemoryStore:
    """A `ProgressStore` in memory."""

    __slots__ = ("_clock", "_world")

    def __init__(self, world: World, clock: Clock) -> None:
        self._world = world
        self._clock = clock

    async def open(self) -> None:
        """There is nothing to connect to."""

    async def close(self) -> None:
        """The data stays, as it would with any other store."""

    async def load(self, run: str) -> Saved:
        with self._world.lock:
            return self._world.runs.load(run, self._clock.time())

    async def peek(self, run: str) -> Saved | None:
        with self._world.lock:
            return self._world.runs.peek(run, self._clock.time())

    async def commit(self, ticket: Ticket, patch: Patch) -> None:
        with self._world.lock:
            self._world.runs.commit(ticket, patch)

    async def finish(self, ticket: Ticket, result: bytes, keep: float | None) -> None:
        now = self._clock.time()
        with self._world.lock:
            self._world.runs.finish(ticket, result, None if keep is None else now + keep)
            self._world.runs.remove_expired(now)

    async def forget(self, run: str) -> None:
        with self._world.lock:
            self._world.runs.forget(run)
