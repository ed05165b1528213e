"""What may be wrong with a Postgres that keeps jobs."""

from collections.abc import Iterator, Sequence

from cnstra.adapters.postgres.database import Database
from cnstra.adapters.postgres.migrating import VERSION
from cnstra.adapters.postgres.pool import Row
from cnstra.errors import BrokerUnavailable
from cnstra.jobs.diagnosis import Finding, clock_finding

NEARLY_ALL = 0.9


async def findings(database: Database) -> Sequence[Finding]:
    """All that its settings, its schema and its clock tell."""
    (row,) = await database.ask("diagnose", None, BrokerUnavailable)

    async def time() -> float:
        ((seconds,),) = await database.ask("server_time", None, BrokerUnavailable)
        return float(seconds)

    return [*_judged(row), await clock_finding(database.clock, time)]


def _judged(row: Row) -> Iterator[Finding]:
    version, fsync, pages, synchronous, most, replica, used, schema = row
    yield Finding("ok", "postgres", f"PostgreSQL {version}, schema version {schema} of {VERSION}")
    for name, value in (("fsync", fsync), ("full_page_writes", pages)):
        if value != "on":
            message = f"{name} is {value}: a crash of its machine may damage the whole database"
            yield Finding("warning", "postgres", message)
    if synchronous == "off":
        message = "synchronous_commit is off: a crash may undo the last commits, accepted jobs too"
        yield Finding("warning", "postgres", message)
    if replica:
        yield Finding(
            "error", "postgres", "it is a standby, and cannot be written: name its primary"
        )
    if used > NEARLY_ALL * most:
        yield Finding("warning", "postgres", f"{used} of {most} connections are in use")
