"""A queue of so many jobs and its history, on each broker that lists its jobs, for the page.

Half of the jobs are dead, a hundred wait, the others are completed; none is active or delayed.
"""

import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnstra import CNS, History, Queue, Worker, collateral, neuron
from cnstra.clock import SYSTEM_CLOCK
from cnstra.durable.adapters import adapter_for
from cnstra.history.records import AttemptRow, Error, Payload, TaskRow
from cnstra.history.store import Batch
from tests.postgres_server import PostgresServer, call, schema_of
from tests.redis_server import RedisServer

BATCH = 1_000
WAITING = 100

ERROR = Error("ConnectionError", "no bank on port 80")

SQLITE_JOBS = """
INSERT INTO jobs (queue, id, state, rank, priority, max_attempts, created_at, run, data, error)
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :size)
SELECT queue, 'job-' || i,
    CASE
        WHEN i % 2 = 0 THEN 'dead' WHEN i BETWEEN 101 AND 300 THEN 'waiting' ELSE 'completed'
    END,
    iif(i BETWEEN 101 AND 300, 0, created_at + 604800), priority, 1, created_at, 'r' || i, data,
    iif(i % 2 = 0, '{"name": "ConnectionError", "message": "no bank on port 80"}', NULL)
FROM jobs, n;
"""
POSTGRES_JOBS = """
INSERT INTO {schema}.jobs
    (queue, id, state, rank, priority, max_attempts, created_at, run, data, error)
SELECT queue, 'job-' || i,
    CASE
        WHEN i % 2 = 0 THEN 'dead' WHEN i BETWEEN 101 AND 300 THEN 'waiting' ELSE 'completed'
    END,
    CASE WHEN i BETWEEN 101 AND 300 THEN 0 ELSE created_at + 604800 END, priority, 1, created_at,
    'r' || i, data,
    CASE WHEN i % 2 = 0 THEN '{{"name": "ConnectionError", "message": "no bank on port 80"}}' END
FROM {schema}.jobs, generate_series(1, {size}) AS i
"""

order = collateral("order", dict[str, Any])


@dataclass(frozen=True, slots=True)
class Crowd:
    """`pids`: the processes of its server, whose time is that of the page too."""

    worker: Worker
    pids: Callable[[], list[int]]

    def seconds(self) -> float:
        """Processor seconds of the server and of this process."""
        return time.process_time() + sum(_seconds_of(pid) for pid in self.pids())


@asynccontextmanager
async def sqlite(size: int) -> AsyncIterator[Crowd]:
    with tempfile.TemporaryDirectory() as folder:
        queue = Queue("orders", f"sqlite:///{folder}/jobs.db?synchronous=normal")
        async with _crowd(queue, f"sqlite:///{folder}/history.db", size, list) as crowd:
            await queue.enqueue(order.create_signal({"id": 0}), job_id="job-0")
            with closing(sqlite3.connect(Path(folder) / "jobs.db")) as connection:
                connection.executescript(SQLITE_JOBS.replace(":size", str(size)))
            yield crowd


@asynccontextmanager
async def postgres(size: int) -> AsyncIterator[Crowd]:
    server = PostgresServer(autovacuum="off")
    server.start()
    try:
        url = f"{server.url}?schema=page"
        queue = Queue("orders", url)
        async with _crowd(queue, url, size, lambda: _children(server)) as crowd:
            await queue.enqueue(order.create_signal({"id": 0}), job_id="job-0")
            call(server.url, POSTGRES_JOBS.format(schema=schema_of(url)[1], size=size))
            call(server.url, "VACUUM ANALYZE")
            call(server.url, "CHECKPOINT")
            yield crowd
    finally:
        server.stop()


@asynccontextmanager
async def bullmq(size: int) -> AsyncIterator[Crowd]:
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(Path(folder))
        server.start()
        assert server.process is not None
        pid = server.process.pid
        try:
            queue = Queue("orders", server.url)
            async with _crowd(queue, server.url, size, lambda: [pid]) as crowd:
                await _work(queue, size)
                job = await queue.record("job-77")
                assert job is not None
                await _write(server.url, [_batch([77], time.time() - 1800, run=job.run)])
                yield crowd
        finally:
            server.stop()


CROWDS = {"SQLite": sqlite, "Postgres": postgres, "BullMQ": bullmq}


@asynccontextmanager
async def _crowd(
    queue: Queue, history_url: str, size: int, pids: Callable[[], list[int]]
) -> AsyncIterator[Crowd]:
    await _write(history_url, _history_of(size))
    history = History(history_url)
    yield Crowd(Worker(queue, _graph(), history=history), pids)
    await queue.close()
    await history.close()


def _graph() -> CNS:
    step = neuron("step", {})

    @step.dendrite(order)
    def handle(payload: dict[str, Any]) -> None:
        if payload["id"] % 2 == 0:
            raise ConnectionError(ERROR.message)

    return CNS([step])


async def _work(queue: Queue, size: int) -> None:
    """What its worker makes of so many jobs, the last of which still wait."""
    await queue.enqueue(order.create_signal({"id": 76}), job_id="job-77")
    for left in range(size - WAITING, 0, -BATCH):
        numbers = range(min(left, BATCH))
        await queue.enqueue_many(order.create_signal({"id": one}) for one in numbers)
    await Worker(queue, _graph(), concurrency=50).run(until_idle=True)
    await queue.enqueue_many(order.create_signal({"id": 1}) for _ in range(WAITING))


async def _write(url: str, batches: Iterable[Batch]) -> None:
    store = adapter_for(url).history(url, SYSTEM_CLOCK)
    await store.open()
    for batch in batches:
        await store.write(batch)
    await store.close()


def _history_of(size: int) -> Iterator[Batch]:
    """So many runs, an hour old, of which half failed."""
    at = time.time() - 3600
    for first in range(0, size, BATCH):
        yield _batch(range(first, min(first + BATCH, size)), at)


def _batch(numbers: Sequence[int], at: float, run: str = "") -> Batch:
    return Batch(
        attempts=[_attempt(number, at, run or f"r{number}") for number in numbers],
        tasks=[_task(at, run or f"r{number}") for number in numbers],
    )


def _attempt(number: int, at: float, run: str) -> AttemptRow:
    is_dead = number % 2 == 0
    return AttemptRow(
        f"a {run}", run, "orders", f"job-{number}", 1, "w", at, at, "order",
        Payload('{"id": 1}', 9), at + 0.5, "dead" if is_dead else "completed",
        ERROR if is_dead else None, "step" if is_dead else None,
    )  # fmt: skip


def _task(at: float, run: str) -> TaskRow:
    return TaskRow(f"a {run}", "k", "step", "order", 1, at, at + 0.5, "done", run=run)


def _children(server: PostgresServer) -> list[int]:
    """The processes that the server's first one has started."""
    assert server.process is not None
    pid = server.process.pid
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _seconds_of(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
