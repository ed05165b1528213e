"""Carrying out a settlement, together with the last write of its run."""

import sqlite3
from dataclasses import dataclass
from typing import Any, NamedTuple

from cnstra.adapters.sqlite import events, runs
from cnstra.adapters.sqlite.columns import to_json, to_text
from cnstra.adapters.sqlite.statements import statement
from cnstra.durable.store import Patch, Ticket
from cnstra.errors import JobCancelled, LeaseLost
from cnstra.jobs.settlement import (
    Completed,
    DeadLettered,
    Delivery,
    Lost,
    Requeued,
    Retry,
    Settlement,
    WireError,
)

FIND_LEASE = statement("find_lease")
COMPLETE_JOB = statement("complete_job")
PUT_BACK_JOB = statement("put_back_job")
BURY_JOB = statement("bury_job")


@dataclass(frozen=True, slots=True)
class Ending:
    """A delivery, how it ends, and when; completed jobs are kept until `expires_at`."""

    queue: int
    delivery: Delivery
    settlement: Settlement
    ticket: Ticket | None
    now: float
    expires_at: float

    @property
    def token(self) -> str:
        """What the lease's token becomes, so that a repeat of the settlement is known as one."""
        return f"{self.delivery.token}:{type(self.settlement).__name__}"


class Lease(NamedTuple):
    seq: int
    token: str | None
    priority: int
    cancelled: int


class Place(NamedTuple):
    """Where a job stands: its queue, its row, and its id."""

    queue: int
    seq: int
    job_id: str


CANCELLED: WireError = {"message": str(JobCancelled()), "name": JobCancelled.__name__, "stack": ""}
"""The error of a job that its owner ended."""


def settle(connection: sqlite3.Connection, ending: Ending) -> None:
    """Raises `LeaseLost` or `Fenced`, and has then written nothing."""
    job_id = ending.delivery.job_id
    found = connection.execute(FIND_LEASE, (ending.queue, to_text(job_id))).fetchone()
    lease = Lease(*found) if found else None
    if lease and lease.token == ending.token:
        return
    if not lease or lease.token != ending.delivery.token:
        raise LeaseLost(job_id=job_id)
    if ending.ticket:
        _end_run(connection, ending.ticket, ending.settlement)
    _end_lease(connection, ending, lease)


def bury(
    connection: sqlite3.Connection,
    place: Place,
    error: WireError,
    now: float,
    *,
    token: str | None = None,
    attempts: int = 0,
) -> None:
    """Put a job among the dead letters. Its progress stays."""
    grave = {
        "seq": place.seq,
        "now": now,
        "token": token,
        "error": to_json(error),
        "attempts": attempts,
    }
    connection.execute(BURY_JOB, grave)
    detail = {"error": headline(error)}
    events.record(connection, place.queue, now, "dead", place.job_id, detail)


def headline(error: WireError) -> dict[str, Any]:
    """An error without its stack, which is too long to be told again and again."""
    return {part: error.get(part) for part in ("name", "message")}


def _end_run(connection: sqlite3.Connection, ticket: Ticket, settlement: Settlement) -> None:
    match settlement:
        case Completed(result):
            runs.finish(connection, ticket, result, expires_at=None)
        case _:
            runs.commit(connection, ticket, Patch(release=True))


def _end_lease(connection: sqlite3.Connection, ending: Ending, lease: Lease) -> None:
    place = Place(ending.queue, lease.seq, ending.delivery.job_id)
    now, token = ending.now, ending.token
    match ending.settlement:
        case Completed(result):
            _complete(connection, ending, place, None if ending.ticket else result)
        case DeadLettered(error):
            bury(connection, place, error, now, token=token, attempts=1)
        case Retry() | Requeued() if lease.cancelled:
            bury(connection, place, CANCELLED, now, token=token)
        case Retry(delay, _, error):
            _put_back(connection, ending, lease, delay, error)
            detail = {"delay": delay, "error": headline(error)}
            events.record(connection, place.queue, now, "retried", place.job_id, detail)
        case Requeued(_, delay):
            _put_back(connection, ending, lease, delay, None)
            events.record(connection, place.queue, now, "requeued", place.job_id, {"delay": delay})
        case Lost():
            raise AssertionError("a lost job has nothing to settle")


def _complete(
    connection: sqlite3.Connection, ending: Ending, place: Place, result: bytes | None
) -> None:
    """The result is kept once: by the run if the settlement ends it too, else by the job."""
    completed = {
        "seq": place.seq,
        "token": ending.token,
        "now": ending.now,
        "expires_at": ending.expires_at,
        "result": result,
    }
    connection.execute(COMPLETE_JOB, completed)
    events.record(connection, place.queue, ending.now, "completed", place.job_id)


def _put_back(
    connection: sqlite3.Connection,
    ending: Ending,
    lease: Lease,
    delay: float,
    error: WireError | None,
) -> None:
    put_back = {
        "seq": lease.seq,
        "token": ending.token,
        "state": "delayed" if delay > 0 else "waiting",
        "rank": ending.now + delay if delay > 0 else -lease.priority,
        "attempts": 1 if error is not None else 0,
        "error": to_json(error),
    }
    connection.execute(PUT_BACK_JOB, put_back)
