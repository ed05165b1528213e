"""A job of BullMQ's in our worker, in the stock Python one, in a warm one of Node's.

Redis and each worker share the machine, and the wall's time counts: run it on a quiet machine.
"""

import asyncio
import json
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from math import inf
from pathlib import Path
from typing import Any

from bullmq import Worker as StockWorker

from benchmarks.chains import chain_of
from benchmarks.measure import Figure
from cnstra import Queue, Worker
from cnstra.adapters import bullmq
from cnstra.clock import SYSTEM_CLOCK
from cnstra.durable.journal import Durability
from cnstra.durable.store import Ticket
from cnstra.jobs.broker import Ahead
from cnstra.jobs.settlement import Completed, Delivery
from tests.node_programs import Bull, Program
from tests.redis_server import RedisServer

QUEUE = "bench"
BATCH = 5_000
LEASE = 30.0
DONE = Completed(b'{"results":[]}')

Rate = Callable[[RedisServer, int, int], float]
"""Jobs per second over the second half of so many jobs, at so much concurrency."""


def figures(repetitions: int) -> Iterator[Figure]:
    rounds = max(1, repetitions // 17)
    for concurrency, jobs in ((1, 8_000), (50, 40_000), (200, 40_000)):
        yield _figure("transport", transport, node, concurrency, jobs, 1.0, rounds)
    for concurrency, jobs in ((1, 4_000), (50, 20_000), (200, 20_000)):
        yield _figure("durable hop", behind, node, concurrency, jobs, 1 / 0.7, rounds)
    yield _figure("3 hops, step", step, node_with_progress, 50, 10_000, 1 / 0.5, rounds)
    yield _figure("stock Python worker", stock, node, 50, 10_000, inf, rounds)


def _figure(
    name: str, engine: Rate, bare: Rate, concurrency: int, jobs: int, goal: float, rounds: int
) -> Figure:
    pairs = [
        (_timed(bare, concurrency, jobs), _timed(engine, concurrency, jobs)) for _ in range(rounds)
    ]
    return Figure(
        name=f"BullMQ {name}, {concurrency} at once",
        unit="ns",
        bare=statistics.median(each for each, _ in pairs),
        engine=statistics.median(each for _, each in pairs),
        ratio=statistics.median(ours / theirs for theirs, ours in pairs),
        goal=goal,
    )


def _timed(rate: Rate, concurrency: int, jobs: int) -> float:
    """Nanoseconds per job, on a server of its own that Node has filled."""
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(Path(folder))
        server.start()
        try:
            with Bull(server.port, QUEUE) as bull:
                for first in range(0, jobs, BATCH):
                    bull.ask("addMany", count=min(BATCH, jobs - first), first=first)
            return 1e9 / rate(server, jobs, concurrency)
        finally:
            server.stop()


# --- Node's worker, and the stock Python one


def node(server: RedisServer, jobs: int, concurrency: int, *, progress: int = 0) -> float:
    options = {
        "port": server.port, "queue": QUEUE, "concurrency": concurrency, "total": jobs,
        "progress": progress,
    }  # fmt: skip
    with Program("noop.mjs", json.dumps(options)) as program:
        return float(json.loads(program.line())["rate"])


def node_with_progress(server: RedisServer, jobs: int, concurrency: int) -> float:
    return node(server, jobs, concurrency, progress=3)


def stock(server: RedisServer, jobs: int, concurrency: int) -> float:
    async def process(job: Any, token: str) -> dict[str, Any]:
        return {"results": []}

    async def run() -> float:
        options = {"connection": {"port": server.port}, "concurrency": concurrency}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            worker = StockWorker(QUEUE, process, options)
            try:
                return await _second_half(server, jobs)
            finally:
                with suppress(Exception):
                    await worker.close(force=True)

    return asyncio.run(run())


# --- ours


def transport(server: RedisServer, jobs: int, concurrency: int) -> float:
    """Lease and complete: the broker alone, without a run."""

    async def run() -> float:
        broker = bullmq.broker(QUEUE, server.url, SYSTEM_CLOCK, 3600.0)
        await broker.open()
        ahead = Ahead(LEASE, None)

        async def chain(following: Sequence[Delivery]) -> None:
            while following:
                done = [(each, DONE, _last_write(each)) for each in following]
                following = [
                    delivery
                    for outcome in await broker.complete(done, ahead)
                    for delivery in _taken(outcome)
                ]

        first = await broker.receive(concurrency, lease=LEASE, wait=1.0, rate=None)
        together = broker.capabilities.completes_together
        shares = [first[at : at + together] for at in range(0, len(first), together)]
        chains = [asyncio.create_task(chain(share)) for share in shares]
        try:
            return await _second_half(server, jobs)
        finally:
            await asyncio.gather(*chains)
            await broker.close()

    return asyncio.run(run())


def _last_write(delivery: Delivery) -> Ticket:
    assert delivery.saved is not None
    return Ticket(delivery.run, delivery.saved.epoch, delivery.saved.seq + 1)


def _taken(outcome: Sequence[Delivery] | Exception) -> Sequence[Delivery]:
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def behind(server: RedisServer, jobs: int, concurrency: int) -> float:
    return _durable(server, jobs, concurrency, hops=1, durability="behind")


def step(server: RedisServer, jobs: int, concurrency: int) -> float:
    return _durable(server, jobs, concurrency, hops=3, durability="step")


def _durable(
    server: RedisServer, jobs: int, concurrency: int, *, hops: int, durability: Durability
) -> float:
    async def run() -> float:
        async with Queue(QUEUE, server.url) as queue:
            worker = Worker(queue, chain_of(hops), concurrency=concurrency, durability=durability)
            running = asyncio.create_task(worker.run(until_idle=True))
            rate = await _second_half(server, jobs)
            await running
            return rate

    return asyncio.run(run())


async def _second_half(server: RedisServer, jobs: int) -> float:
    def completed() -> int:
        return int(server.call("ZCARD", f"bull:{QUEUE}:completed"))

    while (half := completed()) < jobs // 2:
        await asyncio.sleep(0.02)
    began = time.perf_counter()
    while (done := completed()) < jobs:
        await asyncio.sleep(0.02)
    return (done - half) / (time.perf_counter() - began)
