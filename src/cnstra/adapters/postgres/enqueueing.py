"""Enqueueing inside a transaction of the caller's: it becomes visible when that is committed."""

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg.rows import tuple_row

from cnstra.adapters.postgres.jobs import accepted, columns_of
from cnstra.adapters.postgres.location import Location
from cnstra.adapters.postgres.statements import query
from cnstra.errors import InvalidOption
from cnstra.jobs.broker import NewJob

_WHOSE = "pass a psycopg.AsyncConnection, or a psycopg.Connection, that is open"
_WHERE = "it sees no such queue: connect it to the queue's database, as a role that may use it"
_NOT_THERE = (
    psycopg.errors.UndefinedFunction,
    psycopg.errors.UndefinedTable,
    psycopg.errors.InvalidSchemaName,
    psycopg.errors.InsufficientPrivilege,
    psycopg.errors.NotNullViolation,
)


async def enqueue_within(
    connection: Any, location: Location, queue: str, jobs: Sequence[NewJob]
) -> Sequence[bool]:
    """Add the jobs on the caller's connection, and on the caller's event loop.

    A sync connection blocks until the server has answered. Neither commits. Raises `InvalidOption`
    for what is no connection to the queue's database.
    """
    if connection is None or getattr(connection, "closed", True):
        raise InvalidOption(option="connection", value=connection, remedy=_WHOSE)
    name = "enqueue_within"
    asked = query(name, location.schema), {"queue": queue, **columns_of(jobs)}
    try:
        match connection:
            case psycopg.AsyncConnection():
                async with connection.cursor(row_factory=tuple_row) as cursor:
                    await cursor.execute(*asked, prepare=False)
                    return accepted(jobs, await cursor.fetchall())
            case psycopg.Connection():
                with connection.cursor(row_factory=tuple_row) as cursor:
                    cursor.execute(*asked, prepare=False)
                    return accepted(jobs, cursor.fetchall())
            case _:
                raise InvalidOption(option="connection", value=connection, remedy=_WHOSE)
    except _NOT_THERE as error:
        raise InvalidOption(option="connection", value=connection, remedy=_WHERE) from error
