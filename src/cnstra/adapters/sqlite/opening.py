"""Opening a file: whose it is, which schema it has, and making one that is missing.

A file that is not ours is only ever read. It is read through SQLite with `immutable=1`, which takes
no lock and writes no side file. Reading it with `open()` instead would be a trap: closing any
descriptor of a file drops the locks that this process holds on it through SQLite.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from cnstra.adapters.sqlite.location import Location
from cnstra.adapters.sqlite.statements import script
from cnstra.errors import NotOurDatabase, SchemaTooNew


class Kind(NamedTuple):
    """What is kept in a file.

    application_id: by which the file is known. version: of its schema, which `sql/<schema>.sql`
    makes. other: what to say where it was made for something else.
    """

    application_id: int
    version: int
    schema: str
    other: str


JOBS = Kind(0x436E5374, 1, "schema", "another program made it")  # "CnSt"
HISTORY = Kind(0x436E4869, 1, "history/schema", "a history needs a file of its own")  # "CnHi"

OLDEST_SQLITE = (3, 35)
CACHE_KIB = 16_384
LARGEST_IDLE_LOG = 64 * 1024 * 1024


class Unsuitable(Exception):
    """The place, or the machine's SQLite, does not do."""


def connect(location: Location, kind: Kind = JOBS) -> sqlite3.Connection:
    """A connection to our database at `location`, made there if there is nothing yet.

    Raises `NotOurDatabase`, `SchemaTooNew`, `Unsuitable`, and `sqlite3.Error` for the rest: while
    others make the same file, that is `SQLITE_BUSY`, and trying again is the cure.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise Unsuitable(f"SQLite {sqlite3.sqlite_version} is older than 3.35")
    _inspect(location.path, kind)
    connection = sqlite3.connect(
        location.path,
        timeout=0,  # a lock is waited for by the event loop, not by a blocked thread
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )
    connection.text_factory = _text
    try:
        _prepare(connection, location, kind)
    except BaseException:
        connection.close()
        raise
    return connection


def _inspect(path: Path, kind: Kind) -> None:
    if path.is_dir():
        raise NotOurDatabase(path=str(path), reason="it is a directory")
    if not path.parent.is_dir():
        raise Unsuitable(f"there is no directory {path.parent}")
    if not path.exists() or path.stat().st_size == 0:
        return
    uri = f"{path.as_uri()}?mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            application, version = _identity(connection)
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_NOTADB:
            raise NotOurDatabase(path=str(path), reason=str(error)) from error
        # Another process may be writing it for the first time: its lock will tell.
        return
    _check(path, kind, application, version)


def _text(column: bytes) -> str:
    """A text, whatever its bytes: those that are no UTF-8 must not keep a whole answer from us."""
    return column.decode("utf-8", "surrogateescape")


def _prepare(connection: sqlite3.Connection, location: Location, kind: Kind) -> None:
    application, version = _identity(connection)
    if not application:
        _create(connection, kind)
        application, version = _identity(connection)
    _check(location.path, kind, application, version)
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise Unsuitable("its file system cannot share memory between processes")
    connection.execute(f"PRAGMA synchronous = {location.synchronous}")
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    connection.execute(f"PRAGMA journal_size_limit = {LARGEST_IDLE_LOG}")


def _create(connection: sqlite3.Connection, kind: Kind) -> None:
    # Before the switch to WAL, so that the first commit puts the identity into the file itself.
    connection.execute("BEGIN IMMEDIATE")
    try:
        if _identity(connection) == (0, 0):
            for statement in script(kind.schema):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {kind.application_id}")
            connection.execute(f"PRAGMA user_version = {kind.version}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _identity(connection: sqlite3.Connection) -> tuple[int, int]:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return application, version


def _check(path: Path, kind: Kind, application: int, version: int) -> None:
    if application != kind.application_id:
        raise NotOurDatabase(path=str(path), reason=kind.other)
    if version > kind.version:
        raise SchemaTooNew(path=str(path), found=version, known=kind.version)
