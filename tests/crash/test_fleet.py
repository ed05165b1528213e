"""Workers that are killed in mid-step, and servers that are harmed, on each broker.

`CRASH=full` runs it as large as it is meant: 1,000 jobs, 100 kills, 5 faults. `CRASH_SEED` chooses
the schedule.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.fleet import WORKERS, run_fleet
from tests.crash.grounds import GROUNDS
from tests.crash.schedule import Schedule

JOBS, KILLS, FAULTS = (1000, 100, 5) if os.environ.get("CRASH") == "full" else (24, 4, 2)
SEED = int(os.environ.get("CRASH_SEED", "1"))


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("broker", GROUNDS)
async def test_kills_and_faults_lose_nothing(
    broker: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    record_property("crash.seed", SEED)

    report = await run_fleet(broker, tmp_path, jobs=JOBS, kills=KILLS, faults=FAULTS, seed=SEED)

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
