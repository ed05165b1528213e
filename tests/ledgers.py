"""Ledgers for tests, on each kind of database and connection."""

import sqlite3
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy
from psycopg_pool import AsyncConnectionPool
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import sessionmaker
from sqlalchemy.pool import NullPool

from cnstra import CNS, Context, Resource, collateral, neuron, run_durably
from cnstra.effects import LEDGER, Ledger, Transaction, on_psycopg, on_psycopg_async, on_sqlite
from cnstra.effects import transactional as transactional_on
from cnstra.effects.sqlalchemy import on_sqlalchemy
from tests.postgres_server import call, schema_of

AWAITED = ("psycopg-async", "pool-async", "async-engine", "async-session", "aiosqlite")
BLOCKING = ("sqlite", "psycopg", "engine", "session", "pysqlite")
KINDS = (*AWAITED, *BLOCKING)
ON_SQLITE = ("sqlite", "aiosqlite", "pysqlite")

books: Resource[Ledger[Any]] = Resource("books")
order = collateral("order", int)
booked = collateral("booked", int)
mail = collateral("mail", int)


class Books:
    """A database with a table of rows, and the ledger in it."""

    def __init__(self, kind: str, folder: Path, schema: str | None) -> None:
        self.kind = kind
        self.awaited = kind in AWAITED
        self.calls = 0
        self._file = folder / "books.db"
        self._schema = schema
        self.execute("CREATE TABLE rows (n integer)")

    # --- as a bystander

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        if self._schema is not None:
            return call(self.url, statement)
        with closing(sqlite3.connect(self._file, isolation_level=None)) as connection:
            return connection.execute(statement).fetchall()

    def rows(self) -> list[int]:
        return [n for (n,) in self.execute("SELECT n FROM rows ORDER BY n")]

    def entries(self, what: str = "effect, state") -> list[tuple[Any, ...]]:
        return self.execute(f"SELECT {what} FROM cnstra_ledger ORDER BY created_at, key")

    @property
    def url(self) -> str:
        if self._schema is None:
            return str(self._file)
        server, schema = schema_of(self._schema)
        return f"{server}?options=-csearch_path%3D{schema}"

    # --- as its owner

    @asynccontextmanager
    async def open(self, **options: Any) -> AsyncGenerator[Ledger[Any], None]:
        """The ledger, open, and what it stands on."""
        make: dict[str, Callable[..., Any]] = {
            "sqlite": self._plain, "psycopg": self._plain, "psycopg-async": self._plain,
            "pool-async": self._pool, "engine": self._engine, "session": self._engine,
            "pysqlite": self._engine, "async-engine": self._async_engine,
            "async-session": self._async_engine, "aiosqlite": self._async_engine,
        }  # fmt: skip
        async with (
            make[self.kind](**{"create": True, **options}) as ledger,
            ledger,
        ):
            yield ledger

    @asynccontextmanager
    async def _plain(self, **options: Any) -> AsyncGenerator[Ledger[Any], None]:
        if self.kind == "sqlite":
            yield on_sqlite(self._file, **options)
        elif self.kind == "psycopg":
            yield on_psycopg(lambda: psycopg.connect(self.url), **options)
        else:
            yield on_psycopg_async(lambda: psycopg.AsyncConnection.connect(self.url), **options)

    @asynccontextmanager
    async def _pool(self, **options: Any) -> AsyncGenerator[Ledger[Any], None]:
        async with AsyncConnectionPool(self.url, min_size=1, max_size=4, open=False) as pool:
            yield on_psycopg_async(pool.connection, **options)

    @asynccontextmanager
    async def _engine(self, **options: Any) -> AsyncGenerator[Ledger[Any], None]:
        engine = sqlalchemy.create_engine(self._address("sqlite"), poolclass=NullPool)
        try:
            made = sessionmaker(engine) if self.kind == "session" else engine
            yield on_sqlalchemy(made, **options)  # type: ignore[call-overload]
        finally:
            engine.dispose()

    @asynccontextmanager
    async def _async_engine(self, **options: Any) -> AsyncGenerator[Ledger[Any], None]:
        engine = create_async_engine(self._address("sqlite+aiosqlite"))
        try:
            made = async_sessionmaker(engine) if self.kind == "async-session" else engine
            yield on_sqlalchemy(made, **options)  # type: ignore[call-overload]
        finally:
            await engine.dispose()

    def _address(self, on_file: str) -> str:
        if self._schema is None:
            return f"{on_file}:///{self._file}"
        return self.url.replace("postgresql://", "postgresql+psycopg://")

    # --- a graph

    def insert(self, tx: Transaction[Any], n: int) -> Any:
        """Insert a row in the handler's transaction; to be awaited where the database is."""
        statement: Any = f"INSERT INTO rows VALUES ({n})"
        if self.kind not in ("sqlite", "psycopg", "psycopg-async", "pool-async"):
            statement = sqlalchemy.text(statement)
        return tx.connection.execute(statement)

    def cns(self, ledger: Ledger[Any], body: Any = None, **options: Any) -> CNS:
        """A clerk who books an order in a transaction: `body(n, axon, ctx, tx)`, or a row."""

        async def awaited(n: int, axon: Any, ctx: Context[Any], tx: Transaction[Any]) -> Any:
            self.calls += 1
            await self.insert(tx, n)
            found = None if body is None else await body(n, axon, ctx, tx)
            return axon.booked.create_signal(n + self.calls) if found is None else found

        def blocking(n: int, axon: Any, ctx: Context[Any], tx: Transaction[Any]) -> Any:
            self.calls += 1
            self.insert(tx, n)
            found = None if body is None else body(n, axon, ctx, tx)
            return axon.booked.create_signal(n + self.calls) if found is None else found

        clerk = neuron("clerk", {"booked": booked}, context=int)
        handler = transactional_on(books)(awaited if self.awaited else blocking)  # pyright: ignore
        if not self.awaited:
            options = {"in_thread": True, **options}
        clerk.dendrite(order, handler, **options)  # type: ignore[call-overload]
        return CNS([clerk], resources=[books.of(ledger), LEDGER.of(ledger)])


_stores = iter(range(10**9))


async def attempt(cns: CNS, n: int, *, key: str = "run", results: Any = (booked,)) -> list[Any]:
    """A run of that key whose worker knows of no other attempt: its progress is lost."""
    store = f"memory://lost-{key}-{next(_stores)}"
    found = await run_durably(cns, order.create_signal(n), key=key, store=store, results=results)
    return list(found["results"])


@contextmanager
def new_books(kind: str, folder: Path, schema: str | None) -> Generator[Books, None, None]:
    if kind in ON_SQLITE:
        yield Books(kind, folder, None)
        return
    assert schema is not None
    server, name = schema_of(schema)
    call(server, f"CREATE SCHEMA {name}")
    yield Books(kind, folder, schema)
