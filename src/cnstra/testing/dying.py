"""A broker and a store that kill their process between two lines of a commit."""

import asyncio
import os
import signal
from collections.abc import Awaitable
from typing import Any, TypeVar, cast

from cnstra.durable.store import Patch, ProgressStore, Ticket
from cnstra.jobs.broker import Broker, CompletesTogether
from cnstra.jobs.settlement import Delivery, Settlement

T = TypeVar("T")

COMMIT_POINTS = ("commit", "committing", "committed")
FINISH_POINTS = ("finish", "finishing", "finished")
SETTLE_POINTS = ("settle", "settling", "settled")
"""Before it is sent, while it is on its way, and once it has landed."""


class Death:
    """Comes by SIGKILL when its point is passed for the n-th time."""

    def __init__(self, point: str, number: int) -> None:
        self._point = point
        self._left = number

    def passes(self, point: str) -> None:
        if point == self._point:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    async def over(self, points: tuple[str, str, str], call: Awaitable[T]) -> T:
        """Await the call, and pass the points before, during and after it."""
        before, during, after = points
        self.passes(before)
        sent = asyncio.ensure_future(call)
        await asyncio.sleep(0)
        self.passes(during)
        answer = await sent
        self.passes(after)
        return answer


class DyingStore:
    """A progress store at whose writes the process dies."""

    def __init__(self, inner: ProgressStore, death: Death) -> None:
        self._inner = inner
        self._death = death

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def commit(self, ticket: Ticket, patch: Patch) -> None:
        await self._death.over(COMMIT_POINTS, self._inner.commit(ticket, patch))

    async def finish(self, ticket: Ticket, result: bytes, keep: float | None) -> None:
        await self._death.over(FINISH_POINTS, self._inner.finish(ticket, result, keep))


class DyingBroker:
    """A broker at whose settlements the process dies."""

    def __init__(self, inner: Broker, death: Death) -> None:
        self._inner = inner
        self._death = death
        self.store: Any = inner.store and DyingStore(inner.store, death)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def settle(
        self, delivery: Delivery, settlement: Settlement, ticket: Any, ahead: Any = None
    ) -> Any:
        call = self._inner.settle(delivery, settlement, ticket, ahead)
        return await self._death.over(SETTLE_POINTS, call)

    async def complete(self, over: Any, ahead: Any) -> Any:
        call = cast(CompletesTogether, self._inner).complete(over, ahead)
        return await self._death.over(SETTLE_POINTS, call)
