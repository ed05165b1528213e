"""Workers of one queue that are killed in the middle of their work, whatever its broker.

In the end each job has completed with its own result, and no step was started again once a later
one of the same job had begun.
"""

import asyncio
import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from cnstra import Job, Queue
from cnstra.errors import BrokerUnavailable, StoreUnavailable
from cnstra.jobs.retry import fixed
from cnstra.testing.effects import Effects
from cnstra.testing.flow import STEPS, job

Harm = Callable[[], Awaitable[None]]
"""Restarts the server or cuts its connections; returns when it is over."""

GLANCE = 0.05
FAILS_EACH = 7
"""One job in so many fails once on its way."""
MISHAPS: dict[str, Any] = {"middle": {"fail": True}}


@dataclass
class Report:
    """What a fleet did. states: of all jobs. repeats: what ran though it was recorded as done."""

    jobs: int
    seconds: float
    kills: int
    harms: int
    states: dict[str, int]
    wrong_results: list[Any]
    repeats: list[Any]
    starts: int

    def check(self) -> None:
        assert self.states == {"completed": self.jobs}, self
        assert self.wrong_results == [], self
        assert self.repeats == [], self


class Fleet:
    """The worker processes, of which one or another is killed and replaced."""

    def __init__(self, size: int, orders: dict[str, Any]) -> None:
        self._orders = orders
        self._workers = [self._new() for _ in range(size)]

    def _new(self) -> "subprocess.Popen[bytes]":
        told = json.dumps(self._orders)
        return subprocess.Popen(
            [sys.executable, "-m", "cnstra.testing.worker", told],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def kill_one(self) -> None:
        place = random.randrange(len(self._workers))
        self._kill(self._workers[place])
        self._workers[place] = self._new()

    def end(self) -> None:
        for worker in self._workers:
            self._kill(worker)

    def _kill(self, worker: "subprocess.Popen[bytes]") -> None:
        worker.kill()
        worker.wait()


async def run_fleet(
    url: str, store: str | None, folder: Path, *, jobs: int, kills: int,
    harms: int = 0, harm: Harm | None = None, workers: int = 3, lease: float = 3.0,
    every: float = 0.6, patience: float = 600.0,
) -> Report:  # fmt: skip
    """Have the jobs done while workers are killed and the server is harmed, each so many times."""
    name, effects = f"fleet-{uuid4().hex[:12]}", Effects(folder / "fleet.effects")
    options = {
        "concurrency": 4, "durability": "step", "lease": lease, "grace": 0.0, "crash_limit": None,
    }  # fmt: skip
    orders = {
        "queue": name, "url": url, "store": store, "effects": str(effects.path), "die": None,
        "options": options,
    }  # fmt: skip
    began, killed, harmed = time.monotonic(), 0, 0
    async with Queue(name, url, store=store) as queue:
        added = await _add(queue, 0, jobs)
        fleet = Fleet(workers, orders)
        try:
            while time.monotonic() - began < patience:
                await asyncio.sleep(every * random.uniform(0.5, 1.5))
                is_over = _finished(effects) >= len(added)
                if is_over and killed >= kills and harmed >= harms:
                    break
                if is_over:
                    added += await _add(queue, len(added), jobs // 4 + 1)
                if killed < kills:
                    fleet.kill_one()
                    killed += 1
                if harm is not None and harmed < harms and random.random() < 0.5:
                    await harm()
                    harmed += 1
            found = await _states(added, began + patience)
        finally:
            fleet.end()
        effects.close()
        return Report(
            jobs=len(added),
            seconds=time.monotonic() - began,
            kills=killed,
            harms=harmed,
            states=dict(Counter(found)),
            wrong_results=await _wrong(added),
            repeats=repeats_in(effects),
            starts=len(effects.all("start")),
        )


async def _add(queue: Queue, first: int, count: int) -> list[Job]:
    """Enqueue jobs, stubbornly; their ids keep each from being two."""
    added: list[Job] = []
    for number in range(first, first + count):
        mishaps = MISHAPS if number % FAILS_EACH == 0 else {}
        signal = job(str(number), **mishaps)
        while True:
            try:
                added.append(
                    await queue.enqueue(
                        signal, job_id=f"job-{number}", max_attempts=100, backoff=fixed(0.05)
                    )
                )
                break
            except (BrokerUnavailable, StoreUnavailable):
                await asyncio.sleep(GLANCE)
    return added


def _finished(effects: Effects) -> int:
    return len({one.job for one in effects.all("end", step=STEPS[-1])})


async def _states(added: list[Job], until: float) -> list[str]:
    """The state of each job, once it is over, or when there is no time left."""
    states: list[str] = []
    for one in added:
        while (state := await _stubborn_state(one)) not in ("completed", "dead"):
            if time.monotonic() > until:
                break
            await asyncio.sleep(GLANCE)
        states.append(str(state))
    return states


async def _stubborn_state(one: Job) -> str | None:
    try:
        return await one.state()
    except (BrokerUnavailable, StoreUnavailable):
        return None


async def _wrong(added: list[Job]) -> list[Any]:
    wrong: list[Any] = []
    for number, one in enumerate(added):
        record = await one.record()
        result = None if record is None or record.result is None else json.loads(record.result)
        if result is None or [each["job"] for each in result["results"]] != [str(number)]:
            wrong.append((number, result))
    return wrong


def repeats_in(effects: Effects) -> list[Any]:
    """Steps that were started after a later one of their job had been.

    With durability "step", a step that starts proves that those before it are recorded.
    """
    reached: dict[str, int] = {}
    repeats: list[Any] = []
    for one in effects.all("start"):
        place = STEPS.index(one.step)
        if place < reached.get(one.job, 0):
            repeats.append(one)
        reached[one.job] = max(place, reached.get(one.job, 0))
    return repeats
