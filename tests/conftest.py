from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.nats_server import NatsServer
from tests.redis_server import RedisServer

pytest.register_assert_rewrite("cnstra.testing.conformance")

# Each run explores anew and prints a blob that replays what it found; a busy machine is no failure.
settings.register_profile("ci", derandomize=False, print_blob=True, deadline=None)
settings.load_profile("ci")


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server of our own: its time may be moved, and it may be emptied."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def empty_redis(redis_server: RedisServer) -> RedisServer:
    redis_server.call("FLUSHALL")
    return redis_server


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """A server of our own: each test has a namespace in it."""
    server = NatsServer(tmp_path_factory.mktemp("nats"))
    server.start()
    yield server
    server.stop()
