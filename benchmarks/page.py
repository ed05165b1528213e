"""The page: what it takes with a hundred thousand jobs and runs, against a thousand of each.

What is timed is the processor time of all threads, so that a busy machine does not count.
"""

import asyncio
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx

from benchmarks.measure import Figure
from cnstra import CNS, History, Queue, Worker, collateral, neuron
from cnstra.clock import SYSTEM_CLOCK
from cnstra.dashboard import asgi
from cnstra.durable.adapters import adapter_for
from cnstra.history.records import AttemptRow, Error, Payload, TaskRow
from cnstra.history.store import Batch

FEW, MANY = 1_000, 100_000
GOAL = 1.5
TOKEN = "the token of this benchmark"
PAGES = {
    "overview": "/",
    "jobs": "/jobs",
    "jobs, completed": "/jobs?state=completed",
    "jobs, deep": "/jobs?after=900",
    "runs": "/runs",
    "runs, dead": "/runs?state=dead",
    "runs, by job": "/runs?job=job-5",
    "runs, by neuron": "/runs?neuron=step",
    "dead letters": "/dead",
    "one job": "/job?id=job-77",
    "graph": "/graph",
}

NUMBERS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :size)"
JOBS = f"""
INSERT INTO jobs (queue, id, state, rank, priority, max_attempts, created_at, run, data, error)
{NUMBERS}
SELECT queue, 'job-' || i,
    CASE WHEN i % 2 = 0 THEN 'dead' WHEN i % 500 = 1 THEN 'waiting' ELSE 'completed' END,
    iif(i % 500 = 1, 0, created_at + 604800), priority, 1, created_at, 'r' || i, data,
    iif(i % 2 = 0, '{{"name": "ConnectionError", "message": "no bank on port 80"}}', NULL)
FROM jobs, n;
"""
HISTORY = f"""
INSERT INTO runs (
    run, queue, job, state, attempts, created_at, started_at, updated_at, collateral, payload,
    payload_size, neuron, fingerprint, error
)
{NUMBERS}
SELECT 'r' || i, queue, 'job-' || i, iif(i % 2 = 0, 'dead', 'completed'), 1, created_at,
    started_at, updated_at, collateral, payload, payload_size, iif(i % 2 = 0, neuron, NULL),
    iif(i % 2 = 0, fingerprint, NULL), iif(i % 2 = 0, error, NULL)
FROM runs, n;

INSERT INTO attempts (id, run, number, worker, started_at, ended_at, outcome)
{NUMBERS}
SELECT 'a' || i, 'r' || i, 1, worker, started_at, ended_at, outcome FROM attempts, n;

INSERT INTO tasks (attempt, key, row, neuron, started_at, is_over)
{NUMBERS}
SELECT 'a' || i, key, row, neuron, started_at, is_over FROM tasks, n;
"""

order = collateral("order", dict[str, Any])


def figures(repetitions: int) -> Iterator[Figure]:
    few, many = (asyncio.run(_timed(size, repetitions)) for size in (FEW, MANY))
    for name in PAGES:
        yield Figure(f"page: {name}", "us", few[name], many[name], many[name] / few[name], GOAL)


async def _timed(size: int, repetitions: int) -> dict[str, float]:
    """Microseconds of the processor for each page, with so many jobs and runs."""
    with tempfile.TemporaryDirectory() as folder:
        worker = await _filled(Path(folder), size)
        transport = httpx.ASGITransport(asgi(worker, token=TOKEN))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            await client.get("/login", params={"token": TOKEN})
            found = {name: await _time(client, path, repetitions) for name, path in PAGES.items()}
        await worker.queue.close()
        assert worker.history is not None
        await worker.history.close()
    return found


async def _time(client: httpx.AsyncClient, path: str, repetitions: int) -> float:
    taken: list[float] = []
    for _ in range(repetitions + 1):
        began = time.process_time()
        answer = await client.get(path)
        taken.append(time.process_time() - began)
        assert answer.status_code == 200, answer.text
    return statistics.median(taken[1:]) * 1e6


async def _filled(folder: Path, size: int) -> Worker:
    """A queue in which most jobs are completed and some are dead, and their history."""
    step = neuron("step", {})

    @step.dendrite(order)
    def handle(payload: dict[str, Any]) -> None: ...

    queue = Queue("orders", f"sqlite:///{folder}/jobs.db?synchronous=normal")
    await queue.enqueue(order.create_signal({"id": 0}), job_id="job-0")
    _multiply(folder / "jobs.db", JOBS, size)
    await _begin_history(f"sqlite:///{folder}/history.db")
    _multiply(folder / "history.db", HISTORY, size)
    history = History(f"sqlite:///{folder}/history.db")
    return Worker(queue, CNS([step]), history=history)


def _multiply(file: Path, script: str, size: int) -> None:
    """Make `size` rows of the one that is there, as workers would have left them."""
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(script.replace(":size", str(size)))


async def _begin_history(url: str) -> None:
    """A history of one run, which failed."""
    store = adapter_for(url).history(url, SYSTEM_CLOCK)
    await store.open()
    error, now = Error("ConnectionError", "no bank on port 80"), time.time() - 3600
    attempt = AttemptRow(
        "a0", "r0", "orders", "job-0", 1, "w", now, now, "order", Payload('{"id": 1}', 9),
        now + 0.5, "dead", error, "step",
    )  # fmt: skip
    task = TaskRow("a0", "k", "step", "order", 1, now, now + 0.5, "done")
    await store.write(Batch(attempts=[attempt], tasks=[task]))
    await store.close()


if __name__ == "__main__":
    for one in figures(15):
        print(f"{one.name:28}{one.bare:10,.0f}{one.engine:10,.0f}{one.ratio:7.2f}")
