"""D2: an activation's key is the same on every attempt, and says nothing about time."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from cnstra import CNS, Context, Queue, collateral, neuron
from cnstra.durable.store import Patch, Ticket
from tests.durables import (
    PATIENCE,
    Broken,
    SlowStore,
    StoreAround,
    Story,
    drain,
    entry,
    later,
    middle,
    output,
    until,
    with_store,
    working,
)


async def test_a_key_is_the_same_on_every_attempt(url: str) -> None:
    story = Story()
    story.fails("branch", 3)
    story.fails("leaf", 3)

    async with Queue("q", url) as queue:
        await queue.enqueue(entry.create_signal(0), max_attempts=9)
        await drain(queue, story.bush(3))

    assert story.count("branch") > 3
    assert story.count("leaf") > 3
    assert all(len(keys) == 1 for keys in story.keys.values())
    assert len({key for keys in story.keys.values() for key in keys}) == 1 + 3 + 3


async def test_a_key_comes_from_the_run_and_the_way_alone(url: str) -> None:
    """Nothing of this process or moment is in them: only the run id tells two alike jobs apart."""
    story, other = Story(), Story()
    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(0))
        run = (await queue.record(job.id)).run  # type: ignore[union-attr]
        await drain(queue, story.bush(3))
        twin = await queue.enqueue(entry.create_signal(0))
        await drain(queue, other.bush(3))

    assert run != twin.id
    mine = {key for keys in story.keys.values() for key in keys}
    theirs = {key for keys in other.keys.values() for key in keys}
    assert mine.isdisjoint(theirs), "two runs share no key"
    assert [len(key) for key in mine] == [32] * 7


async def test_two_signals_of_one_emission_have_two_keys(url: str) -> None:
    """Though neuron, collateral and payload are the same."""
    keys: list[str] = []
    twins = neuron("twins", {"middle": middle}).dendrite(
        entry, lambda _, axon: [axon.middle.create_signal(1), axon.middle.create_signal(1)]
    )

    def keep(payload: int, axon: Any, ctx: Context[Any]) -> None:
        del payload, axon
        keys.append(ctx.idempotency_key)

    async with Queue("q", url) as queue:
        await queue.enqueue(entry.create_signal(0))
        await drain(queue, CNS([twins, neuron("keep").dendrite(middle, keep)]), results=[])

    assert len(set(keys)) == 2


@pytest.mark.parametrize("keyed", [True, False])
async def test_a_key_of_its_own_takes_the_place_of_the_position(url: str, keyed: bool) -> None:
    """A handler may emit in another order when it runs again: a key stays with its branch."""
    orders = [[1, 2, 3], [3, 1, 2]]
    keys: dict[int, set[str]] = {}
    made = neuron("shuffled", {"middle": middle, "later": later})

    @made.dendrite(entry)
    async def emit(payload: int, axon: Any, ctx: Context[Any]) -> Any:
        del payload
        names = {one: f"branch {one}" if keyed else None for one in (1, 2, 3)}
        inner = ctx.cns.stimulate([
            later.create_signal(one, key=names[one]) for one in orders[ctx.attempt - 1]
        ])  # fmt: skip
        await inner
        if ctx.attempt == 1:
            raise Broken
        return [axon.middle.create_signal(one, key=names[one]) for one in (1, 2, 3)]

    def keep(payload: int, axon: Any, ctx: Context[Any]) -> None:
        del axon
        keys.setdefault(payload, set()).add(ctx.idempotency_key)

    async with Queue("q", url) as queue:
        await queue.enqueue(entry.create_signal(0), max_attempts=2)
        await drain(queue, CNS([made, neuron("keep").dendrite(later, keep)]), results=[])

    assert [len(found) for found in keys.values()] == [1 if keyed else 2] * 3


async def test_two_signals_of_one_key_fail_their_activation(url: str) -> None:
    made = neuron("twice", {"middle": middle}).dendrite(
        entry, lambda _, axon: [axon.middle.create_signal(one, key="k") for one in (1, 2)]
    )
    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(0))
        await drain(queue, CNS([made, neuron("n").dendrite(middle, print)]), results=[])
        record = await queue.record(job.id)

    assert record is not None
    assert record.error is not None
    assert record.error["name"] == "DuplicateKey"
    assert "'middle'" in record.error["message"]


async def test_a_key_that_is_no_text_fails_its_activation(url: str) -> None:
    made = neuron("numbered", {"middle": middle}).dendrite(
        entry, lambda _, axon: axon.middle.create_signal(1, key=5)
    )
    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(0))
        await drain(queue, CNS([made, neuron("n").dendrite(middle, print)]), results=[])
        record = await queue.record(job.id)

    assert record is not None
    assert record.error is not None
    assert "key=5" in record.error["message"]


async def test_any_text_is_a_key(url: str) -> None:
    keys = ["", "ключ", "\0", "a" * 5000]
    made = neuron("named", {"middle": middle}).dendrite(
        entry, lambda _, axon: [axon.middle.create_signal(1, key=key) for key in keys]
    )
    seen: list[int] = []
    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(0))
        await drain(queue, CNS([made, neuron("n").dendrite(middle, seen.append)]), results=[])
        assert await job.state() == "completed"
    assert seen == [1, 1, 1, 1]


async def test_half_a_surrogate_is_no_key(url: str) -> None:
    """Of a file name of Linux, say: it is in no JSON, so it is refused where it is given."""
    key = b"caf\xe9.txt".decode("utf-8", "surrogateescape")
    made = neuron("named", {"middle": middle}).dendrite(
        entry, lambda _, axon: axon.middle.create_signal(1, key=key)
    )
    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(0))
        await drain(queue, CNS([made, neuron("n").dendrite(middle, print)]), results=[])
        record = await queue.record(job.id)

    assert record is not None
    assert record.error is not None
    assert record.error["name"] == "InvalidOption"
    assert "ascii(...) it" in record.error["message"]


# --- checkpoint neurons


@pytest.mark.parametrize("durability", ["exit", "behind"])
async def test_a_checkpoint_neuron_starts_after_its_checkpoint_and_ends_before_its_successors(
    url: str, durability: Any
) -> None:
    story = Story()
    cns = CNS([
        story.step("first", entry, middle),
        story.step("dear", middle, later, checkpoint=True),
        story.step("last", later, output),
    ])  # fmt: skip
    async with Queue("q", url) as queue:
        store: SlowStore = with_store(queue, SlowStore)
        job = await queue.enqueue(entry.create_signal(7))
        async with working(queue, cns, durability=durability):
            await until(lambda: store.begun == 1)
            await _turns()
            assert [name for name, _ in story.log] == ["first"]
            store.let(1)
            await until(lambda: story.count("dear") == 1)
            assert await _owed(queue, job.id) == ["dear"]
            await until(lambda: store.begun == 2)
            await _turns()
            assert story.count("last") == 0
            store.let(100)
            assert await job.result(timeout=PATIENCE) == {"results": [7]}


async def test_the_entry_may_be_a_checkpoint_neuron(url: str) -> None:
    story = Story()
    entered = story.stands("dear")
    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(7))
        cns = CNS([story.step("dear", entry, output, checkpoint=True)])
        async with working(queue, cns, durability="exit"):
            await asyncio.wait_for(entered.wait(), PATIENCE)
            assert await _owed(queue, job.id) == ["dear"]
            story.opens("dear")
            assert await job.result(timeout=PATIENCE) == {"results": [7]}


async def test_a_fan_of_checkpoint_neurons_shares_its_checkpoints(url: str) -> None:
    """Given a slow store, fifty starts are one write, and what ends during a write is one more."""
    story = Story()
    cns = CNS([
        story.fan("fan", entry, middle, 50),
        story.step("dear", middle, output, checkpoint=True),
    ])  # fmt: skip
    async with Queue("q", url) as queue:
        store: SlowStore = with_store(queue, SlowStore)
        job = await queue.enqueue(entry.create_signal(7))
        async with working(queue, cns, durability="exit"):
            await until(lambda: store.begun == 1)
            await _turns()
            assert story.count("dear") == 0
            store.let(1)
            await until(lambda: story.count("dear") == 50 and store.begun == 2)
            store.let(100)

            assert await job.result(timeout=PATIENCE) == {"results": list(range(50))}
        assert len(store.commits) <= 3, "the starts, the first to end, and the rest"


async def test_a_handler_does_not_start_once_its_checkpoint_was_refused(url: str) -> None:
    """Though the refusal is heard of on the I/O thread first."""
    started: list[int] = []
    dear = collateral("dear", int)

    class Refusing(StoreAround):
        async def commit(self, ticket: Ticket, patch: Patch) -> None:
            await self.inner.load(ticket.run)
            await super().commit(ticket, patch)

    cns = CNS([neuron("dear", checkpoint=True).dendrite(dear, started.append)])
    async with Queue("q", url) as queue:
        with_store(queue, Refusing)
        job = await queue.enqueue(dear.create_signal(1))
        async with working(queue, cns, results=[]):
            await until(lambda: _has_left(queue, job.id))
    assert started == []


async def _has_left(queue: Queue, job_id: str) -> bool:
    record = await queue.record(job_id)
    assert record is not None
    return record.state == "active"


async def _owed(queue: Queue, job_id: str) -> Sequence[str]:
    progress = await queue.progress(job_id)
    assert progress is not None
    return [task.neuron for _, task in progress.tasks()]


async def _turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0.001)
