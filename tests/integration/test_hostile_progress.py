"""Progress that nobody should have saved: a job ends with a reason, and the worker goes on."""

import asyncio
import json
import logging
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnstra import Queue
from cnstra.durable.progress import Progress
from cnstra.durable.store import Patch, Ticket
from cnstra.durable.wire import from_wire, to_wire
from cnstra.errors import CnstraError
from cnstra.jobs.broker import NewJob
from cnstra.jobs.settlement import Requeued
from tests.durables import CarryingBroker, around, receive
from tests.hostile import corrupted, examples, full_size, good_job_is_done, is_over, mutated, run

DATA = b'{"signal":{"collateralName":"entry","payload":7}}'
KEY = "0123456789abcdef0123456789abcdef"
ENTRIES: dict[str, Any] = {
    "m": {"stimulationId": "s"},
    f"t/{KEY}": {
        "n": "second",
        "c": "middle",
        "p": 7,
        "i": 3,
        "l": "0*2.1",
        "d": 2,
        "h": 2,
        "k": "k",
    },
    f"e/{KEY}": {"message": "m", "name": "Error", "stack": "s", "aborted": False},
    f"s/{KEY}": {"x": 1, "on": True},
    "c/first": [7],
    f"r/{KEY}": {"c": "output", "p": 7, "l": "0", "d": 3},
}
SEEDS_OWN = {
    "context": {"step1": {"executed": ["step1-100"]}, "first": [7]},
    "failedTasks": [
        {
            "task": {
                "stimulationId": "s", "neuronId": "second", "dendriteCollateralName": "middle",
                "input": {"collateralName": "middle", "payload": 7},
            },
            "error": {"message": "m", "name": "Error", "stack": "s"},
            "aborted": True,
        }
    ],
}  # fmt: skip
OURS: Any = json.loads(
    to_wire(Progress("r", {key: json.dumps(value).encode() for key, value in ENTRIES.items()}))
)

Entries = dict[str, bytes]


@st.composite
def entries(draw: st.DrawFn) -> Entries:
    """A run's entries, of which some are not what they were."""
    found = {key: json.dumps(value).encode() for key, value in ENTRIES.items()}
    for key in draw(st.sets(st.sampled_from(sorted(found)), min_size=1, max_size=3)):
        found[key] = draw(corrupted(ENTRIES[key]))
    for key in draw(st.sets(st.sampled_from(sorted(found)), max_size=1)):
        value = found.pop(key)
        found[draw(st.sampled_from(["t/", "e/zz", "r/x", "c/", "?", key[:5], "s/" + "g" * 40]))] = (
            value
        )
    return found


@given(saved=st.lists(entries(), min_size=1, max_size=25))
@examples(3, 100)
def test_hostile_entries_are_dead_lettered_and_the_worker_goes_on(
    url: str, caplog: pytest.LogCaptureFixture, saved: list[Entries]
) -> None:
    caplog.clear()
    name = uuid4().hex

    async def story() -> None:
        async with Queue(name, url) as queue:
            sent = [NewJob(f"bad-{n}", DATA, f"{name}-{n}") for n in range(len(saved))]
            await queue.io.call(lambda: queue.broker.enqueue(sent))
            await asyncio.gather(*(leave(queue, one) for one in saved))
            await good_job_is_done(queue, results=["output"], crash_limit=None)
            for job in sent:
                is_over(await queue.record(job.id), job.id)

    run(story())
    assert [one.message for one in caplog.records if one.levelno >= logging.ERROR] == []


async def leave(queue: Queue, entries: Entries) -> None:
    """Be a worker that writes this of the next job, and gives it back."""
    store = queue.store
    assert store is not None
    held = await receive(queue)
    saved = await queue.io.call(lambda: store.load(held.run))
    first, last = (Ticket(held.run, saved.epoch, saved.seq + number) for number in (1, 2))
    whole = {key: full_size(value) for key, value in entries.items()}
    await queue.io.call(lambda: store.commit(first, Patch(whole)))
    await queue.io.call(lambda: queue.broker.settle(held, Requeued(None), last))


@given(wires=st.lists(st.one_of(corrupted(SEEDS_OWN), corrupted(OURS)), min_size=1, max_size=25))
@examples(5, 500)
def test_hostile_progress_that_a_job_carries_is_dead_lettered_and_the_worker_goes_on(
    caplog: pytest.LogCaptureFixture, wires: list[bytes]
) -> None:
    """As BullMQ's jobs do, whose progress anybody may write."""
    caplog.clear()

    async def story() -> None:
        async with Queue("q", f"memory://{uuid4().hex}") as queue:
            queue._own_store = queue.store
            broker: CarryingBroker = around(queue, CarryingBroker)
            sent = [NewJob(f"bad-{n}", DATA, f"run-{n}") for n in range(len(wires))]
            await queue.io.call(lambda: queue.broker.enqueue(sent))
            broker.carried |= {
                job.id: full_size(wire) for job, wire in zip(sent, wires, strict=True)
            }
            await good_job_is_done(queue, crash_limit=None)
            for job in sent:
                is_over(await queue.record(job.id), job.id)

    run(story())
    assert [one.message for one in caplog.records if one.levelno >= logging.ERROR] == []


@given(wire=st.one_of(corrupted(SEEDS_OWN), corrupted(OURS), mutated(b'{"failedTasks":[]}')))
@examples(100, 20_000)
def test_hostile_progress_is_read_or_refused(wire: bytes) -> None:
    """What was read can be written again, and owes the same."""
    with suppress(CnstraError):
        progress = from_wire("r", full_size(wire))
        if progress is not None:
            progress.check()
            owes_the_same(progress)


def owes_the_same(progress: Progress) -> None:
    again = from_wire("r", to_wire(progress))
    assert again is not None
    assert [key for key, _ in again.tasks()] == [key for key, _ in progress.tasks()]
    assert again.contexts().keys() == progress.contexts().keys()
