"""A short hunt; `make crash` runs the long ones, on every broker."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from math import inf
from pathlib import Path

import pytest

from tests.crash.flow import ended, fork
from tests.crash.kills import Hunt
from tests.crash.prey import Lair
from tests.crash.servers import Harm, Server
from tests.crash.shapes import Shape

ROOT = Path(__file__).parents[2]
KILLS = 40
HARMED = 10


@pytest.mark.timeout(300)
def test_killed_workers_break_no_invariant() -> None:
    assert re.search(rf"in mid-work +{KILLS}\n", hunt("sqlite", "--kills", str(KILLS)))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("trouble", ["cut", "full"])
def test_neither_do_those_whose_server_is_in_trouble(trouble: str) -> None:
    told = hunt("bullmq", "--harm", trouble, "--every", "0.5", "--kills", str(HARMED))

    assert re.search(rf"in mid-work +{HARMED}\n", told)
    assert re.search(r"harms to the server +[1-9]", told)


class Careless(Lair):
    """It accepts its last job, and loses it."""

    def enqueue(self, shape: Shape, jobs: Sequence[str]) -> None:
        super().enqueue(shape, jobs[:-1])


@pytest.mark.timeout(120)
def test_a_job_that_is_lost_is_complained_of(tmp_path: Path) -> None:
    """Given a job of twenty that no broker has, when no worker has more to do, then it is told."""

    def lair(name: str, own: Path) -> Lair:
        return Careless(name, f"sqlite:///{own}/jobs.db?synchronous=normal", None, 5.0, True)

    def judged() -> None:
        signal.alarm(60)  # it may not outlive the test
        tally = Hunt(
            Server(lair, Harm()), tmp_path, ["chain of async"],
            blows=1, seed=1, mode="kill", every=inf,
        ).run()  # fmt: skip
        (tmp_path / "told").write_text(json.dumps(tally.complaints))

    assert ended(fork(judged)) == 0
    told = json.loads((tmp_path / "told").read_text())

    assert any("-19: every job ends: it is None" in one for one in told)
    assert all("-19: " in one for one in told)


def hunt(*told: str) -> str:
    """In a process of its own, as it forks: what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash.kills", *told],
        cwd=ROOT, capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
