"""RabbitMQ on its standard port; each transport connects through a proxy of its own."""

import asyncio
import os
from pathlib import Path
from uuid import uuid4

import aio_pika

from cnstra.adapters.rabbitmq.location import location_of
from cnstra.adapters.rabbitmq.names import Names
from cnstra.adapters.rabbitmq.transport import RabbitTransport
from tests import bare_amqp
from tests.proxy import Proxy

PORT = int(os.environ.get("RABBITMQ_PORT", "5672"))
URL = f"amqp://guest:guest@127.0.0.1:{PORT}"


class RabbitRig:
    name = "rabbitmq"
    comes_back_after = 5.0

    def __init__(self) -> None:
        self.queue = f"cnstra-test-{uuid4().hex}"
        self.made: dict[RabbitTransport, Proxy] = {}

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        for transport, proxy in self.made.items():
            await transport.close()
            await proxy.__aexit__()
        await delete_queues(self.queue)

    async def transport(self) -> RabbitTransport:
        proxy = await Proxy(PORT).__aenter__()
        transport = self._transport(proxy.port)
        self.made[transport] = proxy
        return transport

    async def unreachable(self) -> RabbitTransport:
        return self._transport(1)

    def _transport(self, port: int) -> RabbitTransport:
        url = f"amqp://guest:{'secret' if port == 1 else 'guest'}@127.0.0.1:{port}"
        return RabbitTransport(self.queue, location_of(url))

    async def cut(self) -> None:
        for proxy in self.made.values():
            proxy.cut()

    async def die(self, transport: RabbitTransport) -> None:
        await self.made[transport].__aexit__()

    async def send_foreign(self, body: bytes) -> None:
        await asyncio.to_thread(bare_amqp.publish, PORT, self.queue, body)


async def delete_queues(queue: str, url: str = URL) -> None:
    """A queue and all its companions."""
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel()
        for name in Names(queue).arguments:
            await channel.queue_delete(name)


def rig(folder: Path) -> RabbitRig:
    return RabbitRig()
