"""A NATS server of its own; each transport connects through a proxy of its own."""

from pathlib import Path
from uuid import uuid4

from nats.aio.client import Client

from cnstra.adapters.nats.location import location_of
from cnstra.adapters.nats.names import token
from cnstra.adapters.nats.transport import NatsTransport
from tests.nats_server import NatsServer
from tests.proxy import Proxy


class NatsRig:
    name = "nats"
    comes_back_after = 5.0

    def __init__(self, folder: Path) -> None:
        self.queue = f"test {uuid4().hex}"
        self.server = NatsServer(folder)
        self.made: dict[NatsTransport, Proxy] = {}

    async def start(self) -> None:
        self.server.start()

    async def stop(self) -> None:
        for transport, proxy in self.made.items():
            await transport.close()
            await proxy.__aexit__()
        self.server.stop()

    async def transport(self) -> NatsTransport:
        proxy = await Proxy(self.server.port).__aenter__()
        transport = NatsTransport(location_of(f"nats://127.0.0.1:{proxy.port}"), self.queue)
        self.made[transport] = proxy
        return transport

    async def unreachable(self) -> NatsTransport:
        return NatsTransport(location_of("nats://me:secret@127.0.0.1:1"), self.queue)

    async def cut(self) -> None:
        for proxy in self.made.values():
            proxy.cut()

    async def die(self, transport: NatsTransport) -> None:
        await self.made[transport].__aexit__()

    async def send_foreign(self, body: bytes) -> None:
        client = Client()
        await client.connect(self.server.url)
        await client.publish(f"cnstra.{token(self.queue)}", body)
        await client.flush()
        await client.close()


def rig(folder: Path) -> NatsRig:
    return NatsRig(folder)
