"""NATS, as broker and store see it: connected again when it was lost, never asked twice."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import nats.errors
from nats.aio.msg import Msg

from cnstra.adapters.nats.connection import NOBODY_ANSWERS, Connection, Unreachable
from cnstra.adapters.nats.location import Location

CONNECT_TIMEOUT = 5.0

T = TypeVar("T")

Prepare = Callable[[Connection], Awaitable[None]]


def _drop(_: Msg) -> None:
    """Nobody waits for it."""


class Client:
    """One connection, made when it is needed.

    prepare: makes what is missing there, once per connection.
    """

    def __init__(
        self, location: Location, prepare: Prepare, on_stray: Callable[[Msg], None] = _drop
    ) -> None:
        self.location = location
        self._prepare = prepare
        self._on_stray = on_stray
        self._connection: Connection | None = None
        self._connecting: asyncio.Task[Connection] | None = None
        self._max_payload = 0
        self._is_closed = True

    async def open(self) -> None:
        """Connect. Raises `Unreachable`, and what `prepare` raises."""
        self._is_closed = False
        await self.connection()

    async def close(self) -> None:
        """Hang up. Harmless when called twice."""
        self._is_closed = True
        connecting = self._connecting
        if connecting is not None:
            connecting.cancel()
            await asyncio.wait({connecting})
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def ask(self, subject: str, body: bytes) -> Msg:
        return await self._with(lambda one: one.ask(subject, body))

    async def api(self, call: str, **request: Any) -> dict[str, Any]:
        return await self._with(lambda one: one.api(call, **request))

    async def publish(self, subject: str, body: bytes, headers: dict[str, str]) -> int:
        return await self._with(lambda one: one.publish(subject, body, headers))

    async def pull(self, subject: str, batch: int, wait: float | None) -> list[Msg]:
        return await self._with(lambda one: one.pull(subject, batch, wait))

    @property
    def max_payload(self) -> int:
        """Bytes of a message, as the server said last. Known once it was open."""
        return self._max_payload

    async def connection(self) -> Connection:
        """The connection that stands, or a new one."""
        if self._connection is not None and self._connection.lost is None:
            return self._connection
        if self._is_closed:
            raise Unreachable("it is closed")
        if self._connecting is None:
            self._connecting = asyncio.ensure_future(self._connect())
            self._connecting.add_done_callback(self._has_connected)
        return await asyncio.shield(self._connecting)

    # --- inside

    async def _with(self, call: Callable[[Connection], Awaitable[T]]) -> T:
        connection = await self.connection()
        try:
            return await call(connection)
        except Unreachable as error:
            if str(error) == NOBODY_ANSWERS:  # a stream is gone: the next connection makes it anew
                await connection.close()
            raise

    def _has_connected(self, connecting: asyncio.Task[Connection]) -> None:
        self._connecting = None
        if not connecting.cancelled():
            connecting.exception()

    async def _connect(self) -> Connection:
        """Connect to the first server that answers, and prepare what we need there."""
        reasons: list[str] = []
        for server in self.location.servers:
            connection = Connection(self._on_stray)
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT):
                    await connection.connect(server, self.location)
                await self._prepare(connection)
            except TimeoutError:
                reasons.append(f"no connection within {CONNECT_TIMEOUT:g} s")
                await connection.close()
            except (OSError, nats.errors.Error, Unreachable) as error:
                reasons.append(str(error) or type(error).__name__)
                await connection.close()
            except BaseException:
                await connection.close()
                raise
            else:
                self._connection = connection
                self._max_payload = connection.max_payload
                return connection
            await connection.close()
        raise Unreachable("; ".join(dict.fromkeys(reasons)))
