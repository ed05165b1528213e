"""A connection that is made again when it is needed after a loss, and what its errors mean.

The client's own "robust" connection would hide what was lost in the gap.
"""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager, suppress

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import (
    AMQPError,
    ChannelInvalidStateError,
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
    PublishError,
)
from aiormq.exceptions import ChannelAccessRefused

from cnstra.adapters.rabbitmq.location import Location
from cnstra.errors import BrokerUnavailable

ANSWERS = (
    ChannelAccessRefused, ChannelNotFoundEntity, ChannelPreconditionFailed, PublishError,
)  # fmt: skip
"""What RabbitMQ says no to, while it can be reached."""

MOST_CHANNELS = 65535
"""What AMQP allows for; a server that says 0 means that."""

PATIENCE = 30.0
"""Seconds for an answer. RabbitMQ gives none to publishers while its disk or memory is full."""


class Link:
    """One connection to RabbitMQ at a time."""

    def __init__(self, location: Location) -> None:
        self._location = location
        self._connection: AbstractConnection | None = None
        self._connecting = asyncio.Lock()
        self._is_closed = False

    @property
    def is_alive(self) -> bool:
        return self._connection is not None and not self._lost(self._connection)

    @property
    def most_channels(self) -> int:
        """How many channels a connection may have, as the server said last."""
        transport = None if self._connection is None else self._connection.transport
        agreed = 0 if transport is None else transport.connection.connection_tune.channel_max
        return agreed or MOST_CHANNELS

    async def channel(self, *, confirms: bool = False) -> AbstractChannel:
        """A new channel, on a new connection if need be. Raises `BrokerUnavailable`."""
        with self.reaching():
            async with asyncio.timeout(PATIENCE):
                connection = await self._connected()
                channel = connection.channel(publisher_confirms=confirms, on_return_raises=confirms)
                await channel.initialize()
                return channel

    async def server(self) -> str:
        """What the server says that it is."""
        channel = await self.channel()
        await channel.close()
        transport = None if self._connection is None else self._connection.transport
        told = {} if transport is None else dict(transport.connection.server_properties)
        return f"{told.get('product')!s} {told.get('version')!s}"

    @contextmanager
    def reaching(self) -> Generator[None]:
        """Turn whatever a lost connection raises into `BrokerUnavailable`; let `ANSWERS` pass."""
        try:
            yield
        except ANSWERS:
            raise
        except asyncio.CancelledError as error:  # also how the client ends what was in flight
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise self._unavailable("the connection was lost") from error
        except TimeoutError as error:
            reason = f"no answer for {PATIENCE:g} s; are its memory and disk full?"
            raise self._unavailable(reason) from error
        except (AMQPError, ChannelInvalidStateError, OSError) as error:
            raise self._unavailable(str(error) or repr(error)) from error

    async def close(self) -> None:
        self._is_closed = True
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                await connection.close()

    async def _connected(self) -> AbstractConnection:
        async with self._connecting:
            if self._is_closed:
                raise ChannelInvalidStateError("it was closed")
            if self._connection is None or self._lost(self._connection):
                self._connection = await aio_pika.connect(self._location.url)
            return self._connection

    @staticmethod
    def _lost(connection: AbstractConnection) -> bool:
        transport = connection.transport
        return connection.is_closed or transport is None or not transport.connection.is_opened

    def _unavailable(self, reason: str) -> BrokerUnavailable:
        return BrokerUnavailable(url=self._location.shown, reason=reason)
