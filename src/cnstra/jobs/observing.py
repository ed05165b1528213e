"""Whoever looks on while jobs are sent and run: traces, metrics, logs. No one who looks on decides.

What an observer raises is logged, and changes nothing for the job.
"""

import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from typing import Protocol

from cnstra.engine.cns import CNS
from cnstra.jobs.attempt import Settled
from cnstra.jobs.queue import Queue
from cnstra.jobs.settlement import Delivery

__all__ = ["Observer", "Onlooker"]

logger = logging.getLogger("cnstra.jobs")

Work = Callable[[], Awaitable[Settled]]


class Observer(Protocol):
    """Looks on at a worker."""

    def watch(self, cns: CNS) -> None:
        """The worker is made: wrap the handlers of its graph, if need be, once for all."""
        ...

    def at_work(self, queue: Queue) -> AbstractAsyncContextManager[object]:
        """Entered while the worker runs."""
        ...

    async def attempt(self, queue: Queue, delivery: Delivery, work: Work) -> Settled:
        """Do the work of one attempt, in a task of its own, and return what came of it."""
        ...


class Onlooker(Observer):
    """An `Observer` that sees nothing yet, to be built upon."""

    def watch(self, cns: CNS) -> None:
        del cns

    def at_work(self, queue: Queue) -> AbstractAsyncContextManager[object]:
        del queue
        return nullcontext()

    async def attempt(self, queue: Queue, delivery: Delivery, work: Work) -> Settled:
        del queue, delivery
        return await work()


def seen_by(observers: list[Observer], queue: Queue, delivery: Delivery, work: Work) -> Work:
    """The work, with all of them looking on: the first one outermost."""
    for one in reversed(observers):
        work = partial(_watched, one, queue, delivery, work)
    return work


async def _watched(observer: Observer, queue: Queue, delivery: Delivery, work: Work) -> Settled:
    """The work under one of them. It is done once, whatever becomes of who looks on."""
    done: list[Settled] = []

    async def once() -> Settled:
        if not done:
            done.append(await work())
        return done[0]

    try:
        await observer.attempt(queue, delivery, once)
    except Exception:
        logger.exception("An observer of job %r raised; the job itself goes on.", delivery.job_id)
    return await once()
