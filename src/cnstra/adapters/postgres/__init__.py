"""Postgres: a broker and its progress store in a schema of a database, shared by any number of
machines.

`postgresql://user:password@host:port/database`, or `postgres://`, with all that libpq knows. Ours
are `?schema=cnstra`, `?listen=off` behind a pooler that shares connections out by transaction, and
`?connections=4`, the most that one process opens for its queries.
"""

from collections.abc import Sequence

from cnstra.adapters.postgres.broker import PostgresBroker
from cnstra.adapters.postgres.database import Database
from cnstra.adapters.postgres.history import PostgresHistory
from cnstra.adapters.postgres.location import Location
from cnstra.adapters.postgres.migrating import transaction
from cnstra.adapters.postgres.store import PostgresStore
from cnstra.clock import SYSTEM_CLOCK, Clock
from cnstra.durable.store import ProgressStore


def broker(
    queue: str, url: str, clock: Clock, keep_results: float, store: ProgressStore | None = None
) -> PostgresBroker:
    del store
    return PostgresBroker(queue, Database(Location.of(url), clock), keep_results)


def store(url: str, clock: Clock) -> PostgresStore:
    return PostgresStore(Database(Location.of(url), clock))


def history(url: str, clock: Clock) -> PostgresHistory:
    del clock
    return PostgresHistory(Location.of(url))


async def migrate(url: str) -> Sequence[int]:
    return await Database(Location.of(url), SYSTEM_CLOCK).migrate()


def migration(url: str) -> str:
    return transaction(Location.of(url))
