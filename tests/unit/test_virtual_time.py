"""Days pass in milliseconds, and nothing else changes."""

import asyncio
import time
from datetime import timedelta
from typing import Any

import pytest

from cnstra import CNS, Context, Queue, Worker, collateral, exponential, neuron
from cnstra.errors import InvalidOption, JobFailed
from cnstra.testing import (
    EffectRecorder,
    VirtualClock,
    WorkerHarness,
    assert_enqueued,
    failing,
    refute_enqueued,
    virtual_time,
)

order, done = collateral("order", dict), collateral("done", dict)
DAY = 86_400.0


def worker(charge: Any, **options: Any) -> Worker:
    till = neuron("till", {"done": done})

    @till.dendrite(order)
    async def on_order(payload: Any, axon: Any, ctx: Context[Any]) -> Any:
        await asyncio.sleep(3600.0)
        charge(ctx.idempotency_key)
        return axon.done.create_signal(payload)

    return Worker(Queue("orders", "memory://never"), CNS([till]), results=[done], **options)


async def test_three_days_of_backoff_pass_at_once() -> None:
    calls: list[float] = []
    began = time.monotonic()
    async with virtual_time() as clock:
        charge = failing(lambda key: calls.append(clock.monotonic()), on=[1, 2])
        own = clock.worker(worker(charge))
        job = await own.queue.enqueue(
            order.create_signal({"id": 7}), max_attempts=3, backoff=exponential(timedelta(days=1))
        )
        await own.run(until_idle=True)
        found = await job.result(timeout=0)

    assert found == {"results": [{"id": 7}]}
    assert calls == [pytest.approx(3 * DAY + 3 * 3600, abs=60)]
    assert time.monotonic() - began < 10


async def test_the_loop_has_its_own_time_again() -> None:
    async with virtual_time() as clock:
        await clock.sleep(timedelta(days=1))
        assert clock.monotonic() == pytest.approx(DAY)
        assert asyncio.get_running_loop().time() > DAY

    began = time.monotonic()
    await asyncio.sleep(0.05)
    assert time.monotonic() - began >= 0.05


async def test_others_wake_in_their_order() -> None:
    woken: list[str] = []

    async def wake(name: str, after: float) -> None:
        await asyncio.sleep(after)
        woken.append(name)

    async with virtual_time():
        await asyncio.gather(wake("week", 7 * DAY), wake("hour", 3600.0), wake("day", DAY))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(DAY):
                await asyncio.sleep(2 * DAY)

    assert woken == ["hour", "day", "week"]


async def test_time_stands_while_a_thread_works() -> None:
    async with virtual_time() as clock:
        async with asyncio.timeout(DAY):
            await asyncio.to_thread(time.sleep, 0.1)
        assert clock.monotonic() < DAY


async def test_a_harness_runs_one_attempt_and_drains(
    cnstra_worker: Any, cnstra_effects: EffectRecorder
) -> None:
    def charge(key: str) -> None:
        cnstra_effects.record("charge", key)

    harness: WorkerHarness = cnstra_worker(worker(failing(charge, on=1)))
    signal = order.create_signal({"id": 7})
    await harness.queue.enqueue(signal, max_attempts=2, backoff=DAY)
    await harness.queue.enqueue(signal)

    assert await harness.run_one() == "Retry"
    assert cnstra_effects.count("charge") == 0
    assert await harness.drain() == {"Completed": 2}
    assert cnstra_effects.count("charge") == 2
    assert len({*cnstra_effects.keys("charge")}) == 2
    assert await harness.run_one() is None


async def test_a_harness_runs_one_attempt_of_a_worker_that_runs_several(
    cnstra_worker: Any, cnstra_effects: EffectRecorder
) -> None:
    def charge(key: str) -> None:
        cnstra_effects.record("charge", key)

    harness: WorkerHarness = cnstra_worker(worker(charge, concurrency=4))
    for number in range(3):
        await harness.queue.enqueue(order.create_signal({"id": number}))

    assert await harness.run_one() == "Completed"
    assert cnstra_effects.count("charge") == 1
    await assert_enqueued(harness.queue, order, count=2)
    assert await harness.run_one() == "Completed"
    assert cnstra_effects.count("charge") == 2
    assert await harness.drain() == {"Completed": 1}


