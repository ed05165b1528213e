"""A small campaign; `make crash` runs the whole one."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(300)
def test_workers_that_are_killed_again_and_again_finish_every_job() -> None:
    """In a process of its own, as it forks."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash.campaign", "--kills", "15"],
        cwd=ROOT, capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "kills in mid-work            15" in done.stdout
