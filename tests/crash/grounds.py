"""The stores on which trials are made, each on a server of its own."""

import asyncio
import tempfile
from collections.abc import Callable, Coroutine, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from itertools import count
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

from cnstra.durable import adapters
from tests.crash.trials import Ground, Story, Trial, play
from tests.crash.virtual import run_virtually
from tests.durables import TravellingClock
from tests.nats_server import NatsServer
from tests.postgres_server import (
    STANDARD,
    PostgresServer,
    TravellingPostgresClock,
    answers,
    new_schema,
)
from tests.redis_server import RedisServer, TravellingRedisClock

SHORT = 0.02
"""What a pause of a second takes, where time is real."""

LONG = 100.0
"""Seconds of a pause that nobody waits for: until a lease is renewed."""

LEASE = 10 * LONG


class Hasty(TravellingClock):
    """A real clock whose short pauses are shorter still; ids in a row."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._ids = count(1)

    async def sleep(self, duration: float) -> None:
        await asyncio.sleep(duration if duration > LONG else duration * SHORT)

    def new_id(self) -> str:
        return f"id-{next(self._ids)}"

    def from_one(self) -> Self:
        """The same clock for another trial, whose ids are those of the first."""
        self._ids = count(1)
        return self


class HastyRedis(Hasty, TravellingRedisClock):
    """One that a Redis goes along with."""


class HastyPostgres(Hasty, TravellingPostgresClock):
    """One that a schema of Postgres goes along with."""


@dataclass(frozen=True)
class Field:
    """Grounds of one kind. new: an untouched one. virtual: whether time may jump there."""

    new: Callable[[], Ground]
    virtual: bool = True

    def play(self, trial: Trial) -> Story:
        """See a trial through, on a loop of its own."""
        run: Callable[[Coroutine[Any, Any, Story]], Story]
        run = run_virtually if self.virtual else asyncio.run
        return run(play(self.new(), trial))


@contextmanager
def _memory() -> Generator[Field]:
    yield Field(lambda: Ground(f"memory://{uuid4().hex}"))


@contextmanager
def _messages() -> Generator[Field]:
    yield Field(lambda: Ground(_mail(), f"memory://{uuid4().hex}"))


@contextmanager
def _copies() -> Generator[Field]:
    yield Field(lambda: Ground(f"{_mail()}?put_back=no", f"memory://{uuid4().hex}"))


@contextmanager
def _sqlite() -> Generator[Field]:
    with tempfile.TemporaryDirectory() as folder:
        file = f"sqlite:///{folder}/jobs.db?synchronous=normal"
        yield Field(lambda: Ground(file))


@contextmanager
def _redis() -> Generator[Field]:
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(Path(folder))
        server.start()
        try:
            yield Field(lambda: _real(server.url, lambda: HastyRedis(server)), virtual=False)
        finally:
            server.stop()


@contextmanager
def _postgres() -> Generator[Field]:
    server = None if answers(STANDARD) else PostgresServer()
    if server is not None:
        server.start()
    try:
        with new_schema(STANDARD if server is None else server.url) as url:
            asyncio.run(adapters.adapter_for(url).migrate(url))
            clock = HastyPostgres(url)  # one for all, as its schema's time must not run backwards
            yield Field(lambda: _real(url, clock.from_one), virtual=False)
    finally:
        if server is not None:
            server.stop()


@contextmanager
def _nats() -> Generator[Field]:
    with tempfile.TemporaryDirectory() as folder:
        server = NatsServer(Path(folder))
        server.start()
        place = server.place()
        try:
            yield Field(lambda: _real(_mail(), Hasty, place), virtual=False)
        finally:
            server.stop()


def _real(url: str, clock: Callable[[], Hasty], store: str | None = None) -> Ground:
    return Ground(url, store, clock, LEASE)


def _mail() -> str:
    installed = adapters._installed()  # pyright: ignore[reportPrivateUsage]
    installed["mail"] = EntryPoint("mail", "tests.mail", adapters.GROUP)
    return f"mail://{uuid4().hex}"


FIELDS: Mapping[str, Callable[[], AbstractContextManager[Field]]] = {
    "memory": _memory,
    "messages": _messages,
    "copies": _copies,
    "sqlite": _sqlite,
    "redis": _redis,
    "postgres": _postgres,
    "nats": _nats,
}
"""messages: a broker of messages and a store beside it, which is RabbitMQ's and SQS's way; copies:
the same where a message cannot be given back, and a copy must be sent. nats: a store in NATS beside
such a broker, as its own broker keeps a time that no test can move.
"""
