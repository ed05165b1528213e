"""Servers for one rival alone, with what each recommends for data that must last."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.rivals.place import Place
from benchmarks.rivals.rival import Rival
from tests.postgres_server import PostgresServer
from tests.rabbitmq_server import RabbitServer
from tests.redis_server import RedisServer


@contextmanager
def place(rival: Rival) -> Iterator[Place]:
    """A folder and the servers of a rival, until it has been looked at."""
    with tempfile.TemporaryDirectory(prefix="rivals-") as folder, ExitStack() as stack:
        urls = {name: stack.enter_context(SERVERS[name](Path(folder))) for name in rival.servers}
        yield Place(folder=folder, option=rival.option, **urls)


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    server = RedisServer(folder, "--appendonly", "yes", "--maxmemory-policy", "noeviction")
    with running(server):
        yield server.url


@contextmanager
def rabbitmq(folder: Path) -> Iterator[str]:
    server = RabbitServer(folder)
    with running(server):
        yield server.url


@contextmanager
def postgres(_: Path) -> Iterator[str]:
    server = PostgresServer(fsync="on")
    with running(server):
        yield server.url


@contextmanager
def running(server: RedisServer | RabbitServer | PostgresServer) -> Iterator[None]:
    try:
        server.start()
        yield
    finally:
        server.stop()


SERVERS = {"redis": redis, "rabbitmq": rabbitmq, "postgres": postgres}
