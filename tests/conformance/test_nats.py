import base64
from collections.abc import Iterator
from uuid import uuid4

import pytest

from cnstra.testing.conformance import BrokerConformance, Rig, StoreConformance, StoreRig
from tests.nats_server import NatsServer, api, publish
from tests.proxy import DistantProxy


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """One that tests may kill and start again."""
    server = NatsServer(tmp_path_factory.mktemp("nats"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def proxy(server: NatsServer) -> Iterator[DistantProxy]:
    with DistantProxy(server.port) as proxy:
        yield proxy


def restart(server: NatsServer) -> None:
    server.kill()
    server.start()


class TestNats(BrokerConformance):
    @pytest.fixture
    def rig(self, server: NatsServer, proxy: DistantProxy) -> Rig:
        namespace = f"t{uuid4().hex}"

        async def publish_raw(queue: str, body: bytes) -> None:
            await publish(server.url, f"{namespace}.{queue}", body)

        async def duplicate(queue: str) -> None:
            stream = f"{namespace}-queue-{queue}"
            state = (await api(server.url, f"STREAM.INFO.{stream}"))["state"]
            for revision in range(state["first_seq"], state["last_seq"] + 1):
                found = await api(server.url, f"STREAM.MSG.GET.{stream}", seq=revision)
                if "message" in found:
                    await publish_raw(queue, base64.b64decode(found["message"]["data"]))

        return Rig(
            url=f"nats://127.0.0.1:{proxy.port}/{namespace}",
            restart=lambda: restart(server),
            cut=proxy.cut,
            publish_raw=publish_raw,
            duplicate=duplicate,
        )


class TestNatsStore(StoreConformance):
    @pytest.fixture
    def rig(self, server: NatsServer, proxy: DistantProxy) -> StoreRig:
        return StoreRig(
            url=f"nats://127.0.0.1:{proxy.port}/t{uuid4().hex}",
            restart=lambda: restart(server),
            cut=proxy.cut,
        )
