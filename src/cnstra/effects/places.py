"""Where a ledger may live, but for what needs packages of its own."""

import sqlite3
from os import PathLike
from typing import TypeVar, Unpack

from cnstra.effects.ledger import Ledger, LedgerOptions
from cnstra.effects.psycopg import AsyncLend, AsyncPsycopgDatabase, Lend, PsycopgDatabase
from cnstra.effects.sqlite import Connect, SQLiteDatabase

T = TypeVar("T")


def on_sqlite(
    place: str | PathLike[str] | Connect, **options: Unpack[LedgerOptions]
) -> Ledger[sqlite3.Connection]:
    """A ledger in a SQLite file, or in what a function connects to, for sync handlers.

    Each transaction has a connection of its own, and begins by `BEGIN IMMEDIATE`.
    """
    return Ledger(SQLiteDatabase(place), **options)


def on_psycopg(lend: Lend[T], **options: Unpack[LedgerOptions]) -> Ledger[T]:
    """A ledger in Postgres, by psycopg 3, for sync handlers.

    lend: lends a connection for a `with` block, as a pool's `connection` does, or
        `lambda: psycopg.connect(url)`.
    """
    return Ledger(PsycopgDatabase(lend), **options)


def on_psycopg_async(lend: AsyncLend[T], **options: Unpack[LedgerOptions]) -> Ledger[T]:
    """A ledger in Postgres, by psycopg 3, for async handlers.

    lend: lends a connection for an `async with` block, as an async pool's `connection` does, or
        `lambda: psycopg.AsyncConnection.connect(url)`.
    """
    return Ledger(AsyncPsycopgDatabase(lend), **options)
