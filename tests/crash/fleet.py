"""Workers of one queue that are killed in the middle of their work, whatever its broker.

    python -m tests.crash.fleet BROKER [--jobs 1000] [--kills 100] [--faults 5] [--seed 1]

Each job has three steps, and one in seven fails once on its way. A worker is stopped, and the log
of the steps is read before it is killed: only where it is inside of a step the kill counts. In the
end each job has completed with its own result, and no step was started again once a later one of
the same job had begun.
"""

import argparse
import asyncio
import json
import logging
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from cnstra import Job, Queue
from cnstra.errors import BrokerUnavailable, StoreUnavailable
from cnstra.jobs.retry import fixed
from cnstra.testing.effects import Effects
from cnstra.testing.flow import STEPS, entry
from tests.crash.fleet_grounds import GROUNDS, Ground
from tests.crash.marks import Marks
from tests.crash.members import Member, Orders
from tests.crash.schedule import Blow, Schedule

GLANCE = 0.005
LOOK = 0.05
WORKERS = 3
CONCURRENCY = 4
PACE = 0.12
"""Seconds of a step, on average: so that the kills are over when the jobs are."""
FAILS_EACH = 7
"""One job in so many fails once on its way."""
NO_SERVER = BrokerUnavailable.__name__
OPTIONS = {
    "concurrency": CONCURRENCY, "durability": "step", "grace": 0.0, "crash_limit": None,
}  # fmt: skip


@dataclass
class Report:
    """What a fleet did.

    kills: in the middle of a step. misses: between two. states: of all jobs. repeats: what ran
    though it was recorded as done.
    """

    seed: int
    jobs: int
    seconds: float
    kills: int
    misses: int
    faults: int
    states: dict[str, int]
    wrong_results: list[Any]
    repeats: list[Any]
    starts: int

    @property
    def lost(self) -> int:
        """Jobs that are nowhere, or have not come to their end."""
        return self.jobs - self.states.get("completed", 0)

    @property
    def row(self) -> str:
        """The line of a table."""
        numbers = [
            self.seed, self.jobs, self.kills, self.misses, self.faults, self.starts,
            self.starts - 3 * self.jobs, len(self.repeats), self.lost, len(self.wrong_results),
            round(self.seconds),
        ]  # fmt: skip
        return " | ".join(map(str, numbers))

    def check(self) -> None:
        assert self.states == {"completed": self.jobs}, self
        assert self.wrong_results == [], self
        assert self.repeats == [], self


COLUMNS = (
    "seed | jobs | kills in mid-step | between steps | faults | starts | more than three a job"
    " | repeats | lost or stuck | wrong | seconds"
)


class Fleet:
    """The workers, of which one or another is killed and replaced."""

    def __init__(self, make: Callable[[Orders], Member], orders: Orders, marks: Marks) -> None:
        self._make = make
        self._orders = orders
        self._marks = marks
        self._members = [make(orders) for _ in range(WORKERS)]
        self._dead: list[Member] = []

    async def strike(self, blow: Blow) -> bool:
        """Kill the worker when its time has come. Returns whether it was inside of a step."""
        while not self._is_due(blow):
            await asyncio.sleep(GLANCE)
        await asyncio.sleep(blow.wait)
        member = self._present(blow.worker)
        member.stop()
        is_inside = self._marks.is_inside(member.pid)
        self._kill(member)
        self._members[blow.worker] = self._make(self._orders)
        return is_inside

    def _is_due(self, blow: Blow) -> bool:
        pid = self._present(blow.worker).pid
        has_begun = self._marks.begun_by(pid) >= blow.starts
        return not blow.starts or (has_begun and self._marks.is_inside(pid))

    def _present(self, place: int) -> Member:
        """The worker at this place: another one, if it found no server when it was started."""
        member = self._members[place]
        if not member.is_alive:
            assert NO_SERVER in member.last_words, member.last_words
            self._dead.append(member)
            member = self._members[place] = self._make(self._orders)
        return member

    def _kill(self, member: Member) -> None:
        member.kill()
        self._dead.append(member)

    def see_that_all_are_present(self) -> None:
        for place in range(WORKERS):
            self._present(place)

    async def end(self) -> None:
        for member in self._members:
            self._kill(member)
        for member in self._dead:
            await member.ended()


