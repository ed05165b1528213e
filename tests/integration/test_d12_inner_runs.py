"""D12: only JSON crosses a process boundary; objects live in an inner run."""

import asyncio
from typing import Any

import pytest

from cnstra import CNS, Context, DoNotRetry, Queue, collateral, neuron
from tests.durables import PATIENCE, Broken, drain, entry, output, record_of, until, working


class Blob:
    """It has no JSON form, and must not need one."""

    def __init__(self, text: str) -> None:
        self.text = text


blobs = collateral("blobs", Blob)
counted = collateral("counted", int)


class Transaction:
    """The seed's transaction neuron: it fetches a blob and has it processed in an inner run."""

    def __init__(self) -> None:
        self.failures = 0
        self.door: asyncio.Event | None = None
        self.log: list[str] = []
        self.keys: list[str] = []
        outer = neuron("transaction", {"output": output})
        process = neuron("process", {"counted": counted})
        store = neuron("store", {})
        self.cns = CNS([
            outer.dendrite(entry, self.transact),
            process.dendrite(blobs, self.process),
            store.dendrite(counted, self.store),
        ])  # fmt: skip

    async def transact(self, payload: int, axon: Any, ctx: Context[Any]) -> Any:
        self.log.append("begin")
        run = ctx.cns.stimulate(blobs.create_signal(Blob("x" * payload)))
        ctx.set(run.wait_until_complete())
        await ctx.get()
        return axon.output.create_signal(payload)

    async def process(self, blob: Blob, axon: Any, ctx: Context[Any]) -> Any:
        self.keys.append(ctx.idempotency_key)
        self.log.append("process")
        return axon.counted.create_signal(len(blob.text))

    async def store(self, count: int, axon: Any, ctx: Context[Any]) -> None:
        del axon
        self.log.append(f"store {count}")
        if self.door is not None:
            await self.door.wait()
        if self.failures:
            self.failures -= 1
            raise Broken("no disk")


@pytest.mark.parametrize("durability", ["exit", "behind", "step"])
async def test_objects_pass_through_an_inner_run(url: str, durability: Any) -> None:
    transaction = Transaction()
    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(3))
        await drain(queue, transaction.cns, durability=durability)
        assert await job.result(timeout=PATIENCE) == {"results": [3]}
    assert transaction.log == ["begin", "process", "store 3"]


@pytest.mark.parametrize("durability", ["exit", "behind", "step"])
async def test_an_inner_run_is_repeated_as_a_whole(url: str, durability: Any) -> None:
    """Nothing of it is saved, and its activations keep their keys."""
    transaction = Transaction()
    transaction.failures = 1
    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(3), max_attempts=2)
        await drain(queue, transaction.cns, durability=durability)
        assert await job.result(timeout=PATIENCE) == {"results": [3]}
    assert transaction.log == ["begin", "process", "store 3"] * 2
    assert len(set(transaction.keys)) == 1


async def test_a_failed_inner_run_fails_its_outer_activation(url: str) -> None:
    transaction = Transaction()
    transaction.failures = 1
    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(3))
        await drain(queue, transaction.cns)
        dead = await record_of(queue, job.id)
        assert "no disk" in dead.error["message"]
        progress = await queue.progress(job.id)
        assert progress is not None
        ((_, task),) = progress.tasks()
        assert (task.neuron, bytes(task.payload)) == ("transaction", b"3")


async def test_a_shutdown_reaches_an_inner_run_and_uses_no_attempt(url: str) -> None:
    transaction = Transaction()
    transaction.door = asyncio.Event()
    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(3))
        async with working(queue, transaction.cns, grace=0.0):
            await until(lambda: "store 3" in transaction.log)
        given_back = await record_of(queue, job.id)
        assert (given_back.state, given_back.attempts_made) == ("waiting", 0)
        transaction.door.set()
        await drain(queue, transaction.cns)
        assert await job.result(timeout=PATIENCE) == {"results": [3]}
    assert transaction.log == ["begin", "process", "store 3"] * 2


async def test_what_an_inner_handler_asks_of_the_retry_is_heard(url: str) -> None:
    """`DoNotRetry` from an inner run that its handler lets through."""
    outer, inner = neuron("outer"), neuron("inner")

    @outer.dendrite(entry)
    async def on_entry(payload: int, axon: Any, ctx: Context[Any]) -> None:
        await ctx.cns.stimulate(counted.create_signal(payload))

    @inner.dendrite(counted)
    def on_counted(payload: int) -> None:
        raise DoNotRetry("for ever broken")

    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(3), max_attempts=5)
        await drain(queue, CNS([outer, inner]), results=[])
        dead = await record_of(queue, job.id)
    assert (dead.state, dead.attempts_made) == ("dead", 1)
