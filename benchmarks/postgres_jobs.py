"""A job in Postgres, beside the plain loop that a program without us would write with psycopg.

The plain loop leases one row with SKIP LOCKED, and marks it done. Ours does the same with a token,
a lease, a fenced run, a result, events and a wake-up. Server and worker share the machine, and the
wall's time counts: run it on a quiet machine.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator

import psycopg

from benchmarks.chains import chain_of
from benchmarks.measure import Figure
from cnstra import Queue, Worker
from cnstra.adapters import postgres
from cnstra.adapters.postgres.broker import PostgresBroker
from cnstra.clock import SYSTEM_CLOCK
from cnstra.durable.store import Ticket
from cnstra.jobs.broker import Ahead, NewJob
from cnstra.jobs.settlement import Completed, Delivery
from tests.postgres_server import PostgresServer, new_schema

LEASE = 30.0
BATCH = 500
DATA = b'{"signal":{"collateralName":"input","payload":{"id":1}}}'

MAKE = """
CREATE TABLE jobs (
    id bigserial PRIMARY KEY, state text DEFAULT 'waiting', data bytea, result bytea
);
CREATE INDEX ON jobs (id) WHERE state = 'waiting'
"""
ADD = b"INSERT INTO jobs (data) SELECT unnest(%s::bytea[])"
LEASE_ONE = b"""
UPDATE jobs SET state = 'active'
WHERE id = (
    SELECT id FROM jobs WHERE state = 'waiting' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED
)
RETURNING id, data
"""
END = b"UPDATE jobs SET state = 'completed', result = '{}' WHERE id = %s"

Timed = Callable[[str, int, int], Awaitable[float]]
"""Seconds for so many jobs, at so much concurrency."""


def figures(repetitions: int) -> Iterator[Figure]:
    rounds = max(1, repetitions // 17)
    server = PostgresServer(fsync="on")
    server.start()
    try:
        for concurrency, jobs, goal in ((1, 1_500, 1.5), (8, 6_000, 1.0), (50, 10_000, 0.8)):
            yield _figure(server, "drain", plain_drain, drain, concurrency, jobs, goal, rounds)
        for concurrency, jobs in ((1, 1_000), (50, 5_000)):
            yield _figure(server, "durable hop", plain_drain, hops, concurrency, jobs, 2.0, rounds)
        yield _figure(server, "enqueue", plain_enqueue, enqueue, 1, 20_000, 2.0, rounds)
    finally:
        server.stop()


def _figure(
    server: PostgresServer,
    name: str,
    bare: Timed,
    engine: Timed,
    concurrency: int,
    jobs: int,
    goal: float,
    rounds: int,
) -> Figure:
    def timed(work: Timed) -> float:
        with new_schema(server.url) as url:
            return asyncio.run(work(url, jobs, concurrency)) * 1e9 / jobs

    pairs = [(timed(bare), timed(engine)) for _ in range(rounds)]
    return Figure(
        name=f"Postgres {name}, {concurrency} at once",
        unit="ns",
        bare=statistics.median(each for each, _ in pairs),
        engine=statistics.median(each for _, each in pairs),
        ratio=statistics.median(ours / theirs for theirs, ours in pairs),
        goal=goal,
    )


# --- the plain loop


async def _connect(url: str) -> psycopg.AsyncConnection:
    server, _, schema = url.partition("?schema=")
    connection = await psycopg.AsyncConnection.connect(server, autocommit=True)
    await connection.execute(f"SET search_path = {schema}".encode())
    return connection


async def plain_enqueue(url: str, jobs: int, concurrency: int) -> float:
    server, _, schema = url.partition("?schema=")
    async with await psycopg.AsyncConnection.connect(server, autocommit=True) as connection:
        await connection.execute(f"CREATE SCHEMA {schema}".encode())
    async with await _connect(url) as connection:
        await connection.execute(MAKE)
        began = time.perf_counter()
        for _ in range(0, jobs, BATCH):
            await connection.execute(ADD, [[DATA] * BATCH])
        return time.perf_counter() - began


async def plain_drain(url: str, jobs: int, concurrency: int) -> float:
    await plain_enqueue(url, jobs, 1)

    async def loop() -> None:
        async with await _connect(url) as connection:
            while found := await (await connection.execute(LEASE_ONE)).fetchone():
                await connection.execute(END, [found[0]])

    began = time.perf_counter()
    await asyncio.gather(*(loop() for _ in range(concurrency)))
    return time.perf_counter() - began


# --- ours


async def enqueue(url: str, jobs: int, concurrency: int) -> float:
    broker = await _filled(url, 0)
    began = time.perf_counter()
    await _fill(broker, jobs)
    took = time.perf_counter() - began
    await broker.close()
    return took


async def drain(url: str, jobs: int, concurrency: int) -> float:
    """Lease and complete: the broker alone, without a run."""
    broker = await _filled(url, jobs)
    ahead = Ahead(LEASE, None)

    async def chain(delivery: Delivery) -> None:
        following = [delivery]
        while following:
            saved = following[0].saved
            assert saved is not None
            ticket = Ticket(following[0].run, saved.epoch, saved.seq + 1)
            following = list(await broker.settle(following[0], Completed(b"{}"), ticket, ahead))

    began = time.perf_counter()
    first = await broker.receive(concurrency, lease=LEASE, wait=1.0, rate=None)
    await asyncio.gather(*(chain(each) for each in first))
    took = time.perf_counter() - began
    assert (await broker.counts())["completed"] == jobs
    await broker.close()
    return took


async def hops(url: str, jobs: int, concurrency: int) -> float:
    """A whole worker, and a run of one hop, written behind."""
    await (await _filled(url, jobs)).close()
    async with Queue("bench", url) as queue:
        worker = Worker(queue, chain_of(1), concurrency=concurrency)
        began = time.perf_counter()
        await worker.run(until_idle=True)
        return time.perf_counter() - began


async def _filled(url: str, jobs: int) -> PostgresBroker:
    broker = postgres.broker("bench", url, SYSTEM_CLOCK, 3600.0)
    await broker.open()
    await _fill(broker, jobs)
    return broker


async def _fill(broker: PostgresBroker, jobs: int) -> None:
    for first in range(0, jobs, BATCH):
        await broker.enqueue([
            NewJob(f"{number}", DATA, f"run {number}") for number in range(first, first + BATCH)
        ])  # fmt: skip
