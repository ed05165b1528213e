"""The brokers on which real processes are killed, on servers of their own, and what harms those."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.crash.prey import Lair
from tests.nats_server import NatsServer
from tests.postgres_server import PostgresServer
from tests.rabbitmq_server import RabbitServer
from tests.redis_server import RedisServer
from tests.sqs_server import CREDENTIALS, SQSServer, url_at

Trouble = Literal["restart", "cut", "slow", "full"]
"""restart: the server is killed and started again. cut: all connections to it are. slow: it hears
and answers later. full: there is no room left, on the disk or in the memory of Redis.
"""

TROUBLES: Mapping[str, Sequence[Trouble]] = {
    "sqlite": ("full",),
    "bullmq": ("restart", "cut", "slow", "full"),
    "postgres": ("restart", "cut", "slow"),
    "nats": ("restart", "cut", "slow"),
    "rabbitmq": ("restart", "cut", "slow"),
    "sqs": ("cut", "slow"),
}
"""What each server can be given."""


def _nothing() -> None: ...


@dataclass(frozen=True)
class Harm:
    """begin: what is done to the server. end: what makes it well again, `LASTS` seconds later."""

    begin: Callable[[], None] = _nothing
    end: Callable[[], None] = _nothing


LASTS = 0.7
"""Seconds for which a server is slow or full."""


@dataclass(frozen=True)
class Server:
    """lair: a queue of that name; the folder is its own."""

    lair: Callable[[str, Path], Lair]
    harm: Harm


SHORT = 1.0
"""Seconds of a lease, where time is the server's."""

LATER = 0.03
"""Seconds by which a slow server hears, and answers."""

DISK = "24m"
"""The size of the disk that is filled."""

SAFE = ("--appendonly", "yes", "--appendfsync", "always")
"""A Redis that has kept what it said it had."""


class Road:
    """A proxy to a port, in a process of its own: the one that forks has no threads."""

    def __init__(self, target: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.proxy", str(target)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def tell(self, order: str) -> None:
        assert self._process.stdin is not None
        print(order, file=self._process.stdin, flush=True)

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


@contextmanager
def _reached(
    port: int, trouble: Trouble | None, harms: Mapping[Trouble, Harm]
) -> Generator[tuple[int, Harm]]:
    """The port by which a server is reached, and what harms it. harms: those of its own."""
    if trouble not in ("cut", "slow"):
        yield port, Harm() if trouble is None else harms[trouble]
        return
    road = Road(port)
    slow = Harm(lambda: road.tell(f"slow {LATER}"), lambda: road.tell("slow 0"))
    try:
        yield road.port, Harm(lambda: road.tell("cut")) if trouble == "cut" else slow
    finally:
        road.close()


def _restart(server: RedisServer | PostgresServer | NatsServer | RabbitServer) -> Harm:
    def again() -> None:
        server.kill()
        server.start()

    return Harm(again)


def _beside(folder: Path) -> str:
    return f"sqlite:///{folder}/store.db?synchronous=normal"


def _sqlite_lair(name: str, file: Path) -> Lair:
    return Lair(name, f"sqlite:///{file}?synchronous=normal", None, 5.0, True)


@contextmanager
def _sqlite(trouble: Trouble | None) -> Generator[Server]:
    if trouble is None:
        yield Server(lambda name, own: _sqlite_lair(name, own / "jobs.db"), Harm())
        return
    with _small_disk() as disk:
        filler = disk / "filler"
        yield Server(
            lambda name, _: _sqlite_lair(name, disk / f"{name}.db"),
            Harm(lambda: _fill(filler), filler.unlink),
        )


@contextmanager
def _small_disk() -> Generator[Path]:
    with tempfile.TemporaryDirectory(prefix="cnstra-disk-") as folder:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", folder]
        if subprocess.run(mount).returncode:
            raise SystemExit("a disk that can be filled has to be mounted: run this as root")
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)


def _fill(filler: Path) -> None:
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass


@contextmanager
def _with_its_store(
    server: RedisServer | PostgresServer | NatsServer,
    trouble: Trouble | None,
    harms: Mapping[Trouble, Harm],
) -> Generator[Server]:
    server.start()
    try:
        with _reached(server.port, trouble, {"restart": _restart(server), **harms}) as (port, harm):
            url = server.url.replace(f":{server.port}", f":{port}")
            yield Server(lambda name, _: Lair(name, url, None, SHORT, False), harm)
    finally:
        server.stop()


@contextmanager
def _bullmq(trouble: Trouble | None) -> Generator[Server]:
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(Path(folder), *SAFE)
        full = Harm(
            lambda: server.call("CONFIG", "SET", "maxmemory", "1"),
            lambda: server.call("CONFIG", "SET", "maxmemory", "0"),
        )
        with _with_its_store(server, trouble, {"full": full}) as known:
            yield known


def _postgres(trouble: Trouble | None) -> AbstractContextManager[Server]:
    return _with_its_store(PostgresServer(fsync="on"), trouble, {})


@contextmanager
def _nats(trouble: Trouble | None) -> Generator[Server]:
    with (
        tempfile.TemporaryDirectory() as folder,
        _with_its_store(NatsServer(Path(folder)), trouble, {}) as server,
    ):
        yield server


@contextmanager
def _rabbitmq(trouble: Trouble | None) -> Generator[Server]:
    with tempfile.TemporaryDirectory() as folder:
        server = RabbitServer(Path(folder))
        server.start()
        try:
            with _reached(server.port, trouble, {"restart": _restart(server)}) as (port, harm):
                url = server.url.replace(f":{server.port}", f":{port}")
                yield Server(lambda name, own: Lair(name, url, _beside(own), SHORT, False), harm)
        finally:
            server.stop()


@contextmanager
def _sqs(trouble: Trouble | None) -> Generator[Server]:
    server = SQSServer()
    server.start()
    os.environ.update(CREDENTIALS)
    try:
        with _reached(server.port, trouble, {}) as (port, harm):
            url = url_at(port)
            yield Server(lambda name, own: Lair(name, url, _beside(own), SHORT, False), harm)
    finally:
        server.stop()


SERVERS: Mapping[str, Callable[[Trouble | None], AbstractContextManager[Server]]] = {
    "sqlite": _sqlite,
    "bullmq": _bullmq,
    "postgres": _postgres,
    "nats": _nats,
    "rabbitmq": _rabbitmq,
    "sqs": _sqs,
}
