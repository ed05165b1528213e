"""Waiting for something to happen: a job for a worker, an event for those who look."""

import asyncio
import logging

from cnstra.adapters.bullmq.client import Client
from cnstra.adapters.bullmq.connection import Refused, Unreachable
from cnstra.adapters.bullmq.events import number_of, stream_id
from cnstra.clock import Clock, pause

logger = logging.getLogger("cnstra.jobs")

LONGEST_BLOCK = 5.0
"""Seconds for which Redis is asked to hold a request back: fewer than a silent connection is
trusted.
"""
PAUSE = 0.2
"""Seconds until who could not listen looks by himself, and listens again."""


class Marker:
    """BullMQ's marker, by which an idle worker hears of a job that is due. It has its own
    connection.
    """

    def __init__(self, client: Client, key: bytes) -> None:
        self._client = client
        self._key = key
        self._rung = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None
        self._failures = 0
        self._waiting = 0

    def open(self) -> None:
        """It connects with its first use: who only enqueues has no need of it."""
        self._client.allow()

    async def wait(self, clock: Clock, duration: float, *, listen: bool) -> None:
        """Return when a job may be due, or after `duration` seconds.

        listen: whether to take the marker; who could not take a job now leaves it to others.
        """
        self._rung.clear()
        if listen and (self._listening is None or self._listening.done()):
            self._listening = asyncio.ensure_future(self._listen(min(duration, LONGEST_BLOCK)))
        self._waiting += 1
        try:
            await pause(clock, duration, self._rung)
        finally:
            self._waiting -= 1

    async def close(self) -> None:
        self._rung.set()
        if self._listening is not None:
            self._listening.cancel()
        await self._client.close()

    async def _listen(self, duration: float) -> None:
        try:
            found = await self._client.call(b"BZPOPMIN", self._key, round(max(duration, 0.01), 3))
            if found is not None and not self._waiting:
                # Whoever asked has left: the marker is for another worker.
                await self._client.call(b"ZADD", self._key, found[2], found[1])
            self._failures = 0
        except (Unreachable, Refused) as error:
            await self._do_without(error)
        self._rung.set()

    async def _do_without(self, error: Exception) -> None:
        """A lost connection is made again, and no news; what fails twice in a row is told, once."""
        self._failures += 1
        if self._failures == 2:
            logger.warning(
                "Redis does not let this worker wait for jobs (%s): it looks every %g s.",
                error, PAUSE,
            )  # fmt: skip
        await asyncio.sleep(PAUSE)


class Follower:
    """Follows the event stream for as long as somebody waits for it. It has its own connection."""

    def __init__(self, client: Client, key: bytes) -> None:
        self._client = client
        self._key = key
        self._newest = 0
        self._changed = asyncio.Event()
        self._following: asyncio.Task[None] | None = None
        self._waiting = 0

    def open(self) -> None:
        """It connects with its first use: who only enqueues has no need of it."""
        self._client.allow()

    @property
    def newest(self) -> int:
        """The number of the newest event that it has heard of."""
        return self._newest

    async def wait(self, clock: Clock, duration: float, since: int) -> None:
        """Return when an event above `since` was told, or after `duration` seconds."""
        if self._newest > since:
            return
        changed = self._changed
        self._waiting += 1
        try:
            if self._following is None or self._following.done():
                self._following = asyncio.ensure_future(self._follow())
            await pause(clock, duration, changed)
        finally:
            self._waiting -= 1

    def catch_up(self, newest: int) -> None:
        """Events up to this one are known already."""
        self._newest = max(self._newest, newest)

    async def close(self) -> None:
        self._ring()
        if self._following is not None:
            self._following.cancel()
        await self._client.close()

    async def _follow(self) -> None:
        """A lost connection only ends this round: whoever waits asks the queue itself, and waits
        again.
        """
        while self._waiting:
            try:
                found = await self._client.call(
                    b"XREAD", b"BLOCK", round(LONGEST_BLOCK * 1000), b"COUNT", 1000,
                    b"STREAMS", self._key, stream_id(self._newest),
                )  # fmt: skip
            except (Unreachable, Refused):
                await asyncio.sleep(PAUSE)
                self._ring()
                continue
            if found:
                self.catch_up(number_of(found[0][1][-1][0]))
                self._ring()

    def _ring(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
