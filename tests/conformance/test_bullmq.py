import json
from collections.abc import Iterator

import bullmq
import pytest

from cnstra.testing.conformance import BrokerConformance, Rig, StoreConformance, StoreRig
from tests.redis_server import RedisServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One that keeps what it has acknowledged."""
    folder = tmp_path_factory.mktemp("redis")
    server = RedisServer(folder, "--appendonly", "yes", "--appendfsync", "always")
    server.start()
    yield server
    server.stop()


def restart(server: RedisServer) -> None:
    server.kill()
    server.start()


def cut(server: RedisServer) -> None:
    server.call("CLIENT", "KILL", "TYPE", "normal")


class TestBullmq(BrokerConformance):
    @pytest.fixture
    def rig(self, server: RedisServer) -> Rig:
        async def publish_raw(queue: str, body: bytes) -> None:
            stranger = bullmq.Queue(queue, {"connection": server.url})
            await stranger.add("foreign", json.loads(body))
            await stranger.close()

        return Rig(
            url=server.url,
            restart=lambda: restart(server),
            cut=lambda: cut(server),
            publish_raw=publish_raw,
            duplicate="a job is one hash: there is no second copy to deliver",
        )


class TestRedisStore(StoreConformance):
    subject = "redis"

    @pytest.fixture
    def rig(self, server: RedisServer) -> StoreRig:
        return StoreRig(url=server.url, restart=lambda: restart(server), cut=lambda: cut(server))
