"""A worker process that will be killed, and what its killer can see of it."""

import asyncio
import mmap
import os
import random
import sqlite3
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

from cnstra import Queue, Worker
from cnstra.clock import SystemClock
from cnstra.durable.adapters import adapter_for
from cnstra.durable.journal import Durability
from cnstra.errors import BrokerUnavailable, StoreUnavailable
from cnstra.jobs.broker import JobRecord
from tests.crash.lives import Life, MortalBroker, MortalStore
from tests.crash.shapes import Shape
from tests.crash.witness import Line, Witness
from tests.durables import with_store

T = TypeVar("T")

SLOT = struct.Struct("ii")
PAUSE = 0.05
LONGEST = 0.003
"""Seconds that a handler takes at most."""


class Look(NamedTuple):
    """What a process shows: how many activations are open, and how many were begun."""

    is_open: int = 0
    begun: int = 0


class Windows:
    """Memory shared with forked processes. It holds what a process had written when it died."""

    def __init__(self, slots: int) -> None:
        self._memory = mmap.mmap(-1, SLOT.size * slots)

    def look(self, slot: int) -> Look:
        return Look(*SLOT.unpack_from(self._memory, slot * SLOT.size))

    def show(self, slot: int, look: Look) -> None:
        SLOT.pack_into(self._memory, slot * SLOT.size, *look)


class Naming(SystemClock):
    """A clock by which the next run gets a name that was chosen."""

    name = ""

    def new_id(self) -> str:
        return self.name


class Ahead(SystemClock):
    """A clock that is ahead of the machine's."""

    def __init__(self, ahead: float) -> None:
        self.ahead = ahead

    def time(self) -> float:
        return super().time() + self.ahead


class Prey(Life):
    """The life of a real process. Its window shows what it is at."""

    def __init__(
        self,
        number: int,
        witness: Witness,
        clock: SystemClock,
        jobs: Sequence[str],
        windows: Windows,
        slot: int,
    ) -> None:
        super().__init__(number, witness, clock, {job: job for job in jobs})
        self._windows = windows
        self._slot = slot
        windows.show(slot, Look())

    def write(self, line: Line) -> None:
        super().write(line)
        look = self._windows.look(self._slot)
        if line.what == "start":
            look = look._replace(is_open=look.is_open + 1, begun=look.begun + 1)
        elif line.what in ("end", "trouble"):
            look = look._replace(is_open=look.is_open - 1)
        self._windows.show(self._slot, look)

    async def work(self) -> None:
        await asyncio.sleep(random.uniform(0.0, LONGEST))


@dataclass(frozen=True)
class Lair:
    """A queue on which processes work one after the other.

    store: beside a broker that brings none. lease: in seconds. leaps: whether the clock of each
    process is ahead of the last one's by more than a lease, so that what that held is due.
    """

    name: str
    url: str
    store: str | None
    lease: float
    leaps: bool

    def clock(self, life: int) -> SystemClock:
        return Ahead(2 * self.lease * life if self.leaps else 0.0)

    @property
    def is_locked(self) -> bool:
        """Whether a process is inside a transaction of a SQLite file."""
        if not self.url.startswith("sqlite:"):
            return False
        file = urlsplit(self.url).path[1:]
        with closing(sqlite3.connect(file, timeout=0.0)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return True
        return False

    def jobs(self, number: int) -> list[str]:
        return [f"{self.name}-{n}" for n in range(number)]

    def enqueue(self, shape: Shape, jobs: Sequence[str]) -> None:
        """Add a job of each name; its run has the same name."""

        async def add() -> None:
            clock = Naming()
            queue = Queue(self.name, self.url, store=self.store, clock=clock)
            options = {"max_attempts": shape.attempts}
            async with opened(queue):
                for clock.name in jobs:
                    signal, job = shape.signal(clock.name), clock.name
                    await stubbornly(partial(queue.enqueue, signal, job_id=job, **options))

        asyncio.run(add())

    def work(self, shape: Shape, life: Prey, durability: Durability, **options: Any) -> None:
        """What a worker process does, until nothing is left to do or it is killed."""
        random.seed()
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, 0)

        async def run() -> None:
            async with opened(self._watched(life)) as queue:
                worker = Worker(
                    queue, shape.cns(life), results=["result"], durability=durability,
                    crash_limit=None, lease=self.lease, **options,
                )  # fmt: skip
                life.stop = worker.stop
                await worker.run(until_idle=True)

        asyncio.run(run())

    def _watched(self, life: Prey) -> Queue:
        """The queue, with a witness of what it loads and writes."""
        store: Any = self.store
        if store is not None:
            store = MortalStore(adapter_for(store).store(store, life.clock), life)
        queue = Queue(self.name, self.url, store=store, clock=life.clock)
        broker: Any = queue.broker
        if broker.capabilities.atomic_settlement:
            queue.broker = MortalBroker(broker, life)  # type: ignore[assignment]
        elif store is None:
            with_store(queue, lambda inner: MortalStore(inner, life))
        return queue

    def records(self, jobs: Sequence[str], life: int) -> list[tuple[JobRecord | None, int]]:
        """Of each job what its broker holds, and how much progress its store still does."""

        async def look() -> list[tuple[JobRecord | None, int]]:
            queue = Queue(self.name, self.url, store=self.store, clock=self.clock(life))
            async with opened(queue):
                return [await stubbornly(partial(_record, queue, job)) for job in jobs]

        return asyncio.run(look())


async def _record(queue: Queue, job: str) -> tuple[JobRecord | None, int]:
    store = queue.require_store("judging a job")
    saved = await queue.io.call(partial(store.peek, job))
    return await queue.record(job), len(saved.entries) if saved else 0


@asynccontextmanager
async def opened(queue: Queue) -> AsyncIterator[Queue]:
    """The queue, once its server is there."""
    await stubbornly(queue.open)
    try:
        yield queue
    finally:
        await queue.close()


async def stubbornly(call: Callable[[], Awaitable[T]]) -> T:
    """Its answer, as soon as it can be had: a server that is killed comes back."""
    while True:
        try:
            return await call()
        except (BrokerUnavailable, StoreUnavailable):
            await asyncio.sleep(PAUSE)
