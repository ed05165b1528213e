"""The page: what it takes with a hundred thousand jobs and runs, against a thousand of each.

What is timed is the processor time of all threads, so that a busy machine does not count.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Iterator
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
    await queue.open()
    for first in range(0, size, 1000):
        await asyncio.gather(*[
            queue.enqueue(order.create_signal({"id": number}), job_id=f"job-{number}")
            for number in range(first, first + 1000)
        ])  # fmt: skip
    _settle(folder / "jobs.db")
    await _fill_history(f"sqlite:///{folder}/history.db", size)
    history = History(f"sqlite:///{folder}/history.db")
    return Worker(queue, CNS([step]), history=history)


def _settle(file: Path) -> None:
    """End the jobs where they lie: a worker would take minutes."""
    import sqlite3

    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE jobs SET state = 'completed', rank = created_at + 604800")
        connection.execute(
            "UPDATE jobs SET state = 'dead', rank = created_at, error = ? WHERE seq % 200 = 0",
            ('{"name": "ConnectionError", "message": "no bank on port 80", "stack": ""}',),
        )
        connection.execute("UPDATE jobs SET state = 'waiting', rank = 0 WHERE seq % 500 = 1")
    connection.close()


async def _fill_history(url: str, size: int) -> None:
    store = adapter_for(url).history(url, SYSTEM_CLOCK)
    await store.open()
    now, error = time.time(), Error("ConnectionError", "no bank on port 80")
    for first in range(0, size, 1000):
        batch = Batch()
        for number in range(first, first + 1000):
            dead = number % 200 == 0
            began = now - size + number
            batch.attempts.append(
                AttemptRow(
                    f"a{number}", f"r{number}", "orders", f"job-{number}", 1, "w", began, began,
                    "order", Payload('{"id": 1}', 9), began + 0.5, "dead" if dead else "completed",
                    error if dead else None, "step" if dead else None,
                )
            )  # fmt: skip
            batch.tasks.append(
                TaskRow(f"a{number}", f"k{number}", "step", "order", 1, began, began + 0.5, "done")
            )
        await store.write(batch)
    await store.close()


if __name__ == "__main__":
    for one in figures(15):
        print(f"{one.name:28}{one.bare:10,.0f}{one.engine:10,.0f}{one.ratio:7.2f}")
