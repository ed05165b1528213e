"""A worker process that will be killed, and what its killer can see of it."""

import asyncio
import mmap
import os
import random
import struct
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Any

from cnstra import Queue, Worker
from cnstra.clock import SystemClock
from cnstra.durable.adapters import adapter_for
from cnstra.durable.journal import Durability
from cnstra.jobs.broker import JobRecord
from tests.crash.lives import Life, MortalBroker, MortalStore
from tests.crash.shapes import Shape
from tests.crash.witness import Line, Witness
from tests.durables import with_store

SLOT = struct.Struct("ii")
LONGEST = 0.003
"""Seconds that a handler takes at most."""


class Windows:
    """Memory shared with forked processes: of each how many activations are open, and were begun.

    It holds what a process had written when it died.
    """

    def __init__(self, slots: int) -> None:
        self._memory = mmap.mmap(-1, SLOT.size * slots)

    def look(self, slot: int) -> tuple[int, int]:
        """(open, begun)"""
        is_open, begun = SLOT.unpack_from(self._memory, slot * SLOT.size)
        return is_open, begun

    def show(self, slot: int, is_open: int, begun: int) -> None:
        SLOT.pack_into(self._memory, slot * SLOT.size, is_open, begun)


class Named(SystemClock):
    """A clock that is ahead of the machine's, and names what is new in a row."""

    def __init__(self, name: str, ahead: float = 0.0) -> None:
        self.ahead = ahead
        self._name = name
        self._ids = count()

    def time(self) -> float:
        return super().time() + self.ahead

    def new_id(self) -> str:
        return f"{self._name}-{next(self._ids)}"


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
        windows.show(slot, 0, 0)

    def write(self, line: Line) -> None:
        super().write(line)
        is_open, begun = self._windows.look(self._slot)
        if line.what == "start":
            self._windows.show(self._slot, is_open + 1, begun + 1)
        elif line.what in ("end", "trouble"):
            self._windows.show(self._slot, is_open - 1, begun)

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

    def jobs(self, number: int) -> list[str]:
        return [f"{self.name}-{n}" for n in range(number)]

    def enqueue(self, shape: Shape, jobs: Sequence[str]) -> None:
        """Add a job of each name; its run has the same name."""

        async def add() -> None:
            async with Queue(self.name, self.url, store=self.store, clock=Named(self.name)) as queue:
                for job in jobs:
                    options = {"max_attempts": shape.attempts, "job_id": job}
                    await queue.enqueue(shape.signal(job), **options)

        asyncio.run(add())

    def work(self, shape: Shape, life: Prey, durability: Durability, **options: Any) -> None:
        """What a worker process does, until nothing is left to do or it is killed."""
        random.seed()
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, 0)

        async def run() -> None:
            async with self._watched(life) as queue:
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
            clock = self.clock(life)
            async with Queue(self.name, self.url, store=self.store, clock=clock) as queue:
                store = queue.store
                assert store is not None
                found: list[tuple[JobRecord | None, int]] = []
                for job in jobs:
                    peeked = store.peek
                    saved = await queue.io.call(lambda job=job, peek=peeked: peek(job))
                    found.append((await queue.record(job), len(saved.entries) if saved else 0))
                return found

        return asyncio.run(look())
