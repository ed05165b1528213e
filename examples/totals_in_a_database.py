"""The branches of a fan-out, run by several workers, add to one table: none is lost, none twice.

python examples/totals_in_a_database.py [sqlite3 | sqlalchemy | engine | psycopg] [DATABASE] [URL]

sqlite3, psycopg: the plain drivers; sqlalchemy: its async engine; engine: its sync one, in threads.

The database adds, in one statement, so that no two workers write back what they read before. Each
branch leaves a row under its idempotency key, in the same transaction: one that is run again finds
it, and adds nothing.
"""

import asyncio
import sqlite3
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from typing import NamedTuple, Protocol, TypedDict

import psycopg
import sqlalchemy
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from cnstra import CNS, Collateral, Context, Queue, Resource, Signal, Worker, collateral, neuron

TABLES = (
    "CREATE TABLE IF NOT EXISTS parts (key TEXT PRIMARY KEY, product TEXT, amount INTEGER)",
    "CREATE TABLE IF NOT EXISTS totals (product TEXT PRIMARY KEY, amount INTEGER)",
)
KEEP = "INSERT INTO parts VALUES (:key, :product, :amount) ON CONFLICT DO NOTHING"
ADD = """
INSERT INTO totals VALUES (:product, :amount)
ON CONFLICT (product) DO UPDATE SET amount = totals.amount + excluded.amount
"""
READ = "SELECT product, amount FROM totals ORDER BY product"


class Part(TypedDict):
    key: str
    product: str
    amount: int


class Totals(Protocol):
    """What a worker does to the tables, whatever talks to them."""

    async def add(self, part: Part) -> None: ...

    async def read(self) -> dict[str, int]: ...


class WithSQLite3:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._turn = asyncio.Lock()  # a connection has one transaction at a time

    async def add(self, part: Part) -> None:
        async with self._turn:
            await asyncio.to_thread(self._add, part)

    def _add(self, part: Part) -> None:
        with self._connection as transaction:
            if transaction.execute(KEEP, part).rowcount:
                transaction.execute(ADD, part)

    async def read(self) -> dict[str, int]:
        return dict(self._connection.execute(READ).fetchall())


@asynccontextmanager
async def with_sqlite3(database: str) -> AsyncGenerator[Totals]:
    with closing(sqlite3.connect(database, check_same_thread=False)) as connection:
        for table in TABLES:
            connection.execute(table)
        yield WithSQLite3(connection)


class WithPsycopg:
    def __init__(self, connection: psycopg.AsyncConnection) -> None:
        self._connection = connection
        self._turn = asyncio.Lock()

    async def add(self, part: Part) -> None:
        async with self._turn, self._connection.transaction():
            if (await self._connection.execute(_named(KEEP), part)).rowcount:
                await self._connection.execute(_named(ADD), part)

    async def read(self) -> dict[str, int]:
        return dict(await (await self._connection.execute(READ)).fetchall())


def _named(statement: str) -> bytes:
    """The statement with psycopg's marks for its parameters."""
    for name in ("key", "product", "amount"):
        statement = statement.replace(f":{name}", f"%({name})s")
    return statement.encode()


@asynccontextmanager
async def with_psycopg(database: str) -> AsyncGenerator[Totals]:
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        for table in TABLES:
            await connection.execute(table.encode())
        yield WithPsycopg(connection)


class WithSQLAlchemy:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def add(self, part: Part) -> None:
        async with self._engine.begin() as transaction:
            if (await transaction.execute(text(KEEP), part)).rowcount:
                await transaction.execute(text(ADD), part)

    async def read(self) -> dict[str, int]:
        async with self._engine.connect() as connection:
            found = await connection.execute(text(READ))
            return {row.product: row.amount for row in found}


@asynccontextmanager
async def with_sqlalchemy(database: str) -> AsyncGenerator[Totals]:
    engine = create_async_engine(database)
    try:
        async with engine.begin() as transaction:
            for table in TABLES:
                await transaction.execute(text(table))
        yield WithSQLAlchemy(engine)
    finally:
        await engine.dispose()


class WithEngine:
    def __init__(self, engine: sqlalchemy.Engine) -> None:
        self._engine = engine

    async def add(self, part: Part) -> None:
        await asyncio.to_thread(self._add, part)

    def _add(self, part: Part) -> None:
        with self._engine.begin() as transaction:
            if transaction.execute(text(KEEP), part).rowcount:
                transaction.execute(text(ADD), part)

    async def read(self) -> dict[str, int]:
        with self._engine.connect() as connection:
            return {row.product: row.amount for row in connection.execute(text(READ))}


@asynccontextmanager
async def with_engine(database: str) -> AsyncGenerator[Totals]:
    engine = sqlalchemy.create_engine(database)
    try:
        with engine.begin() as transaction:
            for table in TABLES:
                transaction.execute(text(table))
        yield WithEngine(engine)
    finally:
        engine.dispose()


OPENERS: dict[str, Callable[[str], AbstractAsyncContextManager[Totals]]] = {
    "sqlite3": with_sqlite3,
    "psycopg": with_psycopg,
    "sqlalchemy": with_sqlalchemy,
    "engine": with_engine,
}


class Order(TypedDict):
    lines: list[tuple[str, int]]


class Line(TypedDict):
    product: str
    amount: int


class SplitterAxon(NamedTuple):
    line: Collateral[Line]


order = collateral("order", Order)
line = collateral("line", Line)
totals = Resource[Totals]("totals")
splitter = neuron("splitter", SplitterAxon(line))
booker = neuron("booker", {})

tries: list[int] = []


@splitter.dendrite(order)
def on_order(payload: Order, axon: SplitterAxon) -> list[Signal[Line]]:
    return [
        axon.line.create_signal({"product": product, "amount": amount})
        for product, amount in payload["lines"]
    ]


@booker.dendrite(line)
async def on_line(payload: Line, axon: object, ctx: Context[None]) -> None:
    tries.append(payload["amount"])
    part: Part = {
        "key": ctx.idempotency_key,
        "product": payload["product"],
        "amount": payload["amount"],
    }
    await ctx.resources[totals].add(part)
    if payload["amount"] == 13 and ctx.attempt == 1:
        raise ConnectionError("the line went dead, after the commit")


cns = CNS([splitter, booker])


async def main(driver: str, database: str, url: str) -> None:
    async with Queue("orders", url) as queue, OPENERS[driver](database) as mine:
        for number in range(6):
            lines = [("apples", 1), ("pears", 10), ("apples", 2), ("plums", 10 + number)]
            await queue.enqueue(order.create_signal({"lines": lines}), max_attempts=2)

        def opened() -> AbstractAsyncContextManager[Totals]:
            return OPENERS[driver](database)

        workers = [
            Worker(queue, cns, concurrency=2, resources=[totals.opened_by(opened)])
            for _ in range(3)
        ]
        await asyncio.gather(*(worker.run(until_idle=True) for worker in workers))

        print(f"24 lines were booked, in {len(tries)} tries")
        for product, amount in (await mine.read()).items():
            print(f"{product}: {amount}")


if __name__ == "__main__":
    given = dict(enumerate(sys.argv[1:]))
    asyncio.run(
        main(
            given.get(0, "sqlite3"),
            given.get(1, "totals.db"),
            given.get(2, "sqlite:///totals_jobs.db"),
        )
    )
