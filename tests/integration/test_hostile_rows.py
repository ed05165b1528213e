"""What is stored, written to by the wrong hands: a worker goes on, and no good job is held up."""

import logging
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnstra import Queue
from cnstra.engine.payloads import encode_json
from cnstra.jobs.broker import NewJob
from tests import mail
from tests.hostile import corrupted, examples, full_size, good_job_is_done, is_over, printable, run
from tests.postgres_server import call, schema_of
from tests.redis_server import RedisServer

DATA = b'{"signal":{"collateralName":"entry","payload":7}}'
TEXTS: list[Any] = [
    "",
    "x",
    "{",
    "[]",
    "7",
    "null",
    '"text"',
    '{"type": "fixed", "delay": "soon"}',
    '{"type": []}',
    '{"message": "\\u001b[2J", "name": 7}',
    "NaN",
    "[" * 2_000,
    '{"delay": 1e999}',
    "\x1b[2J",
]
NO_TEXT = b"\xff\xfe"
ODD: list[Any] = [*TEXTS, NO_TEXT, b"\x00", 0, -1, 2**62, 1e308, -1e308]

Row = tuple[str, Any]


async def add(queue: Queue, count: int) -> list[NewJob]:
    await queue.open()
    sent = [NewJob(f"bad-{n}", DATA, f"{queue.name}-{n}") for n in range(count)]
    await queue.io.call(lambda: queue.broker.enqueue(sent))
    return sent


def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is logged but what a person can read."""
    for record in caplog.records:
        assert printable(record.getMessage()), record.getMessage()[:300]


# --- SQLite: any column may hold anything, as a file that others write to does

COLUMNS = (
    "id",
    "rank",
    "priority",
    "attempts_made",
    "max_attempts",
    "created_at",
    "run",
    "backoff",
    "error",
    "data",
)


@given(
    rows=st.lists(
        st.tuples(st.sampled_from(COLUMNS), st.sampled_from(ODD)), min_size=1, max_size=20
    )
)
@examples(4, 300)
def test_no_row_of_a_sqlite_file_holds_up_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, rows: list[Row]
) -> None:
    caplog.clear()
    caplog.set_level(logging.INFO)
    url = f"sqlite:///{tmp_path}/jobs.db?synchronous=normal"
    name = uuid4().hex

    async def story() -> None:
        async with Queue(name, url) as queue:
            sent = await add(queue, len(rows))
            with closing(sqlite3.connect(urlsplit(url).path[1:])) as file, file:
                for job, (column, value) in zip(sent, rows, strict=True):
                    cast = "CAST(? AS TEXT)" if value == NO_TEXT else "?"
                    change = f"UPDATE OR IGNORE jobs SET {column} = {cast} WHERE run = ?"
                    file.execute(change, (value, job.run))
            await good_job_is_done(queue)
            records = await queue.jobs(limit=1_000)
            assert len(records) == len(rows) + 1
            for record in records:
                if record.state != "waiting":
                    is_over(record, record.id)

    run(story())
    quiet(caplog)


# --- BullMQ: a job's hash is written by whoever shares the Redis

FIELDS = (
    "opts",
    "data",
    "progress",
    "timestamp",
    "stc",
    "priority",
    "delay",
    "stacktrace",
    "failedReason",
    "name",
    "cn:error",
)
HASHED: list[Any] = [
    *TEXTS,
    b"\xff\xfe",
    "9" * 4_000,
    "-1",
    "1e308",
    '{"attempts": 1e300}',
    '{"attempts":"x"}',
    '{"backoff": {"type": "fixed", "delay": "x"}}',
    '{"cnstra": {"run": "%ff%"}}',
    '{"removeOnComplete": "x"}',
    '{"removeOnFail": [1]}',
    '{"priority": 1e99}',
]


@given(
    rows=st.lists(
        st.tuples(st.sampled_from(FIELDS), st.sampled_from(HASHED)), min_size=1, max_size=20
    )
)
@examples(4, 300)
def test_no_field_of_a_bullmq_job_holds_up_the_others(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture, rows: list[Row]
) -> None:
    caplog.clear()
    caplog.set_level(logging.INFO)
    name = uuid4().hex

    async def story() -> None:
        async with Queue(name, redis_server.url) as queue:
            sent = await add(queue, len(rows))
            for job, (field, value) in zip(sent, rows, strict=True):
                redis_server.call("HSET", f"bull:{name}:{job.id}", field, value)
            await good_job_is_done(queue)
            for job in sent:
                is_over(await queue.record(job.id), job.id)

    run(story())
    quiet(caplog)


# --- Postgres: its types are strict, its texts are not


@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from(["run", "backoff", "error", "data", "token"]), st.sampled_from(TEXTS)
        ),
        min_size=1,
        max_size=20,
    )
)
@examples(3, 200)
def test_no_row_of_postgres_holds_up_the_others(
    postgres_schema: str, caplog: pytest.LogCaptureFixture, rows: list[Row]
) -> None:
    caplog.clear()
    caplog.set_level(logging.INFO)
    server, schema = schema_of(postgres_schema)
    name = uuid4().hex

    async def story() -> None:
        async with Queue(name, postgres_schema) as queue:
            sent = await add(queue, len(rows))
            for job, (column, value) in zip(sent, rows, strict=True):
                typed = value.encode() if column == "data" else value
                call(
                    server, f"UPDATE {schema}.jobs SET {column} = %s WHERE run = %s", typed, job.run
                )
            await good_job_is_done(queue)
            for job in sent:
                is_over(await queue.record(job.id), job.id)

    run(story())
    quiet(caplog)


# --- messages: what a broker of messages keeps of a job is in the message itself

MESSAGE = {
    "signal": {"collateralName": "entry", "payload": 7},
    "cnstra": {
        "id": "j",
        "run": "r",
        "attempts": 1,
        "maxAttempts": 3,
        "backoff": {"type": "fixed", "delay": 1.0},
        "generation": 1,
        "createdAt": 5.0,
        "runAt": 5.0,
        "priority": 1,
        "error": {"message": "m"},
        "elsewhere": False,
        "isWrapped": False,
        "raw": "e30=",
        "progress": {"failedTasks": []},
    },
}


@given(bodies=st.lists(corrupted(MESSAGE), min_size=1, max_size=30))
@examples(6, 500)
@pytest.mark.parametrize("options", ["", "?put_back=no&delay=1.5"], ids=["mail", "copies"])
def test_no_message_holds_up_the_others(
    options: str, caplog: pytest.LogCaptureFixture, bodies: list[bytes]
) -> None:
    caplog.clear()
    caplog.set_level(logging.INFO)
    url = f"mail://{uuid4().hex}{options}"

    async def story() -> None:
        boxes = mail.boxes_of(url, "q")
        async with Queue("q", url) as queue:
            boxes.letters += [
                mail.Letter(full_size(body), f"m-{n}", 5.0, 0.0) for n, body in enumerate(bodies)
            ]
            await good_job_is_done(queue)
            for record in await queue.jobs("dead", limit=1_000):
                is_over(record, record.id)
                encode_json(record.error)

    run(story())
    quiet(caplog)
