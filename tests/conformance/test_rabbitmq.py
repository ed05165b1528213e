from collections.abc import Iterator
from pathlib import Path

import aio_pika
import pytest

from cnstra.testing.conformance import BrokerConformance, Rig
from tests.rabbitmq_server import RabbitServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    server = RabbitServer(tmp_path_factory.mktemp("rabbitmq"))
    server.start()
    yield server
    server.stop()


class TestRabbitmq(BrokerConformance):
    @pytest.fixture
    def rig(self, server: RabbitServer, tmp_path: Path) -> Rig:
        async def publish_raw(queue: str, body: bytes) -> None:
            async with await aio_pika.connect(server.url) as connection:
                channel = await connection.channel()
                await channel.default_exchange.publish(aio_pika.Message(body), queue)

        async def duplicate(queue: str) -> None:
            async with await aio_pika.connect(server.url) as connection:
                channel = await connection.channel()
                found = await channel.get_queue(queue)
                waiting = found.declaration_result.message_count or 0
                for _ in range(waiting):
                    message = await found.get(timeout=10)
                    await channel.default_exchange.publish(message, queue)
                    await channel.default_exchange.publish(message, queue)
                    await message.ack()

        return Rig(
            url=f"{server.url}?heartbeat=2",
            store=f"sqlite:///{tmp_path}/runs.db?synchronous=normal",
            restart=server.restart,
            cut=server.cut,
            publish_raw=publish_raw,
            duplicate=duplicate,
        )
