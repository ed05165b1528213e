"""Jobs that are added in a transaction of the user's database, and sent once it is committed."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any, TypeVar

import msgspec

from cnstra.clock import Clock
from cnstra.effects.bell import Bell
from cnstra.effects.statements import Statement, Steps
from cnstra.errors import BrokerUnavailable, InvalidOption, StoreUnavailable
from cnstra.jobs.broker import NewJob
from cnstra.jobs.queue import Queue

R = TypeVar("R")

logger = logging.getLogger("cnstra.effects")

CLAIM = 30.0
"""Seconds after which another process sends what one has claimed, and not deleted."""
LOOK_EVERY = 5.0
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0

Ask = Callable[[Steps[Any]], Awaitable[Any]]


class Post(msgspec.Struct, frozen=True):
    """A job on its way: a row of the outbox."""

    key: str
    position: int
    queue: str
    job: NewJob


class Outbox:
    """The rows, and the queues that they go to.

    A job is deleted once its broker has it, so one whose sender dies in between is sent again: by
    the same id and for the same run. A queue that still holds it, or its record, adds it once.
    """

    def __init__(self, ask: Ask, queues: Iterable[Queue], clock: Clock) -> None:
        self._ask = ask
        self._clock = clock
        self._queues = {one.name: one for one in queues}
        self._bell = Bell()

    def require(self, queue: Queue) -> None:
        """Raise `InvalidOption`, unless whoever opens the ledger can send to that queue."""
        if self._queues.get(queue.name) is not queue:
            remedy = "name it to the ledger, queues=[...], so that what a dead process left is sent"
            raise InvalidOption(option="queue", value=queue, remedy=remedy)

    def nudge(self) -> None:
        """There is something to send. May be called on any thread."""
        self._bell.ring()

    async def relay(self) -> None:
        """Send what is there, and what comes, until cancelled."""
        pause = FIRST_PAUSE
        while True:
            heard = self._bell.rings
            try:
                await _to_its_end(self.drain())
            except Exception as error:
                logger.warning("The outbox waits, and is tried again in %.2g s: %s", pause, error)
                await self._clock.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
            else:
                pause = FIRST_PAUSE
                await self._bell.wait(heard, LOOK_EVERY, self._clock)

    async def drain(self) -> int:
        """Send all that nobody else has claimed; how many.

        Raises what a broker raised, once the other queues have theirs.
        """
        sent, errors = 0, list[Exception]()
        for queue in self._queues.values():
            try:
                sent += await self._drain_to(queue)
            except Exception as error:
                errors.append(error)
        if errors:
            raise errors[0]
        return sent

    async def _drain_to(self, queue: Queue) -> int:
        sent = 0
        while posts := await self._ask(_claim(queue.name, self._clock.time())):
            try:
                await queue.add([one.job for one in posts])
            except (BrokerUnavailable, StoreUnavailable):
                await self._ask(_each("unclaim", posts))
                raise
            except Exception:
                sent += await self._send_singly(queue, posts)
            else:
                await self._ask(_each("sent", posts))
                sent += len(posts)
        return sent

    async def _send_singly(self, queue: Queue, posts: Sequence[Post]) -> int:
        """Send the jobs beside one that the broker refuses; that one stays, and is tried again."""
        sent: list[Post] = []
        for post in posts:
            try:
                await queue.add([post.job])
                sent.append(post)
            except Exception:
                logger.exception("Job %r stays in the outbox: it is refused.", post.job.id)
        await self._ask(_each("sent", sent))
        return len(sent)


async def _to_its_end(work: Coroutine[Any, Any, object]) -> None:
    """See it through, even if cancelled meanwhile: what is claimed is to be sent."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.gather(task, return_exceptions=True)
        raise


def write(posts: Sequence[Post], now: float) -> Steps[None]:
    """Put the jobs into the outbox, in the transaction that they are part of."""
    for post in posts:
        job = msgspec.json.encode(post.job).decode()
        yield Statement(
            "post",
            {
                "key": post.key,
                "position": post.position,
                "queue": post.queue,
                "job": job,
                "now": now,
            },
        )


def _claim(queue: str, now: float) -> Steps[list[Post]]:
    rows = yield Statement("claim", {"queue": queue, "now": now, "until": now + CLAIM})
    found = sorted(rows, key=lambda row: (row[4], row[0], row[1]))
    return [
        Post(key, position, name, msgspec.json.decode(job, type=NewJob))
        for key, position, name, job, _ in found
    ]


def _each(name: str, posts: Sequence[Post]) -> Steps[None]:
    for post in posts:
        yield Statement(name, {"key": post.key, "position": post.position})