class Campaign:
    """One fleet on one queue: its jobs, its kills, its faults, and what came of them."""

    def __init__(self, ground: Ground, folder: Path, schedule: Schedule) -> None:
        self._ground = ground
        self._schedule = schedule
        self._name = f"fleet-{uuid4().hex[:12]}"
        self._effects = Effects(folder / "fleet.effects")
        self._marks = Marks(self._effects.path)
        self._added: list[Job] = []
        self._is_over = False
        self.kills = self.misses = self.faults = 0

    async def run(self, jobs: int, kills: int, seed: int) -> Report:
        began = time.monotonic()
        async with Queue(self._name, self._ground.url, store=self._ground.store) as queue:
            await self._add(queue, jobs)
            fleet = Fleet(self._ground.member, self._orders, self._marks)
            supplying = asyncio.ensure_future(self._supply(queue))
            try:
                await self._harm(fleet, kills)
                self._is_over = True
                await supplying
                states = Counter([await _final_state(one, fleet) for one in self._added])
            finally:
                supplying.cancel()
                await fleet.end()
                self._marks.close()
                self._effects.close()
            return Report(
                seed=seed,
                jobs=len(self._added),
                seconds=time.monotonic() - began,
                kills=self.kills,
                misses=self.misses,
                faults=self.faults,
                states=dict(states),
                wrong_results=await _wrong(self._added),
                repeats=repeats_in(self._effects),
                starts=len(self._effects.all("start")),
            )

    @property
    def _orders(self) -> Orders:
        return {
            "queue": self._name, "url": self._ground.url, "store": self._ground.store,
            "effects": str(self._effects.path), "die": None,
            "options": {**OPTIONS, "lease": self._ground.lease},
        }  # fmt: skip

    async def _harm(self, fleet: Fleet, kills: int) -> None:
        blows = self._schedule.blows()
        while self.kills < kills:
            if not await fleet.strike(next(blows)):
                self.misses += 1
                continue
            if self._ground.harm is not None and self.kills in self._schedule.faults_after:
                await self._ground.harm()
                self.faults += 1
            self.kills += 1

    async def _supply(self, queue: Queue) -> None:
        """More jobs, should they run out before the kills do."""
        reserve = WORKERS * CONCURRENCY
        while not self._is_over:
            if len(self._added) - self._marks.over < reserve:
                await self._add(queue, reserve)
            await asyncio.sleep(LOOK)

    async def _add(self, queue: Queue, count: int) -> None:
        """Enqueue jobs, stubbornly; their ids keep each from being two."""
        first = len(self._added)
        for number in range(first, first + count):
            signal = entry.create_signal(
                {
                    "job": str(number),
                    "mishaps": {} if number % FAILS_EACH else {"middle": {"fail": True}},
                    "takes": self._schedule.next_pace(),
                }
            )
            while True:
                with suppress(BrokerUnavailable, StoreUnavailable):
                    self._added.append(
                        await queue.enqueue(
                            signal, job_id=f"job-{number}", max_attempts=100, backoff=fixed(0.05)
                        )
                    )
                    break
                await asyncio.sleep(LOOK)


async def run_fleet(
    broker: str, folder: Path, *, jobs: int, kills: int, faults: int, seed: int,
    patience: float = 1700.0,
) -> Report:  # fmt: skip
    """Have the jobs done while workers are killed and the server is harmed, each so many times."""
    schedule = Schedule(seed, WORKERS, kills, faults, PACE)
    async with GROUNDS[broker](folder) as ground, asyncio.timeout(patience):
        return await Campaign(ground, folder, schedule).run(jobs, kills, seed)


async def _final_state(one: Job, fleet: Fleet) -> str:
    while True:
        fleet.see_that_all_are_present()
        with suppress(BrokerUnavailable, StoreUnavailable):
            state = await one.state()
            if state in ("completed", "dead", None):
                return str(state)
        await asyncio.sleep(LOOK)


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


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash.fleet", description=__doc__)
    parser.add_argument("broker", choices=GROUNDS)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--faults", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    told = parser.parse_args()
    logging.disable(logging.ERROR)  # of servers that are gone, as they are meant to be
    with tempfile.TemporaryDirectory() as folder:
        report = asyncio.run(
            run_fleet(
                told.broker, Path(folder), jobs=told.jobs, kills=told.kills,
                faults=told.faults, seed=told.seed,
            )
        )  # fmt: skip
    print(COLUMNS)
    print(report.row)
    report.check()
    return 0


if __name__ == "__main__":
    sys.exit(main())
