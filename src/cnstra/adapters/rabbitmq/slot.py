"""A channel of its own for each message that is held: when one is held for too long, RabbitMQ
closes its channel, and with it only that one comes back to others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from aio_pika.exceptions import CONNECTION_EXCEPTIONS

from cnstra.adapters.rabbitmq.link import PATIENCE, Link

Told = Callable[["Slot"], None]


class Slot:
    """Holds one message at most, and is handed the next when that is acknowledged.

    filled, ended: called when it has been handed a message, and when it is of no use any more.
    """

    def __init__(self, filled: Told, ended: Told) -> None:
        self._filled = filled
        self._ended = ended
        self._channel: AbstractChannel | None = None
        self._closing: asyncio.Future[None] | None = None
        self.message: AbstractIncomingMessage | None = None

    @property
    def is_open(self) -> bool:
        return self._channel is not None and not self._channel.is_closed

    async def listen(self, link: Link, queue: str) -> None:
        """Ask for a message of the queue."""
        with link.reaching():
            self._channel = channel = await link.channel()
            channel.close_callbacks.add(self._on_close)
            underlay = await channel.get_underlay_channel()
            underlay.on_consumer_cancel_callbacks.add(self._on_cancel)
            await channel.set_qos(1, timeout=PATIENCE)
            found = await channel.get_queue(queue, ensure=False)
            await found.consume(self._on_message, timeout=PATIENCE)

    async def holds(self, message: AbstractIncomingMessage) -> bool:
        """Whether the server still leaves the message to us: it is asked on the very channel."""
        if self._channel is None or self.message is not message:
            return False
        try:
            await self._channel.set_qos(1, timeout=PATIENCE)
        except CONNECTION_EXCEPTIONS:
            return False
        return self.is_open and self.message is message

    async def acknowledge(self) -> None:
        """Its message is done for good."""
        message, self.message = self.message, None
        if message is not None:
            await message.ack()

    async def close(self) -> None:
        """Give its message back, if it has one. Harmless twice."""
        if self._channel is not None and self.is_open:
            with suppress(*CONNECTION_EXCEPTIONS):  # then it is lost, which comes to the same
                await self._channel.close()

    async def _on_message(self, message: AbstractIncomingMessage) -> None:
        self.message = message
        self._filled(self)

    def _on_close(self, *_: object) -> None:
        self._ended(self)

    async def _on_cancel(self, _: object) -> None:
        """The queue was deleted. The client waits for us here, so the channel is closed later."""
        self._closing = asyncio.ensure_future(self.close())
