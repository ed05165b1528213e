"""D5: a run belongs to one worker at a time, and the store sees to it."""

import asyncio
import logging
from typing import Any

import pytest

from cnstra import CNS, Queue, Worker, run_durably
from cnstra.durable.journal import Durability
from cnstra.durable.store import Ticket
from cnstra.errors import Fenced
from cnstra.jobs.settlement import Lost, Requeued, Settlement
from tests.durables import (
    PATIENCE,
    BrokerAround,
    CarryingBroker,
    SlowStore,
    StoreAround,
    Story,
    TravellingClock,
    around,
    drain,
    entry,
    output,
    receive,
    record_of,
    store_at,
    until,
    with_store,
    working,
)


@pytest.mark.parametrize("durability", ["exit", "behind", "step"])
async def test_a_worker_that_was_overtaken_is_refused_and_loses_the_job(
    url: str, durability: Durability, caplog: pytest.LogCaptureFixture
) -> None:
    """Its lease runs out while it is in mid-job; the other worker's result is the job's."""
    caplog.set_level(logging.INFO, "cnstra.jobs")
    slow, quick = Story(), Story()
    entered = slow.stands("second")
    async with Queue("q", url) as one, Queue("q", url) as other:
        settled: Settling = around(one, Settling)
        job = await one.enqueue(entry.create_signal(7))
        async with working(one, slow.chain(), durability=durability, lease=0.3, grace=0.1):
            await asyncio.wait_for(entered.wait(), PATIENCE)
            settled.renewing = False
            await drain(other, quick.chain(), durability=durability)
            assert await job.result(timeout=PATIENCE) == {"results": [7]}
            slow.opens("second")
            await until(lambda: "is out of our hands" in caplog.text or _lost(caplog))

        assert settled.settlements == [Lost()], "it told the broker that it lost the job"
        assert slow.count("third") == 0 or durability != "step"
        first_again = 1 if durability == "exit" else 0
        assert quick.count("first") == first_again, "the other resumed what was saved"
        assert await job.result(timeout=PATIENCE) == {"results": [7]}
        assert (await record_of(one, job.id)).attempts_made == 0


def _lost(caplog: pytest.LogCaptureFixture) -> bool:
    return any("is lost" in record.getMessage() for record in caplog.records)


class Settling(BrokerAround):
    """Keeps what was settled; lets leases run out on demand."""

    def __init__(self, inner: Any, store: Any = None) -> None:
        super().__init__(inner, store)
        self.renewing = True
        self.settlements: list[Settlement] = []

    async def renew(self, deliveries: Any, lease: float) -> Any:
        if not self.renewing:
            return ["kept"] * len(deliveries)
        return await self.inner.renew(deliveries, lease)

    async def settle(self, delivery: Any, settlement: Any, ticket: Any, *_: Any) -> None:
        await self.inner.settle(delivery, settlement, ticket)
        self.settlements.append(settlement)


async def test_a_lost_lease_aborts_the_run(url: str) -> None:
    story = Story()
    entered = story.stands("second")
    async with Queue("q", url) as queue:
        broker: Losing = around(queue, Losing)
        await queue.enqueue(entry.create_signal(7))
        async with working(queue, story.chain(), lease=3.0, grace=0.0) as worker:
            await asyncio.wait_for(entered.wait(), PATIENCE)
            broker.losing = True
            await until(lambda: not worker._tasks)
            await until(lambda: broker.settlements == [Lost()])
        assert story.count("third") == 0


class Losing(Settling):
    losing = False

    async def renew(self, deliveries: Any, lease: float) -> Any:
        if self.losing:
            return ["lost"] * len(deliveries)
        return await super().renew(deliveries, lease)


async def test_a_redelivered_finished_run_settles_with_its_stored_result(
    url: str, clock: TravellingClock
) -> None:
    """The worker died after the result was stored and before the job was acknowledged."""
    story = Story()
    async with Queue("q", url, clock=clock) as queue:
        job = await queue.enqueue(entry.create_signal(7))
        store = queue.store
        assert store is not None
        held = await receive(queue)
        saved = await queue.io.call(lambda: store.load(held.run))
        ticket = Ticket(held.run, saved.epoch, saved.seq + 1)
        await queue.io.call(lambda: store.finish(ticket, b'{"results":["stored"]}', None))
        clock.travel(100.0)

        await drain(queue, story.chain())

        assert await job.result(timeout=PATIENCE) == {"results": ["stored"]}
        assert story.log == []


