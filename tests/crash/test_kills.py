"""A short hunt; `make crash` runs the long ones, on every broker."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

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


def hunt(*told: str) -> str:
    """In a process of its own, as it forks: what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash.kills", *told],
        cwd=ROOT, capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
