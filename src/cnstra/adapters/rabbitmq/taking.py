"""Taking messages: as many channels as there are free hands, each with one message at most."""

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine, Sequence
from typing import Any

from aio_pika.exceptions import ChannelNotFoundEntity

from cnstra.adapters.rabbitmq.link import Link
from cnstra.adapters.rabbitmq.queues import Queues
from cnstra.adapters.rabbitmq.slot import Slot

UNTAKEN = 0.5
"""Seconds after which a message that nobody takes goes back to the queue. RabbitMQ hands the next
one over as soon as there is room: nearly always somebody is about to take it."""

ANSWER_TIME = 0.1
"""Seconds that a message which is there has to arrive in, if the caller does not wait for one."""

SPARE = 10
"""Channels that are left for the rest: RabbitMQ closes the connection for one too many."""

TOO_FEW = (
    "The queue %r is served by %d jobs at a time, whatever the worker's concurrency: RabbitMQ "
    "allows for %d channels on a connection. Raise its channel_max, or start more workers."
)

logger = logging.getLogger("cnstra.jobs")


class Taker:
    """The slots of a queue that are free, or filled and not yet taken."""

    def __init__(self, link: Link, queue: str, queues: Queues) -> None:
        self._link = link
        self._queue = queue
        self._queues = queues
        self._slots: set[Slot] = set()
        self._free: set[Slot] = set()
        self._filled: deque[Slot] = deque()
        self._news = asyncio.Event()
        self._filling: asyncio.Task[None] | None = None
        self._returning: asyncio.TimerHandle | None = None
        self._has_told = False
        self._tasks: set[asyncio.Task[Any]] = set()

    async def take(self, limit: int, wait: float) -> Sequence[Slot]:
        """Up to `limit` slots with their messages, after `wait` seconds at most."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + max(wait, ANSWER_TIME)
        while not self._filled:
            self._news.clear()
            await self._listen(limit)
            try:
                async with asyncio.timeout_at(ends_at):
                    await self._news.wait()
            except TimeoutError:
                break
        taken = [self._filled.popleft() for _ in range(min(limit, len(self._filled)))]
        self._watch_untaken()
        return taken

    async def done(self, slot: Slot) -> None:
        """Acknowledge its message; it may be handed another."""
        if slot.is_open:
            self._free.add(slot)
            with self._link.reaching():
                await slot.acknowledge()

    async def close(self) -> None:
        if self._returning is not None:
            self._returning.cancel()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- free slots

    async def _listen(self, limit: int) -> None:
        """Have as many free slots as the caller has free hands; go on with it if he leaves."""
        if self._filling is None or self._filling.done():
            if limit <= len(self._free):
                return
            self._filling = self._start(self._open(limit - len(self._free)))
        await asyncio.shield(self._filling)

    async def _open(self, count: int) -> None:
        await self._queues.make(self._queue)
        count = self._room_for(count)
        if count <= 0:
            return
        try:
            await self._open_slot()
        except ChannelNotFoundEntity:
            await self._queues.make_again(self._queue)
            await self._open_slot()
        await asyncio.gather(*(self._open_slot() for _ in range(count - 1)))

    def _room_for(self, count: int) -> int:
        """How many of `count` more slots the connection has channels for."""
        self._slots = {slot for slot in self._slots if slot.is_open}
        most = max(1, self._link.most_channels - SPARE)
        room = most - len(self._slots)
        if count > room and not self._has_told:
            logger.warning(TOO_FEW, self._queue, most, self._link.most_channels)
            self._has_told = True
        return min(count, room)

    async def _open_slot(self) -> None:
        slot = Slot(self._on_filled, self._on_ended)
        self._slots.add(slot)
        self._free.add(slot)
        try:
            await slot.listen(self._link, self._queue)
        except BaseException:
            self._on_ended(slot)
            raise

    def _on_filled(self, slot: Slot) -> None:
        self._free.discard(slot)
        if not slot.is_open:
            return
        self._filled.append(slot)
        self._news.set()
        self._watch_untaken()

    def _on_ended(self, slot: Slot) -> None:
        self._free.discard(slot)
        if slot in self._filled:
            self._filled.remove(slot)
        self._news.set()

    # --- what nobody takes

    def _watch_untaken(self) -> None:
        if self._returning is not None:
            self._returning.cancel()
            self._returning = None
        if self._filled:
            loop = asyncio.get_running_loop()
            self._returning = loop.call_later(UNTAKEN, self._return_untaken)

    def _return_untaken(self) -> None:
        """Nobody takes any more: give back what has come, and ask for nothing."""
        slots = [*self._free, *self._filled]
        self._free.clear()
        self._filled.clear()
        for slot in slots:
            self._start(slot.close())

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
