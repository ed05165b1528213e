"""D8: leases that cannot be renewed for ever."""

import asyncio
import gc
import time
import uuid

import pytest

from cnstra import CNS, Queue, Worker, collateral, neuron
from cnstra.errors import UnboundedHandler
from cnstra.jobs.attempt import Attempt
from tests.durables import until, working

STEPS = 8
request, step, done = collateral("request", int), collateral("step", int), collateral("done", int)


def loop_of(steps: list[int], pause: float) -> CNS:
    """A loop that counts down, one pause a hop."""
    counter = neuron("counter", {"step": step, "done": done})

    @counter.dendrite([request, step])
    async def count(left, axon):
        steps.append(left)
        await asyncio.sleep(pause)
        return axon.step.create_signal(left - 1) if left else axon.done.create_signal(0)

    return CNS([counter])


async def test_a_job_longer_than_its_lease_can_be_is_parked_between_its_activations():
    """Given leases that end after a second, a job of two is given back and goes on."""
    steps: list[int] = []
    async with Queue("q", f"memory://{uuid.uuid4()}?longest_lease=1") as queue:
        job = await queue.enqueue(request.create_signal(STEPS))
        worker = Worker(queue, loop_of(steps, 0.25), results=[done], lease=0.6, crash_limit=1)

        await worker.run(until_idle=True)

        record = await job.record()
        kinds = [event.kind for event in await queue.io.call(lambda: queue.broker.events(0))]
        assert await job.result(timeout=1) == {"results": [0]}
    assert steps == list(range(STEPS, -1, -1)), "no step ran twice"
    assert record is not None
    assert record.attempts_made == 0, "parking uses up no attempt"
    assert "requeued" in kinds
    assert "stalled" not in kinds, "no lease was left to run out"


@pytest.mark.parametrize("how", ["delay=inf", "put_back=no&delay=1"])
@pytest.mark.parametrize("blocks", [False, True])
async def test_a_handler_longer_than_its_lease_can_be_is_handed_over(how: str, blocks: bool):
    """Given messages that are taken away after 3 s, a handler of 6.6 s runs once, to its end,
    while another worker stands by."""
    starts: list[str] = []
    slow = neuron("slow", {"step": step})
    after = neuron("after", {"done": done})

    @slow.dendrite(request)
    async def sleep(left, axon):
        starts.append("slow")
        if blocks:
            time.sleep(6.6)
        else:
            await asyncio.sleep(6.6)
        return axon.step.create_signal(left)

    @after.dendrite(step)
    def end(left, axon):
        starts.append("after")
        return axon.done.create_signal(left)

    name = f"mail://{uuid.uuid4()}?longest_lease=3&{how}"
    async with Queue("q", name) as queue, Queue("q", name) as other:
        job = await queue.enqueue(request.create_signal(7))
        worker = Worker(queue, CNS([slow, after]), results=[done], lease=1.8, crash_limit=1)
        second = asyncio.to_thread(_work_on, other, CNS([slow, after]))
        await asyncio.gather(worker.run(until_idle=True), second)
        assert await job.result(timeout=5) == {"results": [7]}
        assert (await queue.counts())["dead"] == 0
    assert starts == ["slow", "after"]


def _work_on(queue: Queue, cns: CNS) -> None:
    asyncio.run(Worker(queue, cns, results=[done], lease=1.8, crash_limit=1).run(until_idle=True))


@pytest.mark.parametrize("scheme", ["memory", "mail"])
async def test_a_worker_keeps_nothing_of_the_jobs_that_are_over(scheme: str):
    """Given leases that end after half an hour, jobs that are done wait for none of that."""
    jobs = 40
    async with (
        Queue("q", f"{scheme}://{uuid.uuid4()}?longest_lease=1800") as queue,
        working(queue, loop_of([], 0), results=[done], concurrency=2),
    ):
        added = await queue.enqueue_many([request.create_signal(1) for _ in range(jobs)])
        for job in added:
            await job.result(timeout=30)

        ids = {job.id for job in added}
        await until(lambda: len(_attempts_at(ids)) <= 2)


def _attempts_at(ids: set[str]) -> list[Attempt]:
    gc.collect()
    found = [one for one in gc.get_objects() if isinstance(one, Attempt)]
    return [one for one in found if one.delivery.job_id in ids]


async def test_a_lease_is_not_renewed_beyond_its_end():
    """Given a worker that does not give it back, the job is another's when the lease has ended."""
    name = f"memory://{uuid.uuid4()}?longest_lease=0.3"
    async with Queue("q", name) as queue:
        await queue.enqueue(request.create_signal(1))
        broker = queue.broker
        (delivery,) = await queue.io.call(lambda: broker.receive(1, lease=0.2, wait=1, rate=None))
        await queue.io.call(lambda: broker.renew([delivery], 60))
        (again,) = await queue.io.call(lambda: broker.receive(1, lease=0.2, wait=5, rate=None))
        assert again.job_id == delivery.job_id
        assert await queue.io.call(lambda: broker.renew([delivery], 60)) == ["lost"]


async def test_without_a_store_a_handler_must_end_before_the_lease_does(monkeypatch):
    """Given no store to park in, a handler without a bound is refused by name."""
    async with Queue("q", f"memory://{uuid.uuid4()}?longest_lease=10") as queue:
        monkeypatch.setattr(type(queue), "store", None)
        with pytest.raises(UnboundedHandler, match=r"'counter'.*max_duration"):
            Worker(queue, loop_of([], 0), durability="exit")
