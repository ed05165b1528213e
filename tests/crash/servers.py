"""The brokers on which real processes are killed, each on a server of its own."""

import os
import tempfile
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.crash.prey import Lair
from tests.nats_server import NatsServer
from tests.postgres_server import PostgresServer
from tests.rabbitmq_server import RabbitServer
from tests.redis_server import RedisServer
from tests.sqs_server import CREDENTIALS, SQSServer

HARMS = ("bullmq", "postgres", "nats", "rabbitmq")
"""The servers that can be harmed."""


def _unharmed() -> None:
    raise NotImplementedError("there is no server to harm")


@dataclass(frozen=True)
class Server:
    """lair: a queue of that name; the folder is its own. harm: kill it and start it again, or cut
    what it is connected by.
    """

    lair: Callable[[str, Path], Lair]
    harm: Callable[[], None] = _unharmed


SHORT = 1.0
"""Seconds of a lease, where time is the server's."""


SAFE = ("--appendonly", "yes", "--appendfsync", "always")
"""A Redis that has kept what it said it had."""


def _again(server: RedisServer | PostgresServer | NatsServer) -> None:
    server.kill()
    server.start()


def _beside(folder: Path) -> str:
    return f"sqlite:///{folder}/store.db?synchronous=normal"


@contextmanager
def _sqlite() -> Generator[Server]:
    def lair(name: str, folder: Path) -> Lair:
        return Lair(name, f"sqlite:///{folder}/jobs.db?synchronous=normal", None, 5.0, True)

    yield Server(lair)


@contextmanager
def _with_its_store(server: RedisServer | PostgresServer | NatsServer) -> Generator[Server]:
    server.start()
    try:
        yield Server(
            lambda name, _: Lair(name, server.url, None, SHORT, False), lambda: _again(server)
        )
    finally:
        server.stop()


@contextmanager
def _bullmq() -> Generator[Server]:
    with (
        tempfile.TemporaryDirectory() as folder,
        _with_its_store(RedisServer(Path(folder), *SAFE)) as server,
    ):
        yield server


def _postgres() -> AbstractContextManager[Server]:
    return _with_its_store(PostgresServer(fsync="on"))


@contextmanager
def _nats() -> Generator[Server]:
    with (
        tempfile.TemporaryDirectory() as folder,
        _with_its_store(NatsServer(Path(folder))) as server,
    ):
        yield server


@contextmanager
def _rabbitmq() -> Generator[Server]:
    with tempfile.TemporaryDirectory() as folder:
        server = RabbitServer(Path(folder))
        server.start()
        try:
            yield Server(
                lambda name, own: Lair(name, server.url, _beside(own), SHORT, False), server.cut
            )
        finally:
            server.stop()


@contextmanager
def _sqs() -> Generator[Server]:
    server = SQSServer()
    server.start()
    os.environ.update(CREDENTIALS)
    try:
        yield Server(lambda name, own: Lair(name, server.url(), _beside(own), SHORT, False))
    finally:
        server.stop()


SERVERS: Mapping[str, Callable[[], AbstractContextManager[Server]]] = {
    "sqlite": _sqlite,
    "bullmq": _bullmq,
    "postgres": _postgres,
    "nats": _nats,
    "rabbitmq": _rabbitmq,
    "sqs": _sqs,
}
