"""Never run, only checked: a ledger hands out the connection of its database, and handlers keep
their types.
"""

import sqlite3
from typing import NamedTuple, assert_type

import psycopg
from sqlalchemy import Connection, Engine
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session, sessionmaker

from cnstra import Collateral, Context, Queue, Resource, Signal, collateral, neuron
from cnstra.effects import (
    Happened,
    Ledger,
    Transaction,
    on_psycopg_async,
    on_sqlite,
    transactional,
)
from cnstra.effects.sqlalchemy import on_sqlalchemy

order = collateral("order", int)


class Axon(NamedTuple):
    out: Collateral[str]


clerk = neuron("clerk", Axon(collateral("out", str)), context=int)
books = Resource[Ledger[sqlite3.Connection]]("books")
accounts = Resource[Ledger[AsyncConnection]]("accounts")


async def connect() -> psycopg.AsyncConnection:
    return await psycopg.AsyncConnection.connect("")


assert_type(on_sqlite("books.db", keep=60.0, create=True), Ledger[sqlite3.Connection])
assert_type(on_psycopg_async(connect), Ledger[psycopg.AsyncConnection])
books.opened_by(lambda: on_sqlite("books.db"))
accounts.opened_by(lambda: on_sqlite("books.db"))  # type: ignore[arg-type,return-value]  # pyright: ignore[reportArgumentType]


def on_engines(
    engine: Engine,
    async_engine: AsyncEngine,
    make: sessionmaker[Session],
    make_async: async_sessionmaker[AsyncSession],
) -> None:
    assert_type(on_sqlalchemy(engine), Ledger[Connection])
    assert_type(on_sqlalchemy(async_engine), Ledger[AsyncConnection])
    assert_type(on_sqlalchemy(make), Ledger[Session])
    assert_type(on_sqlalchemy(make_async), Ledger[AsyncSession])


@clerk.dendrite(order)
@transactional(books)
def book(n: int, axon: Axon, ctx: Context[int], tx: Transaction[sqlite3.Connection]) -> Signal[str]:
    assert_type(tx.connection, sqlite3.Connection)
    return axon.out.create_signal(str(n))


async def account(
    n: int, axon: Axon, ctx: Context[int], tx: Transaction[AsyncConnection]
) -> None: ...


clerk.dendrite(order, transactional(accounts)(account))
transactional(books)(account)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def effects(ctx: Context[int], queue: Queue, tx: Transaction[AsyncConnection]) -> None:
    async def charge(key: str) -> int:
        return len(key)

    async def find(key: str) -> Happened[int] | None:
        return None

    assert_type(await ctx.once("charge", charge, reconcile=find, ledger=accounts), int)
    assert_type(ctx.once("charge", len, unknown="dead_letter"), int)
    assert_type(tx.enqueue(queue, order.create_signal(1), job_id="one"), str)
    ctx.once("charge", len, unknown="ignore")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
