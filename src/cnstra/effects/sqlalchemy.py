"""A ledger in the database of a SQLAlchemy 2 engine or session maker."""

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from typing import Any, Generic, TypeVar, Unpack, cast, overload

from cnstra.effects.ledger import Ledger, LedgerOptions
from cnstra.effects.statements import Rows, Statement, text
from cnstra.errors import MissingExtra, Unsupported

__all__ = ["on_sqlalchemy"]

try:
    import sqlalchemy
    from sqlalchemy import Connection, Engine, TextClause
    from sqlalchemy.ext.asyncio import (
        AsyncConnection,
        AsyncEngine,
        AsyncSession,
        async_sessionmaker,
    )
    from sqlalchemy.orm import Session, sessionmaker
except ImportError as error:
    raise MissingExtra(what="A ledger on SQLAlchemy", extra="sqlalchemy", reason=error) from error

S = TypeVar("S", bound=Session)
A = TypeVar("A", bound=AsyncSession)
DIALECTS = ("postgresql", "sqlite")


class EngineDatabase:
    """Connections of an engine that blocks."""

    def __init__(self, engine: Engine) -> None:
        _require_dialect(engine.dialect.name)
        self._engine = engine

    @contextmanager
    def transaction(self) -> Generator[Connection, None, None]:
        with self._engine.begin() as connection:
            yield connection

    def execute(self, within: Connection, statement: Statement) -> Rows:
        result = within.execute(_clause(statement.name), statement.parameters)
        return [tuple(row) for row in result] if result.returns_rows else ()


class SessionDatabase(Generic[S]):
    """Sessions that block."""

    def __init__(self, make: sessionmaker[S]) -> None:
        self._make = make

    @contextmanager
    def transaction(self) -> Generator[S, None, None]:
        with self._make() as session, session.begin():
            _require_dialect(session.get_bind().dialect.name)
            yield session

    def execute(self, within: S, statement: Statement) -> Rows:
        result = within.connection().execute(_clause(statement.name), statement.parameters)
        return [tuple(row) for row in result] if result.returns_rows else ()


class AsyncEngineDatabase:
    """Connections of an engine that is awaited."""

    def __init__(self, engine: AsyncEngine) -> None:
        _require_dialect(engine.dialect.name)
        self._engine = engine

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[AsyncConnection, None]:
        async with self._engine.begin() as connection:
            yield connection

    async def execute(self, within: AsyncConnection, statement: Statement) -> Rows:
        result = await within.execute(_clause(statement.name), statement.parameters)
        return [tuple(row) for row in result] if result.returns_rows else ()


class AsyncSessionDatabase(Generic[A]):
    """Sessions that are awaited."""

    def __init__(self, make: async_sessionmaker[A]) -> None:
        self._make = make

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[A, None]:
        async with self._make() as session, session.begin():
            _require_dialect(session.get_bind().dialect.name)
            yield session

    async def execute(self, within: A, statement: Statement) -> Rows:
        connection = await within.connection()
        result = await connection.execute(_clause(statement.name), statement.parameters)
        return [tuple(row) for row in result] if result.returns_rows else ()


@cache
def _clause(name: str) -> TextClause:
    return sqlalchemy.text(text(name))


def _require_dialect(name: str) -> None:
    if name not in DIALECTS:
        remedy = "keep the ledger in Postgres or SQLite, where the rows are that it speaks of"
        raise Unsupported(broker=f"The ledger on {name}", what="this SQL", remedy=remedy)


@overload
def on_sqlalchemy(source: Engine, **options: Unpack[LedgerOptions]) -> Ledger[Connection]: ...
@overload
def on_sqlalchemy(
    source: AsyncEngine, **options: Unpack[LedgerOptions]
) -> Ledger[AsyncConnection]: ...
@overload
def on_sqlalchemy(source: sessionmaker[S], **options: Unpack[LedgerOptions]) -> Ledger[S]: ...
@overload
def on_sqlalchemy(source: async_sessionmaker[A], **options: Unpack[LedgerOptions]) -> Ledger[A]: ...
def on_sqlalchemy(source: Any, **options: Unpack[LedgerOptions]) -> Ledger[Any]:
    """A ledger in the database of an engine or of a session maker, whose life is its maker's.

    Async ones are for async handlers, the others for sync ones. Raises `Unsupported` for a
    database that is neither Postgres nor SQLite.
    """
    match source:
        case Engine():
            return Ledger(EngineDatabase(source), **options)
        case AsyncEngine():
            return Ledger(AsyncEngineDatabase(source), **options)
        case async_sessionmaker():
            make = cast(async_sessionmaker[AsyncSession], source)
            return Ledger(AsyncSessionDatabase(make), **options)
        case _:
            return Ledger(SessionDatabase(source), **options)
