"""Where a fleet can be: each broker on a server of its own, and what harms that server."""

import asyncio
import os
import sqlite3
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import uuid4

from tests.crash.members import Member, Orders, WorkerProcess, WorkerTask
from tests.nats_server import NatsServer
from tests.postgres_server import PostgresServer
from tests.proxy import Proxy
from tests.rabbitmq_server import NAMES_LAG, RabbitServer
from tests.redis_server import RedisServer
from tests.sqs_server import CREDENTIALS, SQSServer, url_at

LOCKED = 1.5
"""Seconds for which somebody else holds the write lock of a SQLite file."""

MOTO_LEASE = 10.0
"""Seconds: moto's answers are slow on a busy machine."""


@dataclass(frozen=True)
class Ground:
    """harm: does one fault to the server, and returns when it is over; `None`: there is no server.
    lease: seconds that jobs are leased for. member: makes a worker.
    """

    url: str
    store: str | None = None
    harm: Callable[[], Awaitable[None]] | None = None
    lease: float = 3.0
    member: Callable[[Orders], Member] = WorkerProcess


@asynccontextmanager
async def memory(folder: Path) -> AsyncGenerator[Ground, None]:
    del folder
    yield Ground(f"memory://{uuid4().hex}", member=WorkerTask)


@asynccontextmanager
async def sqlite(folder: Path) -> AsyncGenerator[Ground, None]:
    file = folder / "jobs.db"

    def hold() -> None:
        with closing(sqlite3.connect(file, isolation_level=None, timeout=60)) as bystander:
            bystander.execute("BEGIN IMMEDIATE")
            time.sleep(LOCKED)
            bystander.execute("ROLLBACK")

    async def lock() -> None:
        await asyncio.to_thread(hold)

    yield Ground(f"sqlite:///{file}", harm=lock)


@asynccontextmanager
async def bullmq(folder: Path) -> AsyncGenerator[Ground, None]:
    server = RedisServer(folder, "--appendonly", "yes", "--appendfsync", "always")
    async with _running(server) as restart:
        yield Ground(server.url, harm=restart)


@asynccontextmanager
async def postgres(folder: Path) -> AsyncGenerator[Ground, None]:
    del folder
    server = PostgresServer(fsync="on")
    async with _running(server) as restart:
        yield Ground(server.url, harm=restart)


@asynccontextmanager
async def nats(folder: Path) -> AsyncGenerator[Ground, None]:
    server = NatsServer(folder)
    async with _running(server) as restart:
        yield Ground(server.url, harm=restart)


@asynccontextmanager
async def rabbitmq(folder: Path) -> AsyncGenerator[Ground, None]:
    server = RabbitServer(folder)
    async with _running(server) as restart:

        async def restart_later() -> None:
            await asyncio.sleep(NAMES_LAG)
            await restart()

        store = f"sqlite:///{folder}/runs.db"
        yield Ground(server.url, store, harm=restart_later)


@asynccontextmanager
async def sqs(folder: Path) -> AsyncGenerator[Ground, None]:
    async with _moto(folder, "fifo=false") as ground:
        yield ground


@asynccontextmanager
async def sqs_fifo(folder: Path) -> AsyncGenerator[Ground, None]:
    async with _moto(folder, "fifo=true") as ground:
        yield ground


GROUNDS: dict[str, Callable[[Path], Any]] = {
    "memory": memory,
    "sqlite": sqlite,
    "bullmq": bullmq,
    "postgres": postgres,
    "nats": nats,
    "rabbitmq": rabbitmq,
    "sqs": sqs,
    "sqs-fifo": sqs_fifo,
}


@asynccontextmanager
async def _running(server: Any) -> AsyncGenerator[Callable[[], Awaitable[None]], None]:
    """The server, and what kills it and starts it again."""

    async def restart() -> None:
        server.kill()
        await asyncio.to_thread(server.start)

    try:
        await asyncio.to_thread(server.start)
        yield restart
    finally:
        server.stop()


@asynccontextmanager
async def _moto(folder: Path, kind: str) -> AsyncGenerator[Ground, None]:
    """moto keeps nothing over a restart, so connections are cut instead."""
    server = SQSServer()
    async with AsyncExitStack() as stack:
        stack.enter_context(patch.dict(os.environ, CREDENTIALS))
        await stack.enter_async_context(_running(server))
        proxy = await stack.enter_async_context(Proxy(server.port))

        async def cut() -> None:
            proxy.cut()

        store = f"sqlite:///{folder}/progress.db?synchronous=normal"
        yield Ground(url_at(proxy.port, kind), store, harm=cut, lease=MOTO_LEASE)
