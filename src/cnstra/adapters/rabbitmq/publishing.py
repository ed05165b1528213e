"""Sending messages so that they are safe: confirmed by the server, or an error."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from aio_pika import Message
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import PublishError

from cnstra.adapters.rabbitmq.link import PATIENCE, Link
from cnstra.adapters.rabbitmq.queues import Queues


class Publisher:
    """Sends to queues, which are made where they are missing."""

    def __init__(self, link: Link, queues: Queues) -> None:
        self._link = link
        self._queues = queues
        self._channel: AbstractChannel | None = None
        self._opening = asyncio.Lock()
        self._in_flight: dict[str | None, asyncio.Event] = {}

    async def publish(self, queue: str, message: Message) -> None:
        """Returns once it is safe in the queue. Raises `BrokerUnavailable` if it may not be."""
        await self._queues.make(queue)
        try:
            await self._send(queue, message)
        except PublishError:  # there is no such queue any more
            await self._queues.make_again(queue)
            await self._send(queue, message)

    async def _send(self, queue: str, message: Message) -> None:
        async with self._alone(message.message_id):
            with self._link.reaching():
                channel = await self._open_channel()
                await channel.default_exchange.publish(message, queue, timeout=PATIENCE)

    @asynccontextmanager
    async def _alone(self, message_id: str | None) -> AsyncGenerator[None]:
        """One of an id at a time: the client knows by its id alone which one was returned."""
        while message_id in self._in_flight:
            await self._in_flight[message_id].wait()
        self._in_flight[message_id] = ended = asyncio.Event()
        try:
            yield
        finally:
            del self._in_flight[message_id]
            ended.set()

    async def _open_channel(self) -> AbstractChannel:
        async with self._opening:
            if self._channel is None or self._channel.is_closed or not self._link.is_alive:
                self._channel = await self._link.channel(confirms=True)
            return self._channel
