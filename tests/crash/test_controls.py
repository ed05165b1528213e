"""The campaign sees faults of our own; `python -m tests.crash.controls` tries all of them."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.crash.controls import CONTROLS, Control
from tests.crash.invariants import INVARIANTS, QUIET_END, SAME_TRACE

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("control", CONTROLS, ids=lambda one: one.what)
def test_what_a_control_takes_out_is_there(control: Control) -> None:
    assert control.mutation.complaint(ROOT) is None
    assert control.sees in {*INVARIANTS, QUIET_END, SAME_TRACE}


def test_each_invariant_has_a_control_that_it_must_see() -> None:
    assert {one.sees for one in CONTROLS} == {*INVARIANTS, QUIET_END, SAME_TRACE}


@pytest.mark.timeout(300)
def test_a_dropped_commit_is_seen() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash.controls", "drop"],
        cwd=ROOT, capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
