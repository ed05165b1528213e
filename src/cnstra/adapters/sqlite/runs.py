"""The rows of a run: its epoch and number, its progress, its result."""

import sqlite3

from cnstra.adapters.sqlite.columns import to_text
from cnstra.adapters.sqlite.statements import statement
from cnstra.durable.store import Patch, Saved, Ticket
from cnstra.errors import Fenced

LOAD_RUN = statement("load_run")
PEEK_RUN = statement("peek_run")
REOPEN_RUN = statement("reopen_run")
ADVANCE_RUN = statement("advance_run")
RELEASE_RUN = statement("release_run")
FINISH_RUN = statement("finish_run")
FENCE_RUN = statement("fence_run")
FORGET_RUN = statement("forget_run")
REMOVE_EXPIRED_RUNS = statement("remove_expired_runs")
LOAD_PROGRESS = statement("load_progress")
PUT_PROGRESS = statement("put_progress")
DELETE_PROGRESS = statement("delete_progress")
CLEAR_PROGRESS = statement("clear_progress")
CLEAR_COUNTERS = statement("clear_counters")


def load(connection: sqlite3.Connection, run: str, now: float) -> Saved:
    """Take the run's next epoch."""
    row = to_text(run)
    epoch, seq, released, result, expires_at = connection.execute(LOAD_RUN, (row,)).fetchone()
    if expires_at is not None and expires_at <= now:
        connection.execute(REOPEN_RUN, (row,))
        return Saved(epoch, seq)
    held = released != epoch - 1 and result is None
    return Saved(epoch, seq, _entries(connection, row) if epoch > 1 else {}, held, result)


def peek(connection: sqlite3.Connection, run: str, now: float) -> Saved | None:
    row = to_text(run)
    found = connection.execute(PEEK_RUN, (row,)).fetchone()
    if found is None:
        return None
    epoch, seq, released, result, expires_at = found
    if expires_at is not None and expires_at <= now:
        return None
    held = released != epoch and result is None
    return Saved(epoch, seq, _entries(connection, row), held, result)


def commit(connection: sqlite3.Connection, ticket: Ticket, patch: Patch) -> None:
    run = to_text(ticket.run)
    advance = RELEASE_RUN if patch.release else ADVANCE_RUN
    where = (ticket.seq, run, ticket.epoch, ticket.seq)
    if not connection.execute(advance, where).rowcount:
        return _refuse_unless_repeated(connection, ticket)
    if patch.deletes:
        connection.executemany(DELETE_PROGRESS, [(run, key) for key in patch.deletes])
    if patch.puts:
        connection.executemany(PUT_PROGRESS, [(run, *entry) for entry in patch.puts.items()])
    return None


def finish(
    connection: sqlite3.Connection, ticket: Ticket, result: bytes, expires_at: float | None
) -> None:
    run = to_text(ticket.run)
    finished = {
        "run": run,
        "epoch": ticket.epoch,
        "seq": ticket.seq,
        "result": result,
        "expires_at": expires_at,
    }
    if not connection.execute(FINISH_RUN, finished).rowcount:
        return _refuse_unless_repeated(connection, ticket)
    connection.execute(CLEAR_PROGRESS, (run,))
    return None


def forget(connection: sqlite3.Connection, run: str) -> None:
    row = to_text(run)
    connection.execute(FORGET_RUN, (row,))
    connection.execute(CLEAR_PROGRESS, (row,))


def fence(connection: sqlite3.Connection, run: str) -> None:
    """Refuse all that an earlier holder may still send, without anybody taking over."""
    connection.execute(FENCE_RUN, (to_text(run),))


def clear_counters(connection: sqlite3.Connection, run: str) -> None:
    """Drop the crash counters, so that a redriven run starts with a clean slate."""
    connection.execute(CLEAR_COUNTERS, (to_text(run),))


def remove_expired(connection: sqlite3.Connection, now: float, limit: int) -> None:
    connection.execute(REMOVE_EXPIRED_RUNS, {"now": now, "limit": limit})


def _entries(connection: sqlite3.Connection, row: str) -> dict[str, bytes]:
    return dict(connection.execute(LOAD_PROGRESS, (row,)).fetchall())


def _refuse_unless_repeated(connection: sqlite3.Connection, ticket: Ticket) -> None:
    found = connection.execute(PEEK_RUN, (to_text(ticket.run),)).fetchone()
    epoch, seq = found[:2] if found else (0, 0)
    if (epoch, seq) != (ticket.epoch, ticket.seq):
        raise Fenced(run=ticket.run, epoch=ticket.epoch, found=epoch)
