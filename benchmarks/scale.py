"""`python -m benchmarks.scale [NAME ...]`: is a unit as cheap when there are 100 times more?

Each row is a pair: the cost of a unit at a hundredth of the size, and at the size. Both run on a
SQLite file of their own, in turn, and the best of the repetitions is taken.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from cnstra import CNS, Collateral, Context, Queue, Worker, collateral, neuron
from cnstra.durable.journal import Durability

GOAL = 2.0
HUNDREDTH = 100

entry: Collateral[int] = collateral("entry", int)
middle: Collateral[int] = collateral("middle", int)
output: Collateral[int] = collateral("output", int)


def single() -> CNS:
    """One neuron that does nothing."""
    return CNS([neuron("only").dendrite(entry, _nothing)])


async def _nothing(payload: int) -> None:
    del payload


def fan(width: int) -> CNS:
    """entry -> fan -> `width` branches -> output."""
    spread = neuron("fan", {"middle": middle})
    branch = neuron("branch", {"output": output})

    @spread.dendrite(entry)
    async def on_entry(payload: int, axon: Any) -> Any:
        return [axon.middle.create_signal(number) for number in range(width)]

    @branch.dendrite(middle)
    async def on_middle(payload: int, axon: Any) -> Any:
        await asyncio.sleep(0)
        return axon.output.create_signal(payload)

    return CNS([spread, branch])


def loop() -> CNS:
    """One neuron that emits to itself, counts in its context, and lets the event loop in."""
    made = neuron("loop", {"entry": entry}, context=int)

    @made.dendrite(entry)
    async def on_entry(left: int, axon: Any, ctx: Context[int]) -> Any:
        ctx.set(ctx.get(0) + 1)
        await asyncio.sleep(0)
        return axon.entry.create_signal(left - 1) if left else None

    return CNS([made])


async def many_jobs(url: str, count: int) -> dict[str, float]:
    """Enqueue `count` jobs and drain them; seconds for each part."""
    async with Queue("q", url) as queue:
        began = time.perf_counter()
        for first in range(0, count, 1000):
            numbers = range(first, min(first + 1000, count))
            await queue.enqueue_many([entry.create_signal(number) for number in numbers])
        enqueued = time.perf_counter()
        worker = Worker(queue, single(), concurrency=100)
        await worker.run(until_idle=True)
        drained = time.perf_counter()
        assert (await queue.counts())["completed"] == count
    return {"a job enqueued": enqueued - began, "a job drained": drained - enqueued}


async def one_run(
    url: str, cns: CNS, payload: int, durability: Durability, **options: Any
) -> float:
    """Seconds that one job takes, from its enqueueing to its result."""
    async with Queue("q", url) as queue:
        worker = Worker(queue, cns, durability=durability, **options)
        task = asyncio.create_task(worker.run())
        await asyncio.sleep(0.1)
        began = time.perf_counter()
        job = await queue.enqueue(entry.create_signal(payload))
        await job.result(timeout=600)
        took = time.perf_counter() - began
        worker.stop()
        await task
    return took


async def wide_run(url: str, count: int) -> dict[str, float]:
    took = await one_run(url, fan(count), count, "step", results=[output])
    return {'a branch under "step"': took}


async def long_run(url: str, count: int) -> dict[str, float]:
    return {'a hop under "behind"': await one_run(url, loop(), count, "behind")}


CASES: dict[str, tuple[int, Callable[[str, int], Awaitable[dict[str, float]]]]] = {
    "jobs": (100_000, many_jobs),
    "fan": (10_000, wide_run),
    "loop": (100_000, long_run),
}


def measure(name: str, count: int) -> dict[str, float]:
    """Microseconds for each unit."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder)}/jobs.db"
        found = asyncio.run(_awaited(CASES[name][1](url, count)))
    return {what: seconds / count * 1e6 for what, seconds in found.items()}


async def _awaited(work: Awaitable[dict[str, float]]) -> dict[str, float]:
    return await work


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="NAME", help=", ".join(CASES))
    parser.add_argument("--repetitions", type=int, default=3)
    options = parser.parse_args()
    over = False
    print(f"{'':24}{'us at':>9}{'':>9}{'us at':>9}{'':>9}{'ratio':>7}{'goal':>6}")
    for name in options.cases or CASES:
        count = CASES[name][0]
        few, many = count // HUNDREDTH, count
        small, large = [], []
        for _ in range(options.repetitions):
            small.append(measure(name, few))
            large.append(measure(name, many))
        for what in small[0]:
            one, other = (min(found[what] for found in every) for every in (small, large))
            ratio = other / one
            over = over or ratio > GOAL
            print(f"{what:24}{few:9,}{one:9,.1f}{many:9,}{other:9,.1f}{ratio:7.2f}{GOAL:6.1f}")
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
