"""A ledger in Postgres by psycopg 3, which whoever connects has installed."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
)
from typing import Any, Generic, TypeVar, cast

from cnstra.effects.statements import Rows, Statement, text_for_psycopg

T = TypeVar("T")

Lend = Callable[[], AbstractContextManager[T]]
"""Lends a `psycopg.Connection`: `pool.connection`, or a function that connects."""

AsyncLend = Callable[[], AbstractAsyncContextManager[T] | Awaitable[T]]
"""Lends a `psycopg.AsyncConnection`: `pool.connection`, or a function that connects."""


class PsycopgDatabase(Generic[T]):
    """Transactions on connections that block."""

    def __init__(self, lend: Lend[T]) -> None:
        self._lend = lend

    @contextmanager
    def transaction(self) -> Generator[T, None, None]:
        with self._lend() as lent:
            connection: Any = lent
            with connection.transaction():
                yield lent

    def execute(self, within: T, statement: Statement) -> Rows:
        connection: Any = within
        with connection.cursor(row_factory=_as_tuples) as cursor:
            cursor.execute(text_for_psycopg(statement.name), statement.parameters)
            return cast(Rows, cursor.fetchall()) if cursor.description else ()


class AsyncPsycopgDatabase(Generic[T]):
    """Transactions on connections that are awaited."""

    def __init__(self, lend: AsyncLend[T]) -> None:
        self._lend = lend

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[T, None]:
        lent = self._lend()
        lender = lent if isinstance(lent, AbstractAsyncContextManager) else await lent
        async with cast(AbstractAsyncContextManager[T], lender) as got:
            connection: Any = got
            async with connection.transaction():
                yield got

    async def execute(self, within: T, statement: Statement) -> Rows:
        connection: Any = within
        async with connection.cursor(row_factory=_as_tuples) as cursor:
            await cursor.execute(text_for_psycopg(statement.name), statement.parameters)
            return cast(Rows, await cursor.fetchall()) if cursor.description else ()


def _as_tuples(cursor: object) -> Callable[[Sequence[Any]], tuple[Any, ...]]:
    """The row factory of our own statements, whatever the connection's is."""
    del cursor
    return tuple
