"""The progress store of a SQLite file."""

import sqlite3

from cnstra.adapters.sqlite import runs
from cnstra.adapters.sqlite.database import Database
from cnstra.durable.store import Patch, Saved, Ticket
from cnstra.errors import StoreUnavailable

EXPIRED_PER_FINISH = 4
"""More than one for each result that is stored, so that expired ones never pile up."""


class SqliteStore:
    """A `ProgressStore` in a SQLite file, which a broker may share."""

    __slots__ = ("_database", "_is_open")

    def __init__(self, database: Database) -> None:
        self._database = database
        self._is_open = False

    async def open(self) -> None:
        if not self._is_open:
            await self._database.open(StoreUnavailable)
            self._is_open = True

    async def close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._database.close()

    async def load(self, run: str) -> Saved:
        now = self._database.clock.time()
        return await self._database.write(
            lambda connection: runs.load(connection, run, now), StoreUnavailable
        )

    async def peek(self, run: str) -> Saved | None:
        now = self._database.clock.time()
        return await self._database.read(
            lambda connection: runs.peek(connection, run, now), StoreUnavailable
        )

    async def commit(self, ticket: Ticket, patch: Patch) -> None:
        await self._database.write(
            lambda connection: runs.commit(connection, ticket, patch), StoreUnavailable
        )

    async def finish(self, ticket: Ticket, result: bytes, keep: float | None) -> None:
        def operation(connection: sqlite3.Connection) -> None:
            now = self._database.clock.time()
            expires_at = None if keep is None else now + keep
            runs.finish(connection, ticket, result, expires_at)
            runs.remove_expired(connection, now, EXPIRED_PER_FINISH)

        await self._database.write(operation, StoreUnavailable)

    async def forget(self, run: str) -> None:
        await self._database.write(
            lambda connection: runs.forget(connection, run), StoreUnavailable
        )
