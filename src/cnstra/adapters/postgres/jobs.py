"""The rows of jobs and of events, as those who enqueue and people who look see them."""

from collections.abc import Sequence
from typing import Any

from cnstra.adapters.postgres.columns import (
    from_json,
    from_text,
    long_text,
    to_json,
    to_key,
    to_run,
)
from cnstra.adapters.postgres.pool import Row
from cnstra.jobs.broker import Event, JobRecord, NewJob


def columns_of(jobs: Sequence[NewJob]) -> dict[str, Any]:
    """The parameters of `enqueue`."""
    return {
        "ids": [to_key(job.id) for job in jobs],
        "long_ids": [long_text(job.id) for job in jobs],
        "datas": [job.data for job in jobs],
        "runs": [to_run(job.run) for job in jobs],
        "max_attempts": [job.max_attempts for job in jobs],
        "backoffs": [to_json(job.backoff) for job in jobs],
        "run_ats": [job.run_at for job in jobs],
        "delays": [job.delay for job in jobs],
        "priorities": [job.priority for job in jobs],
    }


def accepted(jobs: Sequence[NewJob], rows: Sequence[Row]) -> list[bool]:
    """For each job whether it is new: of those with one id, the first may be."""
    new = {row[0] for row in rows}
    answers: list[bool] = []
    for job in jobs:
        answers.append(to_key(job.id) in new)
        new.discard(to_key(job.id))
    return answers


def record_of(row: Row) -> JobRecord:
    job, state, run_at, data, run, attempts_made, max_attempts, created_at, backoff, *rest = row
    priority, finished_at, result, error = rest
    return JobRecord(
        id=from_text(job),
        state=state,
        data=data,
        run=from_text(run),
        attempts_made=attempts_made,
        max_attempts=max_attempts,
        created_at=created_at,
        backoff=from_json(backoff),
        priority=priority,
        run_at=run_at,
        finished_at=finished_at,
        result=result,
        error=from_json(error),
    )


def event_of(row: Row) -> Event:
    number, at, kind, job, detail = row
    return Event(number, at, kind, None if job is None else from_text(job), from_json(detail))
