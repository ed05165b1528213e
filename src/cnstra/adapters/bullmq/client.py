"""Redis, as broker and store see it: connected again when it was lost, never asked twice."""

import asyncio
from typing import Any

from cnstra.adapters.bullmq.connection import (
    Connection,
    Disconnected,
    Part,
    Refused,
    Unreachable,
)
from cnstra.adapters.bullmq.location import Location
from cnstra.adapters.bullmq.scripts import Script

CONNECT_TIMEOUT = 5.0
PATIENCE = 10.0


class Client:
    """One connection, made when it is needed.

    A call that was in flight when the connection was lost raises `Unreachable`: it may have been
    carried out or not, and only the caller knows whether to ask again.
    """

    def __init__(self, location: Location, *, patience: float = PATIENCE) -> None:
        self.location = location
        self._patience = patience
        self._connection: Connection | None = None
        self._connecting: asyncio.Task[Connection] | None = None
        self._loading: dict[Script, asyncio.Task[Any]] = {}
        self.is_closed = True

    async def open(self) -> None:
        """Connect. Raises `Unreachable` within `CONNECT_TIMEOUT`."""
        self.allow()
        await self._connected()

    def allow(self) -> None:
        """Connect from now on, once it is asked something."""
        self.is_closed = False

    async def close(self) -> None:
        """Hang up. Harmless when called twice."""
        self.is_closed = True
        if self._connecting is not None:
            self._connecting.cancel()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def call(self, *parts: Part) -> Any:
        """Ask once. Raises `Unreachable`; `Refused` for what is wrong with the command itself."""
        connection = self._live or await self._connected()
        return await connection.call(*parts)

    async def run(self, script: Script, *parts: Part, is_chunk: bool = False) -> Any:
        """Run a script by its digest: `parts` are its one key and its arguments.

        A server that does not know it has run nothing, so it is loaded and asked again.
        """
        for _ in range(3):
            connection = self._live or await self._connected()
            try:
                return await connection.call(b"EVALSHA", script.sha, 1, *parts, is_chunk=is_chunk)
            except Refused as error:
                if not str(error).startswith("NOSCRIPT"):
                    raise
            await self._load(script)
        raise Unreachable("its scripts are flushed as fast as they are loaded")

    @property
    def _live(self) -> Connection | None:
        """The connection, if there is one that is not lost."""
        connection = self._connection
        return None if connection is None or connection.lost is not None else connection

    async def _load(self, script: Script) -> None:
        """Load a script, once for all that wait for it."""
        loading = self._loading.get(script)
        if loading is None:
            loading = asyncio.ensure_future(self.call(b"SCRIPT", b"LOAD", script.source))
            self._loading[script] = loading
            loading.add_done_callback(lambda _: self._loading.pop(script, None))
        await asyncio.shield(loading)

    async def _connected(self) -> Connection:
        if self.is_closed:
            raise Unreachable("it is closed")
        if self._connecting is None:
            self._connecting = asyncio.ensure_future(self._connect())
            self._connecting.add_done_callback(self._has_connected)
        return await asyncio.shield(self._connecting)

    def _has_connected(self, connecting: asyncio.Task[Connection]) -> None:
        self._connecting = None
        if not connecting.cancelled():
            connecting.exception()

    async def _connect(self) -> Connection:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                self._connection = await self._greet(await self._dial())
        except TimeoutError as error:
            raise Unreachable(f"no connection within {CONNECT_TIMEOUT:g} s") from error
        except OSError as error:
            raise Unreachable(str(error) or type(error).__name__) from error
        return self._connection

    async def _dial(self) -> Connection:
        place, loop = self.location, asyncio.get_running_loop()

        def connection() -> Connection:
            return Connection(self._patience)

        if place.path is not None:
            _, made = await loop.create_unix_connection(connection, place.path)
        else:
            _, made = await loop.create_connection(
                connection, place.host, place.port, ssl=place.tls
            )
        return made

    async def _greet(self, connection: Connection) -> Connection:
        """Say who we are; a server that is still loading its data turns us away here."""
        place = self.location
        try:
            if place.password is not None:
                who = [place.username] if place.username else []
                await connection.call("AUTH", *who, place.password)
            if place.database:
                await connection.call("SELECT", place.database)
            await connection.call("PING")
        except Disconnected:
            raise
        except (Refused, Unreachable) as error:
            connection.close()
            raise Unreachable(f"it refused us: {error}") from error
        except BaseException:
            connection.close()
            raise
        return connection
