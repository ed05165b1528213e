from collections.abc import Iterator
from uuid import uuid4

import pytest

from cnstra.testing.conformance import BrokerConformance, Rig, StoreConformance, StoreRig
from tests.postgres_server import PostgresServer, call

PUBLISH = """
SELECT {schema}.enqueue(
    (SELECT id FROM {schema}.queues WHERE name = %s), ARRAY[%s], ARRAY[NULL], ARRAY[%s::bytea],
    ARRAY[%s], ARRAY[1], ARRAY[NULL], ARRAY[NULL::float8], ARRAY[0]
)
"""
CUT = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'cnstra'
"""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """One that keeps what it has acknowledged."""
    server = PostgresServer(fsync="on")
    server.start()
    yield server
    server.stop()


def restart(server: PostgresServer) -> None:
    server.kill()
    server.start()


class TestPostgres(BrokerConformance):
    @pytest.fixture
    def rig(self, server: PostgresServer) -> Rig:
        schema = f"t_{uuid4().hex}"

        def publish_raw(queue: str, body: bytes) -> None:
            name = uuid4().hex
            call(server.url, PUBLISH.format(schema=schema), queue, name, body, name)

        return Rig(
            url=f"{server.url}?schema={schema}",
            restart=lambda: restart(server),
            cut=lambda: server.call(CUT) and None,
            publish_raw=publish_raw,
            duplicate="a job is one row: there is no second copy to deliver",
        )


class TestPostgresStore(StoreConformance):
    subject = "postgres"

    @pytest.fixture
    def rig(self, server: PostgresServer) -> StoreRig:
        return StoreRig(
            url=f"{server.url}?schema=t_{uuid4().hex}",
            restart=lambda: restart(server),
            cut=lambda: server.call(CUT) and None,
        )
