"""Taking messages: what is there now, several at a time; else one long poll, kept between calls.

An answer of SQS's that nobody waits for would be lost for as long as its messages are leased. So a
call to SQS is never dropped: what it brings is handed to the next who takes, or given back.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from math import ceil
from typing import Any

from cnstra.adapters.sqs.batches import LARGEST
from cnstra.adapters.sqs.letters import ID, SYSTEM, incoming_of
from cnstra.adapters.sqs.place import Place
from cnstra.clock import Clock
from cnstra.errors import BrokerUnavailable
from cnstra.jobs.transport import Incoming

PARALLEL = 10
"""Calls at once, at most, of one who takes many."""
UNCLAIMED = 1.0
"""Seconds after which what a long poll brought is given back, if nobody takes it."""

Call = asyncio.Future[list[Incoming]]


class Receiver:
    """give_back: makes messages visible again."""

    def __init__(
        self, place: Place, clock: Clock, give_back: Callable[[Incoming], Awaitable[None]]
    ) -> None:
        self._place = place
        self._clock = clock
        self._give_back = give_back
        self._polling: Call | None = None
        self._lease = 0
        self._unwanted: set[asyncio.Task[None]] = set()

    @property
    def _most(self) -> int:
        """How many one call may bring: messages of one group must not be taken together."""
        return 1 if self._place.is_fifo else LARGEST

    async def take(self, limit: int, lease: int, wait: float) -> Sequence[Incoming]:
        """Up to `limit` messages. Raises `BrokerUnavailable`."""
        ends_at = self._clock.monotonic() + wait
        if self._polling is not None and lease != self._lease:
            self._leave(self._polling)
        if self._polling is None:
            found = await self._take_now(limit, lease)
            if found:
                return found
        while (left := ends_at - self._clock.monotonic()) > 0:
            polling = self._polling or self._poll(limit, lease)
            await asyncio.wait({polling}, timeout=left)
            if polling.done() and polling is self._polling:
                self._polling = None
                found = polling.result()
                for message in found[limit:]:
                    await self._give_back(message)
                if found:
                    return found[:limit]
        return ()

    async def close(self) -> None:
        """Give back what comes in still."""
        if self._polling is not None:
            self._leave(self._polling)
        while self._unwanted:
            await asyncio.wait(self._unwanted)

    # --- what is there now

    async def _take_now(self, limit: int, lease: int) -> list[Incoming]:
        taking = asyncio.ensure_future(self._all_that_is_there(limit, lease))
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            self._discard(taking)
            raise

    async def _all_that_is_there(self, limit: int, lease: int) -> list[Incoming]:
        """One call, and if it comes back full, as many more as it takes, all at once."""
        found = await self._receive(min(limit, self._most), lease)
        missing = limit - len(found)
        if len(found) < self._most or missing <= 0:
            return found
        calls = min(ceil(missing / self._most), PARALLEL)
        shares = [min(self._most, missing - self._most * index) for index in range(calls)]
        more = await asyncio.gather(
            *(self._receive(share, lease) for share in shares), return_exceptions=True
        )
        return found + [one for each in more if isinstance(each, list) for one in each]

    # --- what comes later

    def _poll(self, limit: int, lease: int) -> Call:
        self._lease = lease
        wait = self._place.location.poll
        self._polling = asyncio.ensure_future(
            self._receive(min(limit, self._most), lease, wait=wait)
        )
        self._polling.add_done_callback(self._offer)
        return self._polling

    def _offer(self, polling: Call) -> None:
        """Leave what was brought to whoever takes next, for a moment."""
        loop = asyncio.get_running_loop()
        loop.call_later(UNCLAIMED, lambda: self._leave(polling))

    def _leave(self, polling: Call) -> None:
        if polling is self._polling:
            self._polling = None
            self._discard(polling)

    def _discard(self, call: Call) -> None:
        self._spawn(self._give_all_back(call))

    async def _give_all_back(self, call: Call) -> None:
        with suppress(BrokerUnavailable):
            for message in await call:
                await self._give_back(message)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._unwanted.add(task)
        task.add_done_callback(self._unwanted.discard)

    async def _receive(self, count: int, lease: int, *, wait: int = 0) -> list[Incoming]:
        asked_at = self._clock.monotonic()
        answer = await self._place.call(
            "ReceiveMessage",
            wait=wait,
            MaxNumberOfMessages=count,
            WaitTimeSeconds=wait,
            VisibilityTimeout=lease,
            MessageSystemAttributeNames=SYSTEM,
            MessageAttributeNames=[ID],
        )
        # The lease began before the answer came; only of a poll that waited it is not known when.
        since = self._clock.monotonic() if wait else asked_at
        return [incoming_of(each, since, lease) for each in answer.get("Messages", ())]
