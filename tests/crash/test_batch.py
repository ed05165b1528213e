"""What the judge of a batch knows of what befell its jobs."""

import json
from collections.abc import Sequence
from pathlib import Path

from cnstra.jobs.broker import JobRecord
from tests.crash.batch import Batch
from tests.crash.flow import ended
from tests.crash.invariants import Expected
from tests.crash.prey import Lair
from tests.crash.shapes import SHAPES
from tests.crash.witness import Line

DONE = Expected(
    "job", "completed", [], frozenset({"e"}), {}, {("step", ""): ("e",)}, starts=1, lives=1
)


class Settled(Lair):
    """All of its jobs are completed."""

    def records(self, jobs: Sequence[str], life: int) -> list[tuple[JobRecord | None, int]]:
        return [(completed(job), 0) for job in jobs]


def completed(job: str) -> JobRecord:
    return JobRecord(
        id=job, state="completed", data={}, run=job, attempts_made=0, max_attempts=1,
        created_at=0.0, result=b'{"results": []}',
    )  # fmt: skip


def judged(folder: Path, life: int, struck: set[int], *, befalls_all: bool = False) -> list[str]:
    """What is wrong, when that worker did all jobs, and the first of them twice."""
    lair = Settled("q", "memory://batch", None, 1.0, False)
    batch = Batch(lair, folder, SHAPES["chain of async"], "behind", DONE, befalls_all=befalls_all)
    batch.lives, batch.struck = life, struck
    for job in [batch.jobs[0], *batch.jobs]:
        batch.book.write(Line("start", life, job, "e", neuron="step", key="k"))
        batch.book.write(Line("end", life, job, "e", neuron="step", key="k", seen=("e",)))
    assert ended(batch.fork_judge()) == 0
    told: list[str] = json.loads(batch.verdict.read_text())
    return told


def test_what_no_struck_worker_has_seen_starts_once(tmp_path: Path) -> None:
    told = judged(tmp_path, life=2, struck={1})

    assert [one.split(", ")[-2:] for one in told] == [
        ["q-0: nothing starts twice unless something befell: 2 starts", "not 1"]
    ]


def test_what_a_struck_worker_has_seen_may_start_again(tmp_path: Path) -> None:
    assert judged(tmp_path, life=2, struck={1, 2}) == []


def test_so_may_any_job_when_nobody_knows_which_were_hit(tmp_path: Path) -> None:
    assert judged(tmp_path, life=2, struck={1}, befalls_all=True) == []


def test_a_worker_more_than_were_struck_is_one_too_many(tmp_path: Path) -> None:
    told = judged(tmp_path, life=6, struck={1, 2}, befalls_all=True)

    assert len(told) == 20
    assert all(
        "time to terminal is bounded: it took 6 workers, of 5 at most" in one for one in told
    )
