"""Workers that are killed in mid-step, and servers that are harmed, on each broker.

`CRASH=full` runs it as large as it is meant: 1,000 jobs, 100 kills, 5 faults. `CRASH_SEED` chooses
the schedule.
"""

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

from cnstra.testing.effects import Effects, What
from tests.crash.fleet import WORKERS, Fleet, repeats_in, run_fleet
from tests.crash.fleet_grounds import GROUNDS
from tests.crash.marks import Marks
from tests.crash.members import Orders, WorkerProcess
from tests.crash.schedule import Schedule

JOBS, KILLS, FAULTS, PATIENCE = (
    (1000, 100, 5, 1700.0) if os.environ.get("CRASH") == "full" else (24, 4, 2, 300.0)
)
SEED = int(os.environ.get("CRASH_SEED", "1"))


@pytest.mark.timeout(PATIENCE + 60)
@pytest.mark.parametrize("broker", GROUNDS)
async def test_kills_and_faults_lose_nothing(
    broker: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    record_property("crash.seed", SEED)

    report = await run_fleet(
        broker, tmp_path, jobs=JOBS, kills=KILLS, faults=FAULTS, seed=SEED, patience=PATIENCE
    )

    record_property("crash.row", f"{broker} | {report.row}")
    report.check()
    assert (report.kills, report.faults) == (KILLS, 0 if broker == "memory" else FAULTS)
    assert report.jobs >= JOBS
    assert report.starts > 3 * report.jobs


def test_a_seed_decides_who_dies_and_when() -> None:
    def plan(seed: int) -> list[object]:
        schedule = Schedule(seed, WORKERS, kills=100, faults=5, pace=0.1)
        blows = schedule.blows()
        paces = [schedule.next_pace() for _ in range(5)]
        return [schedule.faults_after, paces, *(next(blows) for _ in range(100))]

    assert plan(1) == plan(1)
    assert plan(1) != plan(2)


@pytest.fixture
def effects(tmp_path: Path) -> Iterator[Effects]:
    effects = Effects(tmp_path / "effects", pid=7)
    yield effects
    effects.close()


def note(effects: Effects, *lines: str) -> None:
    for line in lines:
        what, step = line.split()
        effects.write(cast(What, what), "job", step, attempt=1, key="", seen=None)


@pytest.mark.parametrize(
    ("lines", "is_inside"),
    [
        (["start first"], True),
        (["start first", "end first"], False),
        (["start first", "leave first"], False),
        (["start first", "end first", "start middle"], True),
        (["start first", "start first", "leave first"], True),
    ],
)
def test_a_kill_counts_inside_of_a_step(
    effects: Effects, lines: list[str], is_inside: bool
) -> None:
    marks = Marks(effects.path)

    note(effects, *lines)

    assert (marks.is_inside(7), marks.is_inside(8)) == (is_inside, False)
    assert marks.begun_by(7) == sum(line.startswith("start") for line in lines)
    marks.close()


async def test_a_worker_that_finds_no_server_has_a_successor(effects: Effects) -> None:
    """After the last kill too: else nobody is left for the jobs, and they are waited for."""
    made: list[WorkerProcess] = []

    def make(orders: Orders) -> WorkerProcess:
        made.append(WorkerProcess(orders))
        return made[-1]

    marks = Marks(effects.path)
    fleet = Fleet(make, {
        "queue": "q", "url": "postgresql://127.0.0.1:1/none", "store": None,
        "effects": str(effects.path), "die": None, "options": {},
    }, marks)  # fmt: skip
    while any(one.is_alive for one in made):
        await asyncio.sleep(0.05)

    fleet.see_that_all_are_present()

    assert len(made) == 2 * WORKERS
    await fleet.end()
    marks.close()


def test_a_step_that_runs_after_a_later_one_is_a_repeat(effects: Effects) -> None:
    note(effects, "start first", "start first", "start middle", "start middle", "start last")
    assert repeats_in(effects) == []

    note(effects, "start middle")

    assert [one.step for one in repeats_in(effects)] == ["middle"]
