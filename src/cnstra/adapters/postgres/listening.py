"""Hearing of what others did: notifications on their own connection, and a look now and then."""

import asyncio
from contextlib import suppress

import psycopg

from cnstra.adapters.postgres.database import Database
from cnstra.adapters.postgres.faults import is_of_the_server
from cnstra.adapters.postgres.pool import Connection, connect, impatiently
from cnstra.errors import BrokerUnavailable

LOOK_EVERY = 1.0
"""Seconds between two looks at the newest event, for whatever a notification did not tell."""
POLL = 0.1
"""The same, where there are no notifications."""
PAUSE = 0.2
"""Seconds until a lost connection is made again."""


class Listener:
    """Rings when something may have changed in a queue: `jobs` when a job may be had, `changes` at
    anything. It connects with its first use: who only enqueues has no need of it.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queue = 0
        self._channel = ""
        self._listening: asyncio.Task[None] | None = None
        self._is_ready = asyncio.Event()
        self._newest = 0
        self.is_closed = True
        self.generation = 0
        self.jobs = asyncio.Event()
        self.changes = asyncio.Event()

    def about(self, queue: int, channel: str, newest: int) -> None:
        """Which queue this is about, from its `newest` event on."""
        self._queue, self._channel, self._newest = queue, channel, newest
        self.is_closed = False
        self._is_ready.clear()

    async def ready(self) -> None:
        """Return when nothing that happens from now on is missed; or the server is away, and all
        will be told to look once it is back.
        """
        if self._listening is None and not self.is_closed:
            self._listening = asyncio.ensure_future(self._live())
        await self._is_ready.wait()

    def ring(self) -> None:
        """Wake all."""
        self._ring_changes()
        self._ring_jobs()

    async def close(self) -> None:
        """Wake all, and hang up."""
        self.is_closed = True
        listening, self._listening = self._listening, None
        if listening is not None:
            listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening
        self._is_ready.set()
        self.ring()

    # --- inside

    def _ring_changes(self) -> None:
        self.generation += 1
        self.changes.set()
        self.changes = asyncio.Event()

    def _ring_jobs(self) -> None:
        self.jobs.set()
        self.jobs = asyncio.Event()

    async def _live(self) -> None:
        follow = self._listen if self._database.location.listens else self._poll
        while True:
            try:
                await follow()
            except (psycopg.Error, BrokerUnavailable, OSError) as error:
                if not isinstance(error, BrokerUnavailable) and not is_of_the_server(error):
                    raise
            self._is_ready.set()
            await asyncio.sleep(PAUSE)

    async def _listen(self) -> None:
        connection = await connect(self._database.location)
        try:
            with impatiently(connection):
                await connection.execute(f'LISTEN "{self._channel}"'.encode())
            while True:  # first a look, for whatever happened while nobody listened
                await self._look()
                self._is_ready.set()
                await self._hear(connection)
        finally:
            await connection.close()

    async def _hear(self, connection: Connection) -> None:
        async for told in connection.notifies(timeout=LOOK_EVERY):
            if told.payload == "jobs":
                self._ring_jobs()
            self._ring_changes()

    async def _poll(self) -> None:
        while True:
            await self._look()
            self._is_ready.set()
            await asyncio.sleep(POLL)

    async def _look(self) -> None:
        """Ring if there is news that nobody has told."""
        found = await self._database.ask("newest_event", {"queue": self._queue}, BrokerUnavailable)
        newest = found[0][0] if found else 0
        if newest != self._newest:
            self._newest = newest
            self.ring()
