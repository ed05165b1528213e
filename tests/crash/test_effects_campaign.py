"""A small campaign against effects; `make crash` runs the whole ones."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def campaign(*arguments: str) -> str:
    """Its output, in a process of its own, as it forks."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash.effects_campaign", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(300)
def test_effects_happen_once_though_workers_are_killed_again_and_again() -> None:
    said = campaign("--broker", "bullmq", "--kills", "12")

    assert "kills in mid-work            12" in said


@pytest.mark.timeout(300)
def test_without_a_ledger_the_same_campaign_finds_repeats() -> None:
    said = campaign("--broker", "bullmq", "--kills", "12", "--bare")

    assert "without a ledger, " in said
