"""Leasing due jobs, in one transaction with the epoch and the progress of their runs."""

import sqlite3
from dataclasses import dataclass
from math import inf
from typing import Any, NamedTuple

import msgspec

from cnstra.adapters.sqlite import events, jobs, rates, runs
from cnstra.adapters.sqlite.columns import from_json, from_text
from cnstra.adapters.sqlite.settling import CANCELLED, Place, bury
from cnstra.adapters.sqlite.statements import statement
from cnstra.engine.tasks import error_to_wire
from cnstra.errors import JobUnreadable
from cnstra.jobs.limits import RateLimit
from cnstra.jobs.settlement import Delivery

IS_PAUSED = statement("is_paused")
OUTLOOK = statement("outlook")
PROMOTE_DELAYED = statement("promote_delayed")
PROMOTE_STALLED = statement("promote_stalled")
CLAIM_JOBS = statement("claim_jobs")

PROMOTED_PER_CLAIM = 1_000
EXPIRED_PER_CLAIM = 4


@dataclass(frozen=True, slots=True)
class Claim:
    """What a worker asks for: up to `limit` jobs of a queue, from now until `until`."""

    queue: int
    limit: int
    token: str
    now: float
    until: float
    rate: RateLimit | None


class Row(NamedTuple):
    """What is read of a job to be leased."""

    seq: int
    priority: int
    job: str
    data: bytes
    run: str
    attempts_made: int
    max_attempts: int
    backoff: str | None
    created_at: float


def claim(connection: sqlite3.Connection, wanted: Claim) -> list[Delivery]:
    (paused,) = connection.execute(IS_PAUSED, (wanted.queue,)).fetchone()
    if paused:
        return []
    _promote(connection, wanted)
    if wanted.rate is None:
        deliveries = _lease(connection, wanted, wanted.limit)
    else:
        deliveries = _lease_at_rate(connection, wanted, wanted.rate)
    started = [(each.job_id, {"attempt": each.attempts_made + 1}) for each in deliveries]
    events.record_all(connection, wanted.queue, wanted.now, "started", started)
    jobs.remove_expired(connection, wanted.queue, wanted.now, EXPIRED_PER_CLAIM + 2 * wanted.limit)
    return deliveries


def due_at(connection: sqlite3.Connection, queue: int, rate: RateLimit | None, now: float) -> float:
    """When a job can be had, as far as is known by now; the past means: at once."""
    paused, waits, delayed, active = connection.execute(OUTLOOK, {"queue": queue}).fetchone()
    if paused:
        return inf
    due = now if waits else min(inf if at is None else at for at in (delayed, active))
    if rate is None:
        return due
    opened_at, started = rates.window(connection, queue, rate, now)
    return due if started < rate.jobs else max(due, opened_at + rate.per)


def _promote(connection: sqlite3.Connection, wanted: Claim) -> None:
    """Make due what was delayed until now, and what a lease held until now."""
    due = {"queue": wanted.queue, "now": wanted.now, "limit": PROMOTED_PER_CLAIM}
    connection.execute(PROMOTE_DELAYED, due)
    stalled = connection.execute(PROMOTE_STALLED, due).fetchall()
    happenings = [(from_text(job), None) for _, job, _, _ in stalled]
    events.record_all(connection, wanted.queue, wanted.now, "stalled", happenings)
    for seq, job, run, cancelled in stalled:
        if cancelled:
            bury(connection, Place(wanted.queue, seq, from_text(job)), CANCELLED, wanted.now)
            runs.fence(connection, from_text(run))


def _lease_at_rate(
    connection: sqlite3.Connection, wanted: Claim, rate: RateLimit
) -> list[Delivery]:
    window = rates.window(connection, wanted.queue, rate, wanted.now)
    allowed = min(wanted.limit, rate.jobs - window[1])
    if allowed <= 0:
        return []
    deliveries = _lease(connection, wanted, allowed)
    if deliveries:
        rates.count(connection, wanted.queue, window, len(deliveries))
    return deliveries


def _lease(connection: sqlite3.Connection, wanted: Claim, limit: int) -> list[Delivery]:
    terms = {
        "queue": wanted.queue,
        "token": wanted.token,
        "until": wanted.until,
        "limit": limit,
    }
    rows = connection.execute(CLAIM_JOBS, terms).fetchall()
    leased = [row for found in rows if (row := _readable(connection, found, wanted))]
    leased.sort(key=lambda row: (-row.priority, row.seq))
    return [_delivery(connection, row, wanted) for row in leased]


def _readable(connection: sqlite3.Connection, row: tuple[Any, ...], wanted: Claim) -> Row | None:
    """The row, its columns of their types, which SQLite does not demand of who else writes to them.

    One that is not is dead-lettered, so that it holds up no other.
    """
    try:
        found = msgspec.convert(row, Row)
        for text in (found.job, found.run):
            from_text(text)
        return found
    except (msgspec.ValidationError, ValueError) as error:
        unreadable = error_to_wire(JobUnreadable(reason=error))
        bury(connection, Place(wanted.queue, row[0], str(row[2])), unreadable, wanted.now)
        return None


def _delivery(connection: sqlite3.Connection, row: Row, wanted: Claim) -> Delivery:
    return Delivery(
        job_id=from_text(row.job),
        data=row.data,
        token=wanted.token,
        run=from_text(row.run),
        attempts_made=row.attempts_made,
        max_attempts=row.max_attempts,
        backoff=from_json(row.backoff),
        created_at=row.created_at,
        priority=row.priority,
        saved=runs.load(connection, from_text(row.run), wanted.now),
    )
