"""The schema: which version a database has, and bringing it up to ours."""

import psycopg
from psycopg.rows import tuple_row

from cnstra.adapters.postgres.faults import reason_of
from cnstra.adapters.postgres.location import Location
from cnstra.adapters.postgres.pool import Connection
from cnstra.adapters.postgres.statements import query, statement
from cnstra.errors import MigrationRequired, NotOurDatabase, SchemaTooNew

VERSION = 2
FUNCTIONS = (
    "time", "cancelling", "events", "runs", "enqueueing", "claiming", "settling", "steering",
)  # fmt: skip

FIND_SCHEMA, FIND_VERSION = "find_schema", "find_version"
REFUSALS = (psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction)


async def version_of(connection: Connection, location: Location) -> int:
    """The version of the schema; 0 where there is none yet, or an empty one.

    Raises `NotOurDatabase`, `SchemaTooNew`.
    """
    cursor = connection.cursor(row_factory=tuple_row)
    await cursor.execute(query(FIND_SCHEMA, location.schema), {"schema": location.schema})
    found = await cursor.fetchone()
    assert found is not None
    exists, is_ours, is_filled = found
    place = f"schema {location.schema} at {location.shown}"
    if exists and is_filled and not is_ours:
        raise NotOurDatabase(path=place, reason="it holds tables of another program")
    if not is_ours:
        return 0
    await cursor.execute(query(FIND_VERSION, location.schema))
    version = await cursor.fetchone()
    assert version is not None
    if version[0] > VERSION:
        raise SchemaTooNew(path=place, found=version[0], known=VERSION)
    return int(version[0])


async def migrate(connection: Connection, location: Location) -> list[int]:
    """Bring the schema up to our version, in one transaction; others who try wait for it.

    Returns the versions that it went through: none where there was nothing to do. Raises
    `MigrationRequired` where this role may not.
    """
    found = 0
    try:
        found = await version_of(connection, location)
        if found == VERSION:
            return []
        # Or a server whose default is stricter would not see what others did while we waited.
        await connection.set_isolation_level(psycopg.IsolationLevel.READ_COMMITTED)
        async with connection.transaction():
            await connection.execute(_lock(location).encode())
            found = await version_of(connection, location)
            if found < VERSION:
                await connection.execute(script(location, found).encode())
    except REFUSALS as error:
        raise MigrationRequired(
            schema=location.schema,
            url=location.shown,
            found=f"at version {found} of {VERSION}" if found else "not there",
            reason=reason_of(error),
        ) from error
    return list(range(found + 1, VERSION + 1))


def script(location: Location, found: int = 0) -> str:
    """The SQL that takes a schema from version `found` to ours."""
    versions = range(found + 1, VERSION + 1)
    parts = [
        f'CREATE SCHEMA IF NOT EXISTS "{location.schema}";' if not found else "",
        statement("drop_functions", location.schema),
        *(statement(f"migrations/{version}", location.schema) for version in versions),
        *(statement(f"functions/{name}", location.schema) for name in FUNCTIONS),
        *(_note(location, version) for version in versions),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def transaction(location: Location) -> str:
    """The whole migration from nothing, for whoever carries it out by hand."""
    return f"BEGIN;\n\n{_lock(location)};\n\n{script(location)}\nCOMMIT;\n"


def _lock(location: Location) -> str:
    return f"SELECT pg_advisory_xact_lock(hashtext('cnstra migrate {location.schema}'))"


def _note(location: Location, version: int) -> str:
    return f'INSERT INTO "{location.schema}".migrations (version) VALUES ({version});'
