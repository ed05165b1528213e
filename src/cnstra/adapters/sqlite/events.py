"""The log of what happened to jobs and queues; only the newest are kept."""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from cnstra.adapters.sqlite.columns import from_json, from_text, to_json, to_text
from cnstra.adapters.sqlite.statements import statement
from cnstra.jobs.broker import Event, EventKind

KEPT = 10_000
TRIMMED_EVERY = 500

ADD_EVENT = statement("add_event")
LAST_EVENT = statement("last_event")
TRIM_EVENTS = statement("trim_events")
LIST_EVENTS = statement("list_events")
NEWEST_EVENT = statement("newest_event")

Happening = tuple[str | None, Mapping[str, Any] | None]
"""A job's id, and what there is to say."""


def record(
    connection: sqlite3.Connection,
    queue: int,
    now: float,
    kind: EventKind,
    job_id: str | None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    record_all(connection, queue, now, kind, [(job_id, detail)])


def record_all(
    connection: sqlite3.Connection,
    queue: int,
    now: float,
    kind: EventKind,
    happenings: Sequence[Happening],
) -> None:
    rows = [
        (queue, now, kind, None if job is None else to_text(job), to_json(detail) or "{}")
        for job, detail in happenings[-KEPT:]
    ]
    if not rows:
        return
    if len(rows) == 1:
        last = connection.execute(ADD_EVENT, rows[0]).lastrowid or 0
    else:
        connection.executemany(ADD_EVENT, rows)
        (last,) = connection.execute(LAST_EVENT).fetchone()
    if last // TRIMMED_EVERY != (last - len(rows)) // TRIMMED_EVERY:
        connection.execute(TRIM_EVENTS, (last - KEPT,))


def after(connection: sqlite3.Connection, queue: int, last: int, limit: int) -> list[Event]:
    return [_event(row) for row in connection.execute(LIST_EVENTS, (queue, last, limit))]


def newest(connection: sqlite3.Connection, queue: int) -> list[Event]:
    return [_event(row) for row in connection.execute(NEWEST_EVENT, (queue,))]


def _event(row: tuple[int, float, EventKind, str | None, str]) -> Event:
    number, at, kind, job, detail = row
    return Event(number, at, kind, None if job is None else from_text(job), from_json(detail))
