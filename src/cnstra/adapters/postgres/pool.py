"""The connections of a process: a few, made when they are needed, made again when they are lost."""

import asyncio
import os
import select
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from cnstra.adapters.postgres.faults import Unreachable
from cnstra.adapters.postgres.location import Location

Row = tuple[Any, ...]
Connection = psycopg.AsyncConnection[Row]

PATIENCE = 15.0
"""Seconds for which an answer is waited for."""


async def connect(location: Location) -> Connection:
    """Connect. Nothing is prepared and nothing set, so a pooler may give each query another server
    connection.
    """
    connection: Connection = await psycopg.AsyncConnection.connect(
        location.conninfo, autocommit=True, prepare_threshold=None
    )
    return connection


@contextmanager
def impatiently(connection: Connection) -> Generator[None, None, None]:
    """Hang up on a server that has not answered within `PATIENCE` by the end of the block."""
    timer = asyncio.get_running_loop().call_later(PATIENCE, _hang_up, connection)
    try:
        yield
    finally:
        timer.cancel()


class Pool:
    """Lends connections, `location.connections` at once at most."""

    def __init__(self, location: Location) -> None:
        self._location = location
        self._slots = asyncio.Semaphore(location.connections)
        self._idle: list[Connection] = []
        self.is_closed = False

    async def ask(self, query: bytes, parameters: Any = None) -> list[Row]:
        """The rows that one statement returns, committed. It is asked once, whatever happens."""
        async with self.lent() as connection:
            cursor = connection.cursor(binary=True)
            await cursor.execute(query, parameters)
            return await cursor.fetchall() if cursor.description else []

    @asynccontextmanager
    async def lent(self) -> AsyncGenerator[Connection, None]:
        """A connection, for as long as the block runs."""
        async with self._slots:
            if self.is_closed:
                raise Unreachable("it is closed")
            connection = self._at_hand() or await connect(self._location)
            try:
                with impatiently(connection):
                    yield connection
            finally:
                await self._take_back(connection)

    async def close(self) -> None:
        """Hang up. What is in flight comes to its end."""
        self.is_closed = True
        while self._idle:
            await self._idle.pop().close()

    def _at_hand(self) -> Connection | None:
        """An idle connection that the server has not hung up meanwhile."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed and not _has_something_to_say(connection):
                return connection
            connection.pgconn.finish()
        return None

    async def _take_back(self, connection: Connection) -> None:
        is_fit = connection.info.transaction_status is TransactionStatus.IDLE
        if self.is_closed or not is_fit:
            await connection.close()
        else:
            self._idle.append(connection)


def _has_something_to_say(connection: Connection) -> bool:
    """Whether an idle connection can be read from: the server takes its leave then."""
    waits = select.poll()
    waits.register(connection.fileno(), select.POLLIN)
    return bool(waits.poll(0))


def _hang_up(connection: Connection) -> None:
    """End the connection below libpq: whoever waits for an answer hears of it at once."""
    copy = os.dup(connection.fileno())
    with suppress(OSError), socket.socket(fileno=copy) as wire:
        wire.shutdown(socket.SHUT_RDWR)
