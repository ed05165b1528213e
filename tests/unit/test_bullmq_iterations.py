"""What follows on a job of a scheduler of BullMQ's."""

from typing import Any

import msgpack
import pytest

from cnstra.adapters.bullmq.iterations import iteration_after
from cnstra.engine.payloads import encode_json

NOON = 1_767_268_800_000
"""Noon of the first of January 2026, in Greenwich."""
HOUR = 3_600_000


def job(repeat: dict[str, Any], **options: Any) -> dict[bytes, bytes]:
    return {b"rjk": b"tick", b"opts": encode_json({"repeat": repeat, **options})}


def test_a_job_of_no_scheduler_is_followed_by_none() -> None:
    assert iteration_after({b"opts": b"{"}, NOON) is None


def test_the_next_job_has_the_options_of_this_one_and_is_counted() -> None:
    found = iteration_after(job({"every": 500, "count": 2}, attempts=3, timestamp=1), NOON)

    assert found is not None
    assert found.scheduler == b"tick"
    assert msgpack.unpackb(found.options) == {
        "attempts": 3,
        "timestamp": NOON,
        "repeatJobKey": "tick",
        "repeat": {"every": 500, "count": 3},
    }


@pytest.mark.parametrize(
    ("repeat", "due_at"),
    [
        ({"pattern": "0 * * * *"}, NOON + HOUR),
        ({"pattern": "30 0 * * * *"}, NOON + 30_000),
        ({"pattern": "0 15 * * *", "tz": "Europe/Berlin"}, NOON + 2 * HOUR),
        ({"pattern": "0 * * * *", "startDate": NOON + 24 * HOUR}, NOON + 25 * HOUR),
    ],
)
def test_a_pattern_says_when_the_next_job_is_due(repeat: dict[str, Any], due_at: int) -> None:
    found = iteration_after(job(repeat), NOON)

    assert found is not None
    assert found.due_at == msgpack.unpackb(found.options)["prevMillis"] == due_at


def test_a_job_that_is_taken_early_is_not_followed_by_itself() -> None:
    found = iteration_after(job({"pattern": "0 * * * *"}, prevMillis=NOON), NOON - 5)

    assert found is not None
    assert found.due_at == NOON + HOUR


@pytest.mark.parametrize("end", [{"limit": 3, "count": 3}, {"endDate": NOON - 1}])
def test_the_last_job_is_followed_by_none(end: dict[str, Any]) -> None:
    assert iteration_after(job({"every": 500, **end}), NOON) is None


@pytest.mark.parametrize(
    "repeat",
    [
        {},
        {"every": 500, "pattern": "* * * * *"},
        {"every": "often"},
        {"pattern": "at full moon"},
        {"pattern": "* * * * *", "tz": "Atlantis/Poseidonis"},
    ],
)
def test_a_schedule_that_cannot_be_read_is_told(repeat: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        iteration_after(job(repeat), NOON)
