"""D4: a checkpoint costs what changed; a finished run leaves nothing behind but its result."""

import gc
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cnstra import CNS, Context, Queue, collateral, neuron, run_durably
from cnstra.durable.run import DurableRun
from cnstra.durable.store import Patch
from cnstra.engine.stimulation import Stimulation
from tests.durables import (
    PATIENCE,
    StoreAround,
    Story,
    drain,
    entry,
    output,
    with_store,
    working,
)


def entries_written(patches: list[Patch]) -> int:
    return sum(len(patch.puts) + len(patch.deletes) for patch in patches)


def bytes_written(patches: list[Patch]) -> int:
    puts = sum(len(key) + len(value) for patch in patches for key, value in patch.puts.items())
    return puts + sum(len(key) for patch in patches for key in patch.deletes)


async def test_a_fan_out_costs_in_all_what_its_branches_cost(url: str) -> None:
    """Every checkpoint is written, and a branch costs the same in a wide fan as in a narrow one."""
    few, many = 20, 400

    def widely(width: int) -> CNS:
        middle, later = collateral("middle", int), collateral("later", int)
        fan = neuron("fan", {"middle": middle}).dendrite(
            entry, lambda _, axon: [axon.middle.create_signal(one) for one in range(width)]
        )
        branch = neuron("branch", {"later": later})
        leaf = neuron("leaf", {"output": output})

        @branch.dendrite(middle)
        async def pass_on(payload: int, axon: Any) -> Any:
            return axon.later.create_signal(payload)

        @leaf.dendrite(later)
        async def end(payload: int, axon: Any) -> Any:
            return axon.output.create_signal(payload)

        return CNS([fan, branch, leaf])

    costs: dict[int, tuple[int, int]] = {}
    for width in (few, many):
        async with Queue(f"fan of {width}", url) as queue:
            store: StoreAround = with_store(queue, StoreAround)
            await queue.enqueue(entry.create_signal(0))
            await drain(queue, widely(width), durability="step")
        patches = [patch for _, patch in store.commits]
        costs[width] = entries_written(patches), bytes_written(patches)

    assert costs[few][0] <= 6 * few + 10
    unwritten = 2  # of the last commit, where nothing else was to be written: the end says it
    assert costs[many][0] <= (costs[few][0] + unwritten) * many / few
    assert costs[many][1] <= costs[few][1] * many / few * 1.5  # numbers grow longer


async def test_what_comes_and_goes_between_two_writes_is_not_written(url: str) -> None:
    """A loop that blocks its event loop: thousands of hops, few writes, few entries in each."""
    hop = collateral("hop", int)
    loop = neuron("loop", {"hop": hop})

    @loop.dendrite(hop)
    def on_hop(left: int, axon: Any, ctx: Context[Any]) -> Any:
        ctx.set(left)
        return axon.hop.create_signal(left - 1) if left else None

    async with Queue("q", url) as queue:
        store: StoreAround = with_store(queue, StoreAround)
        await queue.enqueue(hop.create_signal(2_000))
        await drain(queue, CNS([loop]), results=[])

    patches = [patch for _, patch in store.commits]
    assert all(len(patch.puts) + len(patch.deletes) <= 4 for patch in patches)


async def test_a_finished_run_leaves_its_result_and_nothing_else(url: str) -> None:
    story = Story()
    story.fails("leaf", 2)
    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(0), max_attempts=5)
        await drain(queue, story.bush(4), durability="step")
        record = await queue.record(job.id)
        assert record is not None
        store = queue.store
        assert store is not None

        saved = await queue.io.call(lambda: store.peek(record.run))

        result = b'{"results":[0,1,2,3]}'
        assert record.result == result
        if saved is not None:  # else the job holds it alone
            assert (dict(saved.entries), saved.held, saved.result) == ({}, False, result)


async def test_the_tables_are_as_if_the_run_had_never_been(tmp_path: Path) -> None:
    file = tmp_path / "jobs.db"
    story = Story()
    story.fails("branch", 1)
    async with Queue("q", f"sqlite:///{file}") as queue:
        await queue.enqueue(entry.create_signal(0), job_id="mine", max_attempts=2)
        await drain(queue, story.bush(4), durability="step")
        assert rows(file, "SELECT count(*) FROM progress") == [(0,)]
        assert rows(file, "SELECT result FROM runs") == [(b'{"results":[0,1,2,3]}',)]
        assert rows(file, "SELECT result FROM jobs") == [(None,)], "it is kept once"

        await queue.remove("mine")

        assert rows(file, "SELECT * FROM runs") == rows(file, "SELECT * FROM jobs") == []


async def test_a_run_alone_leaves_its_result_for_as_long_as_it_is_asked_to(tmp_path: Path) -> None:
    file = tmp_path / "progress.db"
    options: dict[str, Any] = {"store": f"sqlite:///{file}", "results": [output]}
    cns = Story().bush(2)

    await run_durably(cns, entry.create_signal(0), key="kept", **options)
    await run_durably(cns, entry.create_signal(0), key="short", keep_results=0.0, **options)
    await run_durably(cns, entry.create_signal(0), key="next", **options)

    assert rows(file, "SELECT count(*) FROM progress") == [(0,)]
    assert sorted(rows(file, "SELECT run FROM runs")) == [("kept",), ("next",)]


async def test_a_cancelled_or_dead_job_keeps_its_progress(url: str) -> None:
    story = Story()
    story.fails("third", 1)
    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(7))
        async with working(queue, story.chain()):
            with pytest.raises(Exception, match="Broken: third"):
                await job.result(timeout=PATIENCE)
        progress = await queue.progress(job.id)
        assert progress is not None
        assert [task.neuron for _, task in progress.tasks()] == ["third"]


def rows(file: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute(query).fetchall()


async def test_an_attempt_that_is_over_leaves_nothing_to_the_garbage_collector(url: str) -> None:
    """It would look through all that lives, again and again, for a thousand jobs a second."""
    middle = collateral("middle", int)
    first = neuron("first", {"middle": middle})
    second = neuron("second", {"output": output})

    @first.dendrite(entry)
    def pass_on(payload: int, axon: Any) -> Any:
        return axon.middle.create_signal(payload)

    @second.dendrite(middle)
    async def end(payload: int, axon: Any, ctx: Context[Any]) -> Any:
        ctx.set(payload)
        return axon.output.create_signal(payload)

    async with Queue("q", url) as queue:
        await queue.enqueue(entry.create_signal(0))
        gc.collect()
        gc.disable()
        before = runs_alive()
        try:
            await drain(queue, CNS([first, second]))
            left = runs_alive()
        finally:
            gc.enable()

    assert left.keys() == before.keys()


def runs_alive() -> dict[int, object]:
    """Other tests may have left some, whom somebody still holds."""
    found = gc.get_objects()
    return {id(one): one for one in found if type(one) in (DurableRun, Stimulation)}
