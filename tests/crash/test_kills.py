"""A short hunt; `make crash` runs the long ones, on every broker."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KILLS = 40


@pytest.mark.timeout(300)
def test_killed_workers_break_no_invariant() -> None:
    """In a process of its own, as it forks."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash.kills", "sqlite", "--kills", str(KILLS)],
        cwd=ROOT, capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(rf"in mid-work +{KILLS}\n", done.stdout)
