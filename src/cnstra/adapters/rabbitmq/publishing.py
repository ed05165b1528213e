"""Sending messages so that they are safe: confirmed by the server, or an error."""

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from aio_pika import Message
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import ChannelPreconditionFailed, PublishError

from cnstra.adapters.rabbitmq.link import PATIENCE, Link
from cnstra.adapters.rabbitmq.location import Location
from cnstra.adapters.rabbitmq.queues import Queues
from cnstra.errors import BrokerRefused, BrokerUnavailable, JobError

TOO_LARGE = re.compile(r"larger than \D*(\d+)")


class Publisher:
    """Sends to queues, which are made where they are missing."""

    def __init__(self, link: Link, queues: Queues, location: Location) -> None:
        self._link = link
        self._queues = queues
        self._location = location
        self._channel: AbstractChannel | None = None
        self._opening = asyncio.Lock()
        self._in_flight: dict[str | None, asyncio.Event] = {}

    async def publish(self, queue: str, message: Message) -> None:
        """Returns once it is safe in the queue. Raises `BrokerUnavailable` if it may not be, and
        `BrokerRefused` for what is too large for this server.
        """
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
                try:
                    await channel.default_exchange.publish(message, queue, timeout=PATIENCE)
                except ChannelPreconditionFailed as error:
                    if channel is self._channel:  # it takes the client a moment to call it closed
                        self._channel = None
                    raise self._refusal(message, error) from error

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

    def _refusal(self, message: Message, error: Exception) -> JobError:
        """What it means that RabbitMQ closed the channel, for whoever had a message under way."""
        url, largest = self._location.shown, TOO_LARGE.search(str(error))
        if largest is not None and message.body_size <= int(largest[1]):
            return BrokerUnavailable(url=url, reason="another message was too large for it")
        remedy = "say in the URL what it takes, as ?max_message_size=BYTES: a store holds the rest"
        action = f"a message of {message.body_size} bytes"
        return BrokerRefused(url=url, action=action, reason=error, remedy=remedy)
