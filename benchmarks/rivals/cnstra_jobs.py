"""cnstra: six neurons in a chain. The broker is the server that there is, or a file of SQLite's.

`Place.option` is the durability.
"""

import asyncio
import json
from typing import Any, TypedDict

from benchmarks.rivals.flow import STEPS, step
from benchmarks.rivals.place import Place
from cnstra import CNS, Neuron, Queue, Worker, collateral, neuron

LEASE = 5.0


class Work(TypedDict):
    job: int
    value: int


class Outcome(TypedDict):
    results: list[Work]


channels = [collateral(f"value{number}", Work) for number in range(STEPS + 1)]


def _step(number: int) -> Neuron[Any, Any]:
    def on_value(work: Work, axon: Any) -> Any:
        value = step(work["job"], number, work["value"])
        return axon.out.create_signal({"job": work["job"], "value": value})

    return neuron(f"step{number}", {"out": channels[number + 1]}).dendrite(
        channels[number], on_value
    )


def _queue(place: Place) -> Queue:
    if place.rabbitmq:
        return Queue("rivals", place.rabbitmq, store=place.redis)
    return Queue("rivals", place.redis or place.postgres or f"sqlite:///{place.folder}/jobs.db")


def work() -> None:
    place = Place.told()
    durability: Any = place.option
    cns = CNS([_step(number) for number in range(STEPS)])

    async def run() -> None:
        async with _queue(place) as queue:
            worker = Worker(
                queue, cns, results=[channels[STEPS]], durability=durability, lease=LEASE,
                crash_limit=None,
            )  # fmt: skip
            await worker.run()

    asyncio.run(run())


def submit(jobs: range) -> None:
    async def add() -> None:
        async with _queue(Place.told()) as queue:
            for job in jobs:
                entry = channels[0].create_signal({"job": job, "value": 0})
                await queue.enqueue(entry, job_id=f"job-{job}")

    asyncio.run(add())


def results(jobs: range) -> list[int | None]:
    async def read() -> list[int | None]:
        async with _queue(Place.told()) as queue:
            return [await _result(queue, job) for job in jobs]

    return asyncio.run(read())


async def _result(queue: Queue, job: int) -> int | None:
    found = await queue.get(f"job-{job}")
    record = await found.record() if found else None
    if record is None or record.result is None:
        return None
    outcome: Outcome = json.loads(record.result)
    [end] = outcome["results"]
    return end["value"]
