"""What a worker asks for, and the jobs that it gets."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from cnstra.adapters.postgres.columns import from_json, from_text
from cnstra.adapters.postgres.pool import Row
from cnstra.adapters.postgres.runs import saved_of
from cnstra.jobs.limits import RateLimit
from cnstra.jobs.settlement import Delivery


@dataclass(frozen=True, slots=True)
class Claim:
    """Jobs for `lease` seconds under `rate`, known by `token`.

    unheard: tokens under which jobs may have been leased that never came through.
    """

    token: str
    lease: float
    rate: RateLimit | None
    unheard: Sequence[str]

    def columns(self) -> dict[str, Any]:
        """The parameters of `claim`."""
        return {
            "token": self.token,
            "lease": self.lease,
            "rate_jobs": None if self.rate is None else self.rate.jobs,
            "rate_per": None if self.rate is None else self.rate.per,
            "unheard": list(self.unheard),
        }


def claimed(rows: Sequence[Row]) -> tuple[list[Delivery], float]:
    """The deliveries, or none and the seconds until there may be one."""
    if not rows:
        return [], inf
    if rows[0][1] is None:
        return [], inf if rows[0][0] is None else rows[0][0]
    return [_delivery(row) for row in rows], 0.0


def _delivery(row: Row) -> Delivery:
    _, job, data, token, run, attempts_made, max_attempts, backoff, created_at, priority, *saved = (
        row
    )
    return Delivery(
        job_id=from_text(job),
        data=data,
        token=token,
        run=from_text(run),
        attempts_made=attempts_made,
        max_attempts=max_attempts,
        backoff=from_json(backoff),
        created_at=created_at,
        priority=priority,
        saved=saved_of(saved),
    )
