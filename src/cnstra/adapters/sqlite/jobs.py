"""The rows of jobs, as those who enqueue them and people who look after them see them."""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cnstra.adapters.sqlite import events, runs
from cnstra.adapters.sqlite.columns import from_json, from_text, shown, to_json, to_text
from cnstra.adapters.sqlite.settling import CANCELLED, Place, bury
from cnstra.adapters.sqlite.statements import statement
from cnstra.jobs.broker import JOB_STATES, JobRecord, JobState, NewJob

ADD_JOB = statement("add_job")
FIND_JOB = statement("find_job")
GET_JOB = statement("get_job")
LISTINGS: Mapping[JobState | None, str] = {
    None: statement("list_jobs"),
    "completed": statement("list_completed_jobs"),
    "dead": statement("list_dead_jobs"),
}
"""Of those that may be very many. There are few others, and an index finds them."""

LIST_JOBS_OF_STATE = statement("list_jobs_of_state")
COUNT_JOBS = statement("count_jobs")
ASK_TO_CANCEL = statement("ask_to_cancel")
REDRIVE_JOB = statement("redrive_job")
REMOVE_JOB = statement("remove_job")
REMOVE_EXPIRED_JOB = statement("remove_expired_job")
REMOVE_EXPIRED_JOBS = statement("remove_expired_jobs")


@dataclass(frozen=True, slots=True)
class Page:
    """Which jobs to list."""

    state: JobState | None
    limit: int
    offset: int


def enqueue(
    connection: sqlite3.Connection, queue: int, jobs: Sequence[NewJob], now: float
) -> list[bool]:
    accepted = [_add(connection, queue, job, now) for job in jobs]
    new = [(job.id, None) for job, is_new in zip(jobs, accepted, strict=True) if is_new]
    events.record_all(connection, queue, now, "enqueued", new)
    return accepted


def get(connection: sqlite3.Connection, queue: int, job_id: str, now: float) -> JobRecord | None:
    wanted = {"queue": queue, "id": to_text(job_id), "now": now}
    found = connection.execute(GET_JOB, wanted).fetchone()
    return _record(found, now) if found else None


def page(connection: sqlite3.Connection, queue: int, wanted: Page, now: float) -> list[JobRecord]:
    terms = {
        "queue": queue,
        "state": wanted.state,
        "limit": wanted.limit,
        "offset": wanted.offset,
        "now": now,
    }
    listing = LISTINGS.get(wanted.state, LIST_JOBS_OF_STATE)
    return [_record(row, now) for row in connection.execute(listing, terms)]


def counts(connection: sqlite3.Connection, queue: int, now: float) -> Mapping[JobState, int]:
    found = dict(connection.execute(COUNT_JOBS, {"queue": queue, "now": now}).fetchall())
    return {state: found.get(state, 0) for state in JOB_STATES}


def cancel(connection: sqlite3.Connection, queue: int, job_id: str, now: float) -> bool:
    found = connection.execute(FIND_JOB, (queue, to_text(job_id))).fetchone()
    seq, state, _ = found or (0, "unknown", "")
    if state == "active":
        if connection.execute(ASK_TO_CANCEL, (seq,)).rowcount:
            events.record(connection, queue, now, "cancelled", job_id)
        return True
    if state in ("waiting", "delayed"):
        events.record(connection, queue, now, "cancelled", job_id)
        bury(connection, Place(queue, seq, job_id), CANCELLED, now)
        return True
    return False


def redrive(connection: sqlite3.Connection, queue: int, job_id: str, now: float) -> bool:
    redriven = connection.execute(REDRIVE_JOB, (queue, to_text(job_id))).fetchall()
    for (run,) in redriven:
        runs.clear_counters(connection, from_text(run))
        events.record(connection, queue, now, "redriven", job_id)
    return bool(redriven)


def remove(connection: sqlite3.Connection, queue: int, job_id: str) -> bool:
    return _removed(connection, REMOVE_JOB, (queue, to_text(job_id)))


def remove_expired(connection: sqlite3.Connection, queue: int, now: float, limit: int) -> bool:
    terms = {"queue": queue, "now": now, "limit": limit}
    return _removed(connection, REMOVE_EXPIRED_JOBS, terms)


def _removed(connection: sqlite3.Connection, deletion: str, terms: Any) -> bool:
    removed = connection.execute(deletion, terms).fetchall()
    for (run,) in removed:
        runs.forget(connection, from_text(run))
    return bool(removed)


def _add(connection: sqlite3.Connection, queue: int, job: NewJob, now: float) -> bool:
    job_id = to_text(job.id)
    delayed = job.run_at is not None and job.run_at > now
    row = (
        queue,
        job_id,
        "delayed" if delayed else "waiting",
        job.run_at if delayed else -job.priority,
        job.priority,
        job.max_attempts,
        now,
        to_text(job.run),
        to_json(job.backoff),
        job.data,
    )
    if connection.execute(ADD_JOB, row).rowcount:
        return True
    if not _removed(connection, REMOVE_EXPIRED_JOB, (queue, job_id, now)):
        return False
    connection.execute(ADD_JOB, row)
    return True


def _record(row: tuple[Any, ...], now: float) -> JobRecord:
    job, state, rank, data, run, attempts_made, max_attempts, created_at, backoff, *rest = row
    priority, finished_at, result, error = rest
    return JobRecord(
        id=shown(job),
        state="waiting" if state == "delayed" and rank <= now else state,
        data=data if isinstance(data, bytes) else str(data).encode(errors="replace"),
        run=shown(run),
        attempts_made=attempts_made,
        max_attempts=max_attempts,
        created_at=created_at,
        backoff=from_json(backoff),
        priority=priority,
        run_at=rank if state == "delayed" and rank > now else None,
        finished_at=finished_at,
        result=result,
        error=from_json(error),
    )