async def test_a_job_is_performed(cnstra_worker: Any) -> None:
    harness: WorkerHarness = cnstra_worker(worker(lambda key: None))

    assert await harness.perform(order.create_signal({"id": 7})) == {"results": [{"id": 7}]}

    broken: WorkerHarness = cnstra_worker(worker(failing(lambda key: None)))
    with pytest.raises(JobFailed, match="told to fail"):
        await broken.perform(order.create_signal({"id": 7}))


async def test_a_worker_that_is_told_to_stop_gives_its_job_back(cnstra_worker: Any) -> None:
    calls: list[str] = []

    def charge(key: str) -> None:
        calls.append(key)
        if len(calls) == 1:
            asyncio.get_running_loop().call_later(60.0, harness.stop)
            raise RuntimeError("not yet")

    harness: WorkerHarness = cnstra_worker(worker(charge))
    await harness.queue.enqueue(order.create_signal({"id": 7}), max_attempts=2, backoff=1.0)

    assert await harness.drain() == {"Retry": 1, "Requeued": 1}
    assert await harness.drain() == {"Completed": 1}
    assert len({*calls}) == 1


async def test_what_waits_in_a_queue_is_asserted(cnstra_clock: VirtualClock) -> None:
    queue = cnstra_clock.queue("orders")
    signal, other = order.create_signal({"id": 7}), order.create_signal({"id": 8})
    await queue.enqueue(signal)
    await queue.enqueue(signal, delay=timedelta(days=1))

    record = await assert_enqueued(queue, signal, count=2)
    await assert_enqueued(queue, order)
    await refute_enqueued(queue, other)
    await refute_enqueued(queue, "done")

    assert record.state == "waiting"
    with pytest.raises(AssertionError, match=r'a job for order {"id":8} .* wait: order {"id":7}'):
        await assert_enqueued(queue, other)
    with pytest.raises(AssertionError, match="3 jobs for order expected in queue 'orders', 2"):
        await assert_enqueued(queue, order, count=3)
    with pytest.raises(AssertionError, match=r'no job for order {"id":7} expected'):
        await refute_enqueued(queue, signal)


async def test_a_fake_fails_on_the_calls_that_it_is_told() -> None:
    calls: list[int] = []

    async def charge(number: int) -> int:
        calls.append(number)
        return number

    before = failing(charge, on=2, error=TimeoutError)
    after = failing(charge, on=[1], error=OSError("the reply was lost"), after=True)

    assert await before(1) == 1
    with pytest.raises(TimeoutError):
        await before(2)
    assert await before(3) == 3
    with pytest.raises(OSError, match="the reply was lost"):
        await after(4)
    assert await after(5) == 5
    assert calls == [1, 3, 4, 5]


def test_a_clock_has_one_loop() -> None:
    clock = VirtualClock()

    async def use() -> None:
        await clock.sleep(1.0)

    asyncio.run(use())
    with pytest.raises(InvalidOption, match="one clock a loop"):
        asyncio.run(use())


def test_what_is_watched_is_recorded() -> None:
    class Bank:
        limit = 5

        def charge(self, amount: int, *, key: str) -> int:
            return amount

        async def refund(self, amount: int) -> int:
            return -amount

    effects = EffectRecorder()
    bank = effects.watch("bank", Bank(), key="key")

    assert bank.charge(3, key="k") == 3
    assert asyncio.run(bank.refund(3)) == -3
    assert bank.limit == 5
    assert [(one.name, one.key) for one in effects.all] == [
        ("bank.charge", "k"),
        ("bank.refund", None),
    ]


def test_a_key_is_found_however_it_was_passed(cnstra_effects: EffectRecorder) -> None:
    class Bank:
        def charge(self, amount: int, key: str) -> int:
            return amount

    bank = cnstra_effects.watch("bank", Bank(), key="key")

    bank.charge(50, "first")
    bank.charge(50, key="second")

    assert cnstra_effects.keys("bank.charge") == ["first", "second"]