async def test_the_result_is_stored_before_the_job_is_acknowledged(url: str) -> None:
    """On a broker that cannot do both in one step; a death in between is settled from the store."""
    story = Story()
    order: list[str] = []

    class Telling(StoreAround):
        async def finish(self, ticket: Ticket, result: bytes, keep: float | None) -> None:
            await super().finish(ticket, result, keep)
            order.append("stored")

    class Dying(CarryingBroker):
        async def settle(
            self, delivery: Any, settlement: Any, ticket: Any, ahead: Any = None
        ) -> None:
            order.append(type(settlement).__name__)
            if order.count("Completed") == 1:
                settlement = Requeued(None)
            await super().settle(delivery, settlement, ticket)

    async with Queue("q", url) as queue:
        store = Telling(queue.broker.store)  # type: ignore[arg-type]
        queue._own_store = store
        around(queue, Dying)
        job = await queue.enqueue(entry.create_signal(7))
        await drain(queue, story.chain())

        assert order == ["stored", "Completed", "Completed"]
        assert [name for name, _ in story.log] == ["first", "second", "third"]
        assert await job.result(timeout=PATIENCE) == {"results": [7]}


@pytest.mark.parametrize("fails", [False, True])
async def test_nothing_is_in_flight_when_a_job_is_settled(url: str, fails: bool) -> None:
    """A write that has begun is waited for, whether the run is complete by then or not."""
    story = Story()
    story.stands("third")
    story.fails("third", int(fails))
    async with Queue("q", url) as queue:
        store: SlowStore = with_store(queue, SlowStore)
        broker = around(queue, lambda inner: Settling(inner, store))
        await queue.enqueue(entry.create_signal(7), max_attempts=2, backoff=3600.0)
        async with working(queue, story.chain()) as worker:
            await until(lambda: story.count("third") == 1 and store.begun == 1)
            story.opens("third")
            for _ in range(20):
                await asyncio.sleep(0.002)
            assert (broker.settlements, store.landed) == ([], 0)
            store.let(100)
            await until(lambda: broker.settlements)
            assert store.landed == store.begun
            await until(lambda: not worker._tasks)


async def test_a_second_call_of_a_run_alone_takes_it_over(url: str) -> None:
    slow, quick = Story(), Story()
    entered = slow.stands("second")
    options: dict[str, Any] = {"key": "one", "store": url, "results": [output]}
    first = asyncio.create_task(
        run_durably(slow.chain(), entry.create_signal(7), grace=0.0, **options)
    )
    await asyncio.wait_for(entered.wait(), PATIENCE)
    await _landed(url)

    assert await run_durably(quick.chain(), entry.create_signal(7), **options) == {"results": [7]}
    slow.opens("second")

    with pytest.raises(Fenced, match="taken over run 'one'"):
        await asyncio.wait_for(first, PATIENCE)
    assert quick.count("first") == 0


async def _landed(url: str) -> None:
    """Wait until the run's first checkpoint can be seen from another connection."""
    store = store_at(url)
    await store.open()

    async def is_there() -> bool:
        saved = await store.peek("one")
        return saved is not None and bool(saved.entries)

    await until(is_there)
    await store.close()


async def test_a_worker_reports_a_result_only_once(url: str) -> None:
    """Two workers drain one queue: each job is run by one of them."""
    story = Story()
    async with Queue("q", url) as one, Queue("q", url) as other:
        jobs = await one.enqueue_many([entry.create_signal(number) for number in range(40)])
        workers = [
            Worker(queue, CNS([story.step("only", entry, output)]), concurrency=4, results=[output])
            for queue in (one, other)
        ]
        await asyncio.gather(*(worker.run(until_idle=True) for worker in workers))

        assert sorted(story.log) == [("only", number) for number in range(40)]
        assert [await job.result(timeout=PATIENCE) for job in jobs] == [
            {"results": [number]} for number in range(40)
        ]
