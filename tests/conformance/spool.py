"""A broker of messages in a SQLite file, `spool:///FILE`: what RabbitMQ and SQS are, without them.

A message comes again when its lease is over, whoever had it; there may be copies of it.
`?max_body=BYTES`: how large it may be.
"""

import asyncio
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

from cnstra.clock import Clock
from cnstra.durable.store import ProgressStore
from cnstra.jobs.broker import JobState
from cnstra.jobs.messages import MessageBroker
from cnstra.jobs.transport import Incoming, Judge, Limits, Outgoing

LOOK_AGAIN = 0.01
SCHEMA = """
CREATE TABLE IF NOT EXISTS messages (
    seq INTEGER PRIMARY KEY, queue TEXT, id TEXT, body BLOB, sent_at REAL, due_at REAL,
    token TEXT NOT NULL DEFAULT '', dead INTEGER NOT NULL DEFAULT 0)
"""
SEND = "INSERT INTO messages (queue, id, body, sent_at, due_at) VALUES (?, ?, ?, ?, ?)"
COPY = f"{SEND.partition('VALUES')[0]} SELECT queue, id, body, sent_at, due_at FROM messages"
TAKE = """
UPDATE messages SET token = ?, due_at = ? WHERE seq IN (
    SELECT seq FROM messages WHERE queue = ? AND dead = 0 AND due_at <= ? ORDER BY seq LIMIT ?)
RETURNING seq, body, id, sent_at
"""
KEEP = "UPDATE messages SET due_at = ? WHERE seq = ? AND token = ? AND due_at > ?"
PUT_BACK = "UPDATE messages SET token = '', due_at = ? WHERE seq = ? AND token = ?"
DONE = "DELETE FROM messages WHERE seq = ? AND token = ?"
BURY = "UPDATE messages SET dead = 1, body = ? WHERE seq = ? AND token = ?"
DEAD = "SELECT seq, body FROM messages WHERE queue = ? AND dead = 1 ORDER BY seq LIMIT ?"
SIZES = """
SELECT count(*) FILTER (WHERE dead = 0 AND due_at <= ?2),
    count(*) FILTER (WHERE dead = 0 AND due_at > ?2 AND token = ''),
    count(*) FILTER (WHERE dead = 0 AND due_at > ?2 AND token <> ''),
    count(*) FILTER (WHERE dead = 1) FROM messages WHERE queue = ?1
"""


def broker(
    queue: str, url: str, clock: Clock, keep_results: float, store: ProgressStore | None = None
) -> MessageBroker:
    return MessageBroker(SpoolTransport(queue, url, clock), queue, clock, keep_results, store)


def connect(url: str) -> sqlite3.Connection:
    connection = sqlite3.connect(urlsplit(url).path, timeout=20, isolation_level=None)
    connection.execute("PRAGMA synchronous = off")
    connection.execute(SCHEMA)
    return connection


def publish(url: str, queue: str, body: bytes) -> None:
    """Send a message as a stranger would."""
    with closing(connect(url)) as connection:
        connection.execute(SEND, (queue, uuid4().hex, body, 0.0, 0.0))


def duplicate(url: str, queue: str) -> None:
    """Send a copy of each message."""
    with closing(connect(url)) as connection:
        connection.execute(f"{COPY} WHERE queue = ?", (queue,))


class SpoolTransport:
    """A `Transport` in a file."""

    def __init__(self, queue: str, url: str, clock: Clock) -> None:
        self._queue, self._url, self._clock = queue, url, clock
        max_body = dict(parse_qsl(urlsplit(url).query)).get("max_body")
        self.limits = Limits(
            name="a spool",
            max_body=None if max_body is None else int(max_body),
            longest_delay=2.0,
        )

    async def open(self) -> None:
        self._connection = connect(self._url)

    async def close(self) -> None:
        self._connection.close()

    async def send(self, messages: Sequence[Outgoing]) -> None:
        now = self._clock.time()
        rows = [(self._queue, one.id, one.body, now, now + one.delay) for one in messages]
        self._connection.executemany(SEND, rows)

    async def take(self, limit: int, *, lease: float, wait: float) -> Sequence[Incoming]:
        until = self._clock.monotonic() + wait
        while True:
            now, token = self._clock.time(), self._clock.new_id()
            rows = self._all(TAKE, token, now + lease, self._queue, now, limit)
            if rows or self._clock.monotonic() >= until:
                return [
                    Incoming(body, name, sent_at, (seq, token)) for seq, body, name, sent_at in rows
                ]
            await asyncio.sleep(LOOK_AGAIN)

    async def keep(self, messages: Sequence[Incoming], lease: float) -> Sequence[bool]:
        now = self._clock.time()
        return [self._one(KEEP, now + lease, *_handle(one), now) for one in messages]

    async def done(self, message: Incoming) -> None:
        self._one(DONE, *_handle(message))

    async def put_back(self, message: Incoming, delay: float) -> None:
        self._one(PUT_BACK, self._clock.time() + delay, *_handle(message))

    async def bury(self, message: Incoming, body: bytes) -> None:
        self._one(BURY, body, *_handle(message))

    async def sift(self, judge: Judge, limit: int | None = None) -> None:
        for seq, body in self._all(DEAD, self._queue, -1 if limit is None else limit):
            if await judge(body):
                self._one("DELETE FROM messages WHERE seq = ?", seq)

    async def sizes(self) -> Mapping[JobState, int]:
        ((waiting, delayed, active, dead),) = self._all(SIZES, self._queue, self._clock.time())
        return {"waiting": waiting, "delayed": delayed, "active": active, "dead": dead}

    def _all(self, statement: str, *values: Any) -> list[Any]:
        return self._connection.execute(statement, values).fetchall()

    def _one(self, statement: str, *values: Any) -> bool:
        return self._connection.execute(statement, values).rowcount == 1


def _handle(message: Incoming) -> tuple[int, str]:
    seq, token = message.handle  # type: ignore[misc]
    return seq, token
