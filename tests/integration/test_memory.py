"""What is the memory adapter's own: names, threads, and waits that never poll."""

import asyncio
import threading
from uuid import uuid4

from cnstra.adapters import memory
from cnstra.clock import SYSTEM_CLOCK
from cnstra.jobs.broker import NewJob
from cnstra.jobs.limits import RateLimit
from tests.manual_clock import ManualClock, settled


def job(job_id: str) -> NewJob:
    return NewJob(job_id, b"{}", f"run of {job_id}")


async def test_a_name_is_a_place_of_its_own() -> None:
    one, same, other = (f"memory://{name}" for name in ("one", "one", "other"))
    brokers = [memory.broker("q", url, SYSTEM_CLOCK, 60.0) for url in (one, same, other)]
    for broker in brokers:
        await broker.open()

    assert await brokers[0].enqueue([job(uuid4().hex)]) == [True]

    assert [len(await broker.jobs()) for broker in brokers] == [1, 1, 0]
    for broker in brokers:
        await broker.close()


async def test_a_receiver_wakes_for_a_job_from_another_thread() -> None:
    url = f"memory://{uuid4().hex}"
    broker = memory.broker("q", url, SYSTEM_CLOCK, 60.0)
    await broker.open()
    receiving = asyncio.create_task(broker.receive(1, lease=30.0, wait=30.0, rate=None))
    await settled()

    async def enqueue() -> None:
        sender = memory.broker("q", url, SYSTEM_CLOCK, 60.0)
        await sender.open()
        await sender.enqueue([job("a")])
        await sender.close()

    thread = threading.Thread(target=lambda: asyncio.run(enqueue()))
    thread.start()

    assert [each.job_id for each in await asyncio.wait_for(receiving, 5.0)] == ["a"]
    thread.join()
    await broker.close()


async def test_a_broker_whose_loop_is_gone_disturbs_nobody() -> None:
    url = f"memory://{uuid4().hex}"
    thread = threading.Thread(
        target=lambda: asyncio.run(memory.broker("q", url, SYSTEM_CLOCK, 60.0).open())
    )
    thread.start()
    thread.join()

    broker = memory.broker("q", url, SYSTEM_CLOCK, 60.0)
    await broker.open()

    assert await broker.enqueue([job("a")]) == [True]
    await broker.close()


async def test_a_wait_is_one_sleep_until_something_is_due() -> None:
    clock = ManualClock()
    broker = memory.broker("q", f"memory://{uuid4().hex}", clock, 60.0)
    await broker.open()
    rate = RateLimit(1, per=10.0)
    await broker.enqueue([job("a"), job("b")])
    await broker.receive(1, lease=30.0, wait=0.0, rate=rate)

    receiving = asyncio.create_task(broker.receive(1, lease=30.0, wait=500.0, rate=rate))
    await settled()

    asleep = [wakes_at for wakes_at, sleeper in clock.sleepers if not sleeper.done()]
    assert asleep == [10.0]
    await clock.advance(10.0)
    assert [each.job_id for each in await asyncio.wait_for(receiving, 1.0)] == ["b"]
    await broker.close()
