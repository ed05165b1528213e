"""What the page shows: queues, each with its graph and its history where they are known."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from cnstra.clock import Clock
from cnstra.engine.cns import CNS
from cnstra.engine.network import Network
from cnstra.errors import InvalidOption
from cnstra.history.history import History
from cnstra.jobs.broker import JobState
from cnstra.jobs.queue import Queue
from cnstra.jobs.worker import Worker

T = TypeVar("T")

SHARE = 0.05
"""The share of its time that looking may take: what takes a second is looked at every twenty."""

FRESH = 1.0
STALE = 60.0


class Cached(Generic[T]):
    """A figure that takes long to count: an old one is shown while the next is looked for."""

    def __init__(self, look: Callable[[], Awaitable[T]], clock: Clock) -> None:
        self._look = look
        self._clock = clock
        self._value: T | None = None
        self._looked_at = -STALE
        self._began_at = -STALE
        self._lasts = FRESH
        self._looking: asyncio.Future[T] | None = None

    async def get(self) -> T:
        """The figure: at most as old as it takes twenty times to count, or a second."""
        age = self._clock.monotonic() - self._looked_at
        if self._value is not None and age < self._lasts:
            return self._value
        if self._looking is None or self._looking.get_loop() is not asyncio.get_running_loop():
            self._looking = asyncio.ensure_future(self._look_now())
            self._looking.add_done_callback(_ignore_failure)
        if self._value is not None and age < STALE:
            return self._value
        return await asyncio.shield(self._looking)

    async def covers(self, moment: float) -> bool:
        """Whether what is shown was looked for since that moment. If not, it is when it may be."""
        await self.get()
        return self._began_at >= moment

    async def _look_now(self) -> T:
        began = self._clock.monotonic()
        try:
            self._value = value = await self._look()
        finally:
            self._looking = None
        self._began_at, self._looked_at = began, self._clock.monotonic()
        self._lasts = max(FRESH, (self._looked_at - began) / SHARE)
        return value


def _ignore_failure(looking: "asyncio.Future[Any]") -> None:
    """Whoever waits hears of it; the figure that was shown meanwhile stands."""
    if not looking.cancelled():
        looking.exception()


class Source:
    """A queue as the page shows it. `slug` names it in addresses."""

    def __init__(self, slug: str, queue: Queue, cns: CNS | None, history: History | None) -> None:
        self.slug = slug
        self.queue = queue
        self.network: Network | None = None if cns is None else cns.network
        self.history = history
        self.counts: Cached[Mapping[JobState, int]] = Cached(queue.counts, queue.clock)

    @property
    def place(self) -> str:
        """The broker's URL, without what is secret in it."""
        return self.queue.place

    def struck(self, name: str, data: bytes) -> bytes:
        """JSON as it may be shown: without what the history is told to redact."""
        if self.history is None:
            return data
        shown = self.history.struck(name, data)
        return b'"(left out)"' if shown is None else shown

    @property
    def lists(self) -> tuple[JobState, ...]:
        """The states whose jobs the broker can list."""
        return self.queue.broker.capabilities.lists


def sources_of(
    shown: Sequence[Worker | Queue], cns: CNS | None, history: History | str | None
) -> list[Source]:
    """The queues that are to be shown, each under a name of its own. Raises `InvalidOption`."""
    if not shown:
        raise InvalidOption(option="shown", value=(), remedy="name a worker or a queue")
    found: dict[str, Source] = {}
    for one in shown:
        queue = one.queue if isinstance(one, Worker) else one
        graph, kept = cns, None if history is None else History.of(history, queue.clock)
        if isinstance(one, Worker):
            graph, kept = one.cns, kept or one.history
        slug, number = queue.name, 1
        while slug in found:
            number += 1
            slug = f"{queue.name}~{number}"
        found[slug] = Source(slug, queue, graph, kept)
    return list(found.values())
