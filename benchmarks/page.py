"""The page: what it takes with a hundred thousand jobs and runs, against a thousand of each.

What is timed is the processor time of all threads, and of the broker's server, so that a busy
machine does not count.
"""

import asyncio
import statistics
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import httpx

from benchmarks.crowds import CROWDS, Crowd
from benchmarks.measure import Figure
from cnstra.dashboard import asgi

FEW, MANY = 1_000, 100_000
GOAL = 1.5
TOKEN = "the token of this benchmark"
PAGES = {
    "overview": "/",
    "jobs": "/jobs",
    "jobs, completed": "/jobs?state=completed",
    "jobs, waiting": "/jobs?state=waiting",
    "jobs, delayed": "/jobs?state=delayed",
    "jobs, deep": "/jobs?after=900",
    "runs": "/runs",
    "runs, dead": "/runs?state=dead",
    "runs, by job": "/runs?job=job-5",
    "runs, by neuron": "/runs?neuron=step",
    "dead letters": "/dead",
    "one job": "/job?id=job-77",
    "graph": "/graph",
}


def figures(repetitions: int) -> Iterator[Figure]:
    for broker in CROWDS:
        yield from asyncio.run(_figures(broker, repetitions))


async def _figures(broker: str, repetitions: int) -> list[Figure]:
    """Microseconds of the processor for each page, with few and with many jobs, in turns."""
    crowd = CROWDS[broker]
    async with crowd(FEW) as few, crowd(MANY) as many, _visit(few) as a, _visit(many) as b:
        return [
            _figure(
                f"{broker}: {name}",
                [
                    (await _time(few, a, path), await _time(many, b, path))
                    for _ in range(repetitions + 1)
                ],
            )
            for name, path in PAGES.items()
        ]


def _figure(name: str, pairs: list[tuple[float, float]]) -> Figure:
    """Of those timings but the first, in which caches were filled."""
    pairs = pairs[1:]
    return Figure(
        name,
        "us",
        statistics.median(few for few, _ in pairs),
        statistics.median(many for _, many in pairs),
        statistics.median(many / few for few, many in pairs),
        GOAL,
    )


@asynccontextmanager
async def _visit(crowd: Crowd) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(asgi(crowd.worker, token=TOKEN))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        await client.get("/login", params={"token": TOKEN})
        yield client


async def _time(crowd: Crowd, client: httpx.AsyncClient, path: str) -> float:
    began = crowd.seconds()
    answer = await client.get(path)
    taken = crowd.seconds() - began
    assert answer.status_code == 200, answer.text
    return taken * 1e6


if __name__ == "__main__":
    for one in figures(15):
        print(f"{one.name:28}{one.bare:10,.0f}{one.engine:10,.0f}{one.ratio:7.2f}", flush=True)
