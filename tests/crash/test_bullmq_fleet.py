"""Python and Node workers on one queue, failing, aborting and killed: every job ends right.

`CRASH=full` runs it as large as it is meant: 500 jobs in the mixed fleet, 200 kills and 20
restarts in ours.
"""

import os

import pytest

from tests.crash.bullmq_fleet import Report, run_fleet

FULL = os.environ.get("CRASH") == "full"


def check(report: Report) -> None:
    assert report.states == {"completed": report.jobs}, report
    assert report.wrong_results == [], report
    assert report.repeats == [], report


@pytest.mark.timeout(900)
def test_a_mixed_fleet_completes_every_job() -> None:
    report = run_fleet(*((500, 60) if FULL else (40, 4)))

    check(report)
    assert report.attempts > report.jobs
    assert report.starts["python"] > 0
    assert report.starts["node"] > 0


@pytest.mark.timeout(1800)
def test_kills_and_restarts_lose_nothing() -> None:
    """`appendfsync always`: what Redis has answered, it has."""
    jobs, kills, restarts = (300, 200, 20) if FULL else (30, 6, 2)

    report = run_fleet(jobs, kills, restarts=restarts, python=3, node=0, every=0.3, patience=900.0)

    check(report)
    assert (report.kills["python"], report.restarts) == (kills, restarts)
