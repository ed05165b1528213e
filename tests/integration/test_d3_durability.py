"""D3: "exit", "behind" and "step" say when a checkpoint is written."""

import asyncio
from typing import Any

import pytest

from cnstra import Queue, Response, Worker
from cnstra.durable.store import Patch
from cnstra.errors import InvalidOption, StoreRequired
from tests.durables import (
    PATIENCE,
    SlowStore,
    StoreAround,
    Story,
    around,
    drain,
    entry,
    output,
    until,
    with_store,
    working,
)


async def test_exit_writes_nothing_while_the_run_goes_well(url: str) -> None:
    story = Story()
    async with Queue("q", url) as queue:
        store: StoreAround = with_store(queue, StoreAround)
        await queue.enqueue(entry.create_signal(7))

        await drain(queue, story.bush(10), durability="exit")

        assert store.commits == []


async def test_exit_writes_once_when_an_attempt_fails(url: str) -> None:
    story = Story()
    story.fails("leaf", 1)
    async with Queue("q", url) as queue:
        store: StoreAround = with_store(queue, StoreAround)
        await queue.enqueue(entry.create_signal(7))

        await drain(queue, story.bush(10), durability="exit")

        assert len([patch for _, patch in store.commits if patch.puts or patch.deletes]) == 1


async def test_step_lands_each_checkpoint_before_successors_start(url: str) -> None:
    story = Story()
    async with Queue("q", url) as queue:
        store: SlowStore = with_store(queue, SlowStore)
        job = await queue.enqueue(entry.create_signal(7))
        async with working(queue, story.chain(), durability="step"):
            for count, name in enumerate(["first", "second"]):
                await until(lambda at=count: store.begun == at + 1)
                await _turns()
                assert [step for step, _ in story.log][count:] == [name]
                assert store.landed == count
                store.let(1)
            assert await job.result(timeout=PATIENCE) == {"results": [7]}
            assert store.begun == 2, "the last step has no successors: the result is its checkpoint"


async def test_a_run_whose_end_a_listener_holds_up_is_written_down_meanwhile(url: str) -> None:
    """It owes nothing any more, but its end may be long in coming."""
    heard = asyncio.Event()

    async def listen(response: Response) -> None:
        emitted = response.output_signal
        if emitted is not None and emitted.collateral_name == output.name:
            await heard.wait()

    cns = Story().chain()
    cns.add_response_listener(listen)
    async with Queue("q", url) as queue:
        store: StoreAround = with_store(queue, StoreAround)
        job = await queue.enqueue(entry.create_signal(7))
        async with working(queue, cns):
            await until(lambda: any(_holds_result(patch) for _, patch in store.commits))
            heard.set()
            assert await job.result(timeout=PATIENCE) == {"results": [7]}


async def test_step_holds_no_branch_up_for_the_checkpoint_of_another(url: str) -> None:
    """Branches that were let go together run on; only successors wait."""
    story = Story()
    async with Queue("q", url) as queue:
        store: SlowStore = with_store(queue, SlowStore)
        job = await queue.enqueue(entry.create_signal(7))
        async with working(queue, story.bush(5), durability="step"):
            await until(lambda: store.begun == 1)
            store.let(1)
            await until(lambda: story.count("branch") == 5)
            await _turns()
            assert story.count("leaf") == 0
            store.let(100)
            assert await job.result(timeout=PATIENCE) == {"results": [0, 1, 2, 3, 4]}


async def test_behind_is_at_most_two_writes_old(url: str) -> None:
    """The run waits for no write, one is in flight, and the next holds all that changed since."""
    story = Story()
    story.stands("second")
    story.stands("third")
    async with Queue("q", url) as queue:
        store: SlowStore = with_store(queue, SlowStore)
        job = await queue.enqueue(entry.create_signal(7))
        async with working(queue, story.chain(), durability="behind"):
            await until(lambda: store.begun == 1)
            story.opens("second")
            await until(lambda: story.count("third") == 1)
            await _turns()
            assert (store.begun, store.landed) == (1, 0)
            store.let(2)
            await until(lambda: store.landed == 2)

            progress = await queue.progress(job.id)
            assert progress is not None
            assert [task.neuron for _, task in progress.tasks()] == ["third"]
            assert store.begun == 2
            store.let(100)
            story.opens("third")
            assert await job.result(timeout=PATIENCE) == {"results": [7]}


async def test_a_worker_without_a_store_must_be_exit(url: str) -> None:
    async with Queue("q", url) as queue:
        around(queue, _Storeless)
        with pytest.raises(StoreRequired, match="durability='behind'"):
            Worker(queue, Story().chain())
        with pytest.raises(StoreRequired, match="results="):
            Worker(queue, Story().chain(), durability="exit", results=[output])
        with pytest.raises(InvalidOption, match="durability='sometimes'"):
            Worker(queue, Story().chain(), durability="sometimes")  # type: ignore[arg-type]


class _Storeless:
    store = None

    def __init__(self, inner: Any) -> None:
        self.capabilities = inner.capabilities
        self.close = inner.close
        self.open = inner.open


def _holds_result(patch: Patch) -> bool:
    return any(key.startswith("r/") for key in patch.puts)


async def _turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0.001)
