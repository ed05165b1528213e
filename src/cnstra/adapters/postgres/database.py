"""A schema of a database, opened by one event loop."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, TypeVar

import psycopg

from cnstra.adapters.postgres.faults import Unreachable, is_of_the_server, reason_of
from cnstra.adapters.postgres.location import Location
from cnstra.adapters.postgres.migrating import migrate
from cnstra.adapters.postgres.pool import Pool, Row
from cnstra.adapters.postgres.statements import query
from cnstra.clock import Clock
from cnstra.errors import BrokerUnavailable, StoreUnavailable

T = TypeVar("T")

Unavailable = type[BrokerUnavailable] | type[StoreUnavailable]


class Database:
    """What a broker and its store share: a pool of connections to a schema that is up to date."""

    def __init__(self, location: Location, clock: Clock) -> None:
        self.location = location
        self.clock = clock
        self._pool = Pool(location)
        self._pool.is_closed = True
        self._opening = asyncio.Lock()
        self._users = 0

    async def open(self, unavailable: Unavailable) -> None:
        """Connect, and see to the schema. Raises `MigrationRequired` where that is left to others,
        `NotOurDatabase`, `SchemaTooNew`.
        """
        async with self._opening:
            if not self._users:
                self._pool = Pool(self.location)
                try:
                    await self.reached(_migrated(self._pool, self.location), unavailable)
                except BaseException:
                    await self._pool.close()
                    raise
            self._users += 1

    async def close(self) -> None:
        """Close it for one of its users; with the last, hang up."""
        self._users -= 1
        if not self._users:
            await self._pool.close()

    async def migrate(self) -> Sequence[int]:
        """Bring the schema up to date; the versions that it went through."""
        pool = Pool(self.location)
        try:
            return await self.reached(_migrated(pool, self.location), BrokerUnavailable)
        finally:
            await pool.close()

    async def ask(
        self, name: str, parameters: Mapping[str, Any] | None, unavailable: Unavailable
    ) -> list[Row]:
        """The rows of `sql/<name>.sql`, committed."""
        return await self.reached(self.rows(name, parameters), unavailable)

    async def rows(self, name: str, parameters: Mapping[str, Any] | None) -> list[Row]:
        """The same, for those who look at the errors themselves."""
        return await self._pool.ask(query(name, self.location.schema), parameters)

    async def reached(self, work: Awaitable[T], unavailable: Unavailable) -> T:
        """What `work` returns. What the server, or the way to it, did is told as `unavailable`."""
        return await reached(self.location, work, unavailable)


async def reached(location: Location, work: Awaitable[T], unavailable: Unavailable) -> T:
    """What `work` returns. What the server, or the way to it, did is told as `unavailable`."""
    try:
        return await work
    except (psycopg.Error, Unreachable, OSError) as error:
        if not is_of_the_server(error):
            raise
        raise unavailable(url=location.shown, reason=reason_of(error)) from error


async def _migrated(pool: Pool, location: Location) -> Sequence[int]:
    async with pool.lent() as connection:
        return await migrate(connection, location)
