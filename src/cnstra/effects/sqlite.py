"""A ledger in a SQLite file, by Python's own `sqlite3`."""

import sqlite3
from collections.abc import Callable, Generator
from contextlib import contextmanager
from os import PathLike

from cnstra.effects.statements import Rows, Statement, text

PATIENCE = 30.0
"""Seconds to wait for another writer: a SQLite file has one at a time."""

Connect = Callable[[], sqlite3.Connection]


class SQLiteDatabase:
    """Opens a connection for each transaction, so that any thread may have one."""

    def __init__(self, place: str | PathLike[str] | Connect) -> None:
        self._connect: Connect = (
            place if callable(place) else lambda: sqlite3.connect(place, timeout=PATIENCE)
        )

    @contextmanager
    def transaction(self) -> Generator[sqlite3.Connection, None, None]:
        connection = self._connect()
        try:
            connection.isolation_level = None  # we alone say when it begins and ends
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        finally:
            connection.close()

    def execute(self, within: sqlite3.Connection, statement: Statement) -> Rows:
        cursor = within.cursor()
        cursor.row_factory = None
        return cursor.execute(text(statement.name), statement.parameters).fetchall()
