"""Completed jobs that a broker is told of in one step: each stands or falls by itself."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast
from uuid import uuid4

import pytest

from cnstra import Queue, Worker
from cnstra.durable.store import Ticket
from cnstra.engine.context import Context
from cnstra.errors import BrokerUnavailable
from cnstra.jobs.broker import Ahead, CompletesTogether
from cnstra.jobs.settlement import Completed, Delivery
from tests.durables import PATIENCE, drain, until
from tests.flows import request, three_steps
from tests.redis_server import RedisServer

JOBS = 8

Over = Sequence[tuple[Delivery, Completed, Ticket | None]]
Outcomes = Sequence[Sequence[Delivery] | Exception]


@pytest.fixture
async def queue(redis_server: RedisServer) -> AsyncIterator[Queue]:
    async with Queue(f"q-{uuid4().hex[:8]}", redis_server.url) as opened:
        yield opened


class Flow:
    """Eight jobs of three steps that end in one turn of the loop."""

    def __init__(self) -> None:
        self.ran = Counter[tuple[str, int]]()
        self.all_run = asyncio.Event()
        self.may_end = asyncio.Event()

    async def work(self, step: str, item: int, ctx: Context[Any]) -> None:
        self.ran[step, item] += 1
        if step == "step3":
            if sum(self.ran["step3", each] for each in range(JOBS)) == JOBS:
                self.all_run.set()
            await self.may_end.wait()

    async def enqueue(self, queue: Queue) -> None:
        for item in range(JOBS):
            await queue.enqueue(request.create_signal({"id": item}), job_id=f"job-{item}")

    @property
    def each_ran_once(self) -> bool:
        return set(self.ran.values()) == {1} and len(self.ran) == 3 * JOBS


async def test_what_is_over_together_is_told_together(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker, told = cast(CompletesTogether, queue.broker), list[int]()
    complete = broker.complete

    async def counted(over: Over, ahead: Ahead | None) -> Outcomes:
        told.append(len(over))
        return await complete(over, ahead)

    monkeypatch.setattr(broker, "complete", counted)
    flow = Flow()
    await flow.enqueue(queue)
    flow.may_end.set()

    await drain(queue, three_steps(flow.work), results=[], concurrency=JOBS)

    assert sum(told) == JOBS
    assert len(told) < JOBS
    assert flow.each_ran_once


async def test_what_the_broker_did_not_take_is_told_again_and_run_once(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker, refused = cast(CompletesTogether, queue.broker), list[int]()
    complete = broker.complete

    async def away_at_first(over: Over, ahead: Ahead | None) -> Outcomes:
        if not refused:
            refused.append(len(over))
            return [BrokerUnavailable(url=queue.url, reason="a test")] * len(over)
        return await complete(over, ahead)

    monkeypatch.setattr(broker, "complete", away_at_first)
    flow = Flow()
    await flow.enqueue(queue)
    flow.may_end.set()

    await drain(queue, three_steps(flow.work), results=[], concurrency=JOBS)

    assert (await queue.counts())["completed"] == JOBS
    assert flow.each_ran_once


async def test_one_that_is_lost_is_lost_alone(redis_server: RedisServer, queue: Queue) -> None:
    lock = f"bull:{queue.name}:job-3:lock"
    flow = Flow()
    await flow.enqueue(queue)
    worker = Worker(queue, three_steps(flow.work), concurrency=JOBS)
    running = asyncio.create_task(worker.run())
    await asyncio.wait_for(flow.all_run.wait(), PATIENCE)

    redis_server.call("SET", lock, "another worker's", "PX", 60_000)
    flow.may_end.set()

    async def seven_are_completed() -> bool:
        return (await queue.counts())["completed"] == JOBS - 1

    await until(seven_are_completed, every=0.02)
    worker.stop()
    await asyncio.wait_for(running, PATIENCE)
    stolen = await queue.get("job-3")
    assert stolen is not None
    assert await stolen.state() == "active"
    assert redis_server.call("GET", lock) == "another worker's"
