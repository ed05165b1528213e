"""A process that works on a queue as hard as it can, until it is killed.

It writes down what it was promised, after it was promised: `accepted <job>` and `completed <job>`.
"""

import asyncio
import os
import random
import sys

from cnstra.clock import SYSTEM_CLOCK
from cnstra.durable.adapters import adapter_for
from cnstra.durable.store import Patch, Saved, Ticket
from cnstra.errors import Fenced, LeaseLost
from cnstra.jobs.broker import Broker, NewJob
from cnstra.jobs.settlement import Completed, DeadLettered, Delivery, Requeued, Retry, Settlement

LEASE = 0.5
STEPS = 5
ERROR = {"message": "no", "name": "ValueError", "stack": ""}


def steps_of(saved: Saved) -> int:
    """How many steps the progress holds; it must hold each whole."""
    if not saved.entries:
        return 0
    steps = int(saved.entries["steps"])
    assert set(saved.entries) == {"steps", "seq", *(f"step/{n}" for n in range(steps))}, saved
    assert int(saved.entries["seq"]) <= saved.seq, saved
    return steps


async def work(broker: Broker, delivery: Delivery) -> None:
    """Take up the run where it is, go on for some steps, and end the attempt somehow."""
    saved, store = delivery.saved, broker.store
    assert saved is not None
    assert store is not None
    assert saved.result is None, saved
    steps, seq = steps_of(saved), saved.seq
    while steps < STEPS and random.random() < 0.9:
        seq += 1
        entries = {"steps": b"%d" % (steps + 1), "seq": b"%d" % seq, f"step/{steps}": bytes(200)}
        await store.commit(Ticket(delivery.run, saved.epoch, seq), Patch(entries))
        steps += 1
    ending = end_of(steps)
    await broker.settle(delivery, ending, Ticket(delivery.run, saved.epoch, seq + 1))
    if isinstance(ending, Completed):
        say("completed", delivery.job_id)


def end_of(steps: int) -> Settlement:
    if steps == STEPS:
        return Completed(b"%d" % steps)
    endings: list[Settlement] = [
        Retry(0.0, None, ERROR),
        Retry(0.01, None, ERROR),
        Requeued(None),
        DeadLettered(ERROR, None),
    ]
    return random.choice(endings)


async def hammer(broker: Broker, name: str) -> None:
    number = 0
    while True:
        new = [NewJob(f"{name}-{number + n}", b"{}", f"run-{name}-{number + n}") for n in range(2)]
        assert all(await broker.enqueue(new))
        for each in new:
            say("accepted", each.id)
        number += len(new)
        deliveries = await broker.receive(3, lease=LEASE, wait=0.0, rate=None)
        outcomes = await asyncio.gather(
            *(work(broker, each) for each in deliveries), return_exceptions=True
        )
        for outcome in outcomes:
            if outcome is not None and not isinstance(outcome, Fenced | LeaseLost):
                raise outcome


def say(what: str, job_id: str) -> None:
    os.write(1, f"{what} {job_id}\n".encode())


async def main(url: str, name: str) -> None:
    broker: Broker = adapter_for(url).broker("q", url, SYSTEM_CLOCK, 3600.0)
    await broker.open()
    await hammer(broker, name)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
