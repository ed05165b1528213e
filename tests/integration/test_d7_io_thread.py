"""D7: leases and checkpoints do not depend on the user's loop being free."""

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from cnstra import CNS, Queue, Worker, collateral, neuron
from cnstra.durable.journal import Durability
from cnstra.engine.spells import LENGTH
from tests.durables import (
    PATIENCE,
    BrokerAround,
    Story,
    around,
    drain,
    entry,
    later,
    middle,
    output,
    until,
    working,
)

LEASE = 1.0


@pytest.mark.parametrize("durability", ["exit", "behind", "step"])
async def test_a_handler_that_blocks_for_three_leases_keeps_its_lease(
    tmp_path: Path, durability: Durability
) -> None:
    """Seen from elsewhere meanwhile: under "behind" and "step" the hops before it are saved."""
    url = f"sqlite:///{tmp_path}/jobs.db"
    story = Story()
    seen: list[Any] = []

    async with Queue("q", url) as queue, Queue("q", url) as looking:
        job = await queue.enqueue(entry.create_signal(7))
        record = await queue.record(job.id)
        assert record is not None
        store, run = looking.store, record.run
        assert store is not None
        await looking.open()

        def block(payload: int, axon: Any) -> Any:
            """The loop is not free: only the thread of `looking` can look."""
            ends_at = time.monotonic() + 3 * LEASE
            while time.monotonic() < ends_at:
                time.sleep(0.02)
            done: list[Any] = []

            async def look() -> None:
                taken = await looking.broker.receive(1, lease=LEASE, wait=0.0, rate=None)
                done.append((await store.peek(run), taken))

            looking.io.spawn(look)
            while not done:
                time.sleep(0.005)
            seen.extend(done)
            return axon.output.create_signal(payload)

        cns = CNS([
            story.step("first", entry, middle),
            story.step("second", middle, later),
            neuron("blocks", {"output": output}).dendrite(later, block),
        ])  # fmt: skip
        broker: Counting = around(queue, Counting)
        async with working(queue, cns, durability=durability, lease=LEASE):
            assert await job.result(timeout=PATIENCE) == {"results": [7]}

        (saved, taken), kinds = seen[0], await _kinds(queue)
    assert taken == [], "another worker finds nothing to take"
    assert broker.states[:2] == ["kept", "kept"]
    assert "stalled" not in kinds
    assert kinds.count("started") == 1
    owed = [key for key in saved.entries if key.startswith("t/")]
    contexts = sorted(key for key in saved.entries if key.startswith("c/"))
    if durability == "exit":
        assert (owed, contexts) == ([], [])
    else:
        assert (len(owed), contexts) == (1, ["c/first", "c/second"])


class Counting(BrokerAround):
    """Keeps what became of each renewal while the job ran."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.states: list[str] = []

    async def renew(self, deliveries: Any, lease: float) -> Any:
        states = await self.inner.renew(deliveries, lease)
        self.states.extend(states)
        return states


async def _kinds(queue: Queue) -> list[str]:
    events = await queue.io.call(lambda: queue.broker.events(0))
    return [event.kind for event in events]


async def test_a_handler_that_blocks_holds_up_no_other_worker_of_the_process(url: str) -> None:
    """Two queues have two I/O threads; and a cancel is heard of as soon as the loop is free."""
    story = Story()
    hop = collateral("hop", int)
    cns = CNS([neuron("blocks").dendrite(hop, lambda _: time.sleep(3 * LEASE))])
    async with Queue("slow", url) as slow, Queue("quick", url) as quick:
        job = await slow.enqueue(hop.create_signal(1))
        others = await quick.enqueue_many([entry.create_signal(one) for one in range(5)])
        async with working(slow, cns, lease=LEASE, results=[]):
            await drain(quick, story.chain())
            for number, other in enumerate(others):
                assert await other.result(timeout=PATIENCE) == {"results": [number]}
            assert await job.result(timeout=PATIENCE) == {"results": []}


async def test_a_cancel_reaches_a_running_job(url: str) -> None:
    story = Story()
    story.stands("second")
    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(7))
        async with working(queue, story.chain(), lease=LEASE, grace=0.0):
            await until(lambda: story.count("second") == 1)
            assert await job.cancel()
            with pytest.raises(Exception, match="JobCancelled"):
                await job.result(timeout=PATIENCE)
        assert story.count("third") == 0


class Foretelling(BrokerAround):
    """Says of every lease what a test tells it to, once it has been told."""

    state: Any = None
    said = 0

    async def renew(self, deliveries: Any, lease: float) -> Any:
        if self.state is None:
            return await self.inner.renew(deliveries, lease)
        self.said += 1
        return [self.state] * len(deliveries)


@pytest.mark.parametrize("what", ["SIGTERM", "cancelled", "lost"])
async def test_a_chain_of_sync_handlers_hears_between_its_steps(url: str, what: str) -> None:
    """Its handlers never let the loop have its turn: the run does, between two of them."""
    ran: list[str] = []

    def step(name: str, source: Any, target: Any) -> Any:
        def handler(payload: int, axon: Any) -> Any:
            ran.append(name)
            if name == "second":
                happens()
            return axon.target.create_signal(payload)

        return neuron(name, {"target": target}).dendrite(source, handler)

    def happens() -> None:
        if what == "SIGTERM":
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(2 * LENGTH)
            return
        broker.state = what
        while broker.said < 2:  # then the worker has been told of the first
            time.sleep(0.005)

    cns = CNS([
        step("first", entry, middle), step("second", middle, later), step("third", later, output)
    ])  # fmt: skip
    async with Queue("q", url) as queue:
        broker: Foretelling = around(queue, Foretelling)
        job = await queue.enqueue(entry.create_signal(7), max_attempts=1)
        worker = Worker(queue, cns, lease=0.3, grace=PATIENCE)
        running = asyncio.create_task(worker.run())
        await until(lambda: running.done() or (what != "SIGTERM" and ran and not worker._tasks))
        worker.stop()
        await asyncio.wait_for(running, PATIENCE)
        record = await queue.record(job.id)

    assert ran == ["first", "second"]
    assert record is not None
    state = {"SIGTERM": "waiting", "cancelled": "dead"}.get(what, record.state)
    assert (record.state, record.attempts_made) == (state, int(state == "dead"))
