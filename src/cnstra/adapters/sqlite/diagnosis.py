"""What may be wrong with a SQLite file and the disk that it is on."""

import shutil
import sqlite3
from collections.abc import Iterator

from cnstra.jobs.diagnosis import Finding

LEAST_FREE = 256 * 1024 * 1024
MEBIBYTE = 1024 * 1024


def findings(connection: sqlite3.Connection) -> list[Finding]:
    """All that its settings, its integrity and its disk tell."""
    return [*_settings(connection), _integrity(connection), *_room(connection)]


def _settings(connection: sqlite3.Connection) -> Iterator[Finding]:
    mode, level = _pragma(connection, "journal_mode"), int(_pragma(connection, "synchronous"))
    yield Finding("ok", "sqlite", f"SQLite {sqlite3.sqlite_version}, journal_mode={mode}")
    if level < 2:  # NORMAL, in a write-ahead log
        message = "synchronous is not full: a power failure may undo the last commits; a kill not"
        yield Finding("ok" if level else "warning", "sqlite", message)


def _integrity(connection: sqlite3.Connection) -> Finding:
    found = _pragma(connection, "quick_check(1)")
    if found == "ok":
        return Finding("ok", "file", "its integrity is as it should be")
    return Finding("error", "file", f"it is damaged ({found}): restore it from a copy")


def _room(connection: sqlite3.Connection) -> Iterator[Finding]:
    path = next(row[2] for row in connection.execute("PRAGMA database_list") if row[1] == "main")
    free = shutil.disk_usage(path).free
    if free < LEAST_FREE:
        message = f"{free // MEBIBYTE} MiB are free: nothing can be enqueued once it is full"
        yield Finding("warning", "disk", message)
    else:
        yield Finding("ok", "disk", f"{free // MEBIBYTE:,} MiB are free")


def _pragma(connection: sqlite3.Connection, name: str) -> str:
    return str(connection.execute(f"PRAGMA {name}").fetchone()[0])
