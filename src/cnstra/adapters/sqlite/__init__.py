"""SQLite, embedded: a broker and its progress store in one file that many processes share.

`sqlite:///relative.db` and `sqlite:////absolute/path.db` name the file, which is made where it is
missing. With `?synchronous=normal` a power cut can take back the last moments, though no crash of a
process can; the default, `full`, survives both.
"""

from pathlib import Path

from cnstra.adapters.sqlite.broker import SqliteBroker
from cnstra.adapters.sqlite.database import Database
from cnstra.adapters.sqlite.history import SqliteHistory
from cnstra.adapters.sqlite.location import Location
from cnstra.adapters.sqlite.opening import HISTORY
from cnstra.adapters.sqlite.store import SqliteStore
from cnstra.clock import Clock
from cnstra.durable.store import ProgressStore


def broker(
    queue: str, url: str, clock: Clock, keep_results: float, store: ProgressStore | None = None
) -> SqliteBroker:
    del store
    return SqliteBroker(queue, Database(Location.of(url), clock), keep_results)


def missing(url: str) -> Path | None:
    """The file that the URL names, if it is not there."""
    path = Location.of(url).path
    return None if path.exists() else path


def store(url: str, clock: Clock) -> SqliteStore:
    return SqliteStore(Database(Location.of(url), clock))


def history(url: str, clock: Clock) -> SqliteHistory:
    return SqliteHistory(Database(Location.of(url), clock, HISTORY))
