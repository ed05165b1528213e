import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.nats_server import NatsServer
from tests.postgres_server import STANDARD, PostgresServer, answers, new_schema, new_tables
from tests.rabbitmq_server import RabbitServer
from tests.redis_server import RedisServer
from tests.sqs_server import CREDENTIALS, SQSServer

pytest.register_assert_rewrite("cnstra.testing.conformance")

# Each run explores anew and prints a blob that replays what it found; a busy machine is no failure.
settings.register_profile("ci", derandomize=False, print_blob=True, deadline=None)
settings.load_profile("ci")

# A shell lets what it starts in the background ignore SIGINT, and so would all that we start.
signal.signal(signal.SIGINT, signal.default_int_handler)


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
def postgres_url() -> Iterator[str]:
    """The server on the standard port, or one of our own where none answers."""
    if answers(STANDARD):
        yield STANDARD
        return
    server = PostgresServer()
    server.start()
    yield server.url
    server.stop()


@pytest.fixture(scope="session")
def moto_server() -> Iterator[SQSServer]:
    """A server of our own, whose queues are made by each test under names of its own."""
    server = SQSServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def postgres_schema(postgres_url: str) -> Iterator[str]:
    """The URL of a schema that no other test uses."""
    with new_schema(postgres_url) as url:
        yield url


@pytest.fixture
def postgres_database(postgres_url: str) -> Iterator[str]:
    """The URL for tables of the test's own, which no other test sees."""
    with new_tables(postgres_url) as url:
        yield url


@pytest.fixture
def sqs_server(moto_server: SQSServer, monkeypatch: pytest.MonkeyPatch) -> SQSServer:
    """The same, with the credentials that it takes from anybody."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    return moto_server


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """A server of our own: each test has a namespace in it."""
    server = NatsServer(tmp_path_factory.mktemp("nats"))
    server.start()
    yield server
    server.stop()


VHOSTS = tuple(f"v{number}" for number in range(16))


@pytest.fixture(scope="session")
def rabbitmq_vhosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Iterator[str]]:
    """The URLs of vhosts on a node of our own."""
    server = RabbitServer(tmp_path_factory.mktemp("rabbitmq"), vhosts=VHOSTS)
    server.start()
    yield (f"{server.url}/{name}" for name in VHOSTS)
    server.stop()


@pytest.fixture
def rabbitmq_url(rabbitmq_vhosts: Iterator[str]) -> str:
    """The URL of a vhost that no other test uses."""
    return next(rabbitmq_vhosts)
