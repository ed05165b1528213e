"""A run that must give way now and then goes on with its handlers for a spell, and no longer."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from cnstra import CNS, Context, collateral, neuron
from cnstra.engine.spells import LENGTH, SKIPPED, Spell
from tests.graphs import entry, names, out
from tests.manual_clock import ManualClock, settled

HOPS = 12
QUICKLY = 0.0001


class Walk:
    """A loop of `HOPS` hops, each of which takes `seconds`; `meanwhile` is called in its third."""

    def __init__(
        self, seconds: float, coroutine: bool = False, meanwhile: Callable[[], object] | None = None
    ) -> None:
        self.clock = ManualClock()
        self.seen: list[int] = []
        self.seconds = seconds
        self.meanwhile = meanwhile
        hop = collateral("hop", int)

        def step(left: int, axon: Any) -> Any:
            self.seen.append(left)
            if self.meanwhile is not None and len(self.seen) == 3:
                self.meanwhile()
            self.clock.elapsed += self.seconds
            return axon.hop.create_signal(left - 1) if left > 1 else None

        async def step_later(left: int, axon: Any) -> Any:
            return step(left, axon)

        made = neuron("n", {"hop": hop}).dendrite(hop, step_later if coroutine else step)
        self.cns = CNS([made], clock=self.clock)
        self.run = self.cns.recorded_run(Nobody(), stimulation_id="mine")
        self.run.spell = Spell(self.clock)
        self.signal = hop.create_signal(HOPS)

    def begin(self) -> Any:
        emissions = self.cns.emissions_of([self.signal])
        self.run.begin(Nobody().entries(emissions), [], None)
        return self.run


class Nobody:
    """A recorder that keeps nothing."""

    is_wary = False

    def key_of(self, lineage: Any) -> str:
        return "key"

    def inner(self, lineage: Any, index: int) -> Any:
        return self

    def entries(self, emissions: Any) -> Any:
        return [(target, signal, None, 1) for signal, targets in emissions for target in targets]

    def started(self, item: Any) -> None:
        return None

    def committed(self, item: Any, emissions: Any, change: Any) -> Any:
        return self.entries(emissions), None

    def failed(self, item: Any, error: Any, *, aborted: bool, change: Any) -> None:
        return None


@pytest.mark.parametrize("coroutine", [False, True])
async def test_what_waits_for_the_loop_is_heard_between_two_handlers(coroutine: bool) -> None:
    # Given a run whose handlers never wait, and take their time
    loop = asyncio.get_running_loop()
    walk = Walk(LENGTH, coroutine, lambda: loop.call_soon_threadsafe(walk.run.abort, "told"))

    # When it is aborted on its loop, meanwhile
    run = walk.begin()
    await asyncio.wait_for(run.wait_until_done(), 5)

    # Then the handler that ran was the last, and the rest is owed
    assert walk.seen == [12, 11, 10]
    assert names(run.failed_tasks) == [("n", 9)]


async def test_what_the_loop_looks_for_is_heard_too() -> None:
    """A signal, say: the loop finds it, then looks who asked for it, then calls."""
    loop = asyncio.get_running_loop()

    def tell() -> None:
        loop.call_soon(loop.call_soon, walk.run.abort, "told")

    walk = Walk(LENGTH, meanwhile=tell)
    await asyncio.wait_for(walk.begin().wait_until_done(), 5)
    assert walk.seen == [12, 11, 10]


@pytest.mark.parametrize("coroutine", [False, True])
async def test_it_goes_on_where_it_gave_way(coroutine: bool) -> None:
    walk = Walk(LENGTH, coroutine)
    await walk.begin()
    assert walk.seen == list(range(HOPS, 0, -1))


async def test_quick_handlers_run_in_one_go_and_are_not_timed_one_by_one() -> None:
    asked: list[float] = []
    walk = Walk(QUICKLY)
    moment = walk.clock.monotonic

    def monotonic() -> float:
        asked.append(moment())
        return asked[-1]

    walk.clock.monotonic = monotonic  # type: ignore[method-assign]
    walk.run.spell = Spell(walk.clock)
    assert walk.begin().done
    assert len(asked) <= 3 + HOPS / (1 + SKIPPED)


async def test_it_is_asked_after_each_slow_handler() -> None:
    """Else what befalls a run of slow ones is heard several of them later."""
    loop = asyncio.get_running_loop()
    walk = Walk(LENGTH / 3, meanwhile=lambda: loop.call_soon_threadsafe(walk.run.abort, "told"))
    await asyncio.wait_for(walk.begin().wait_until_done(), 5)
    assert walk.seen == [12, 11, 10]


async def test_what_was_quick_and_is_no_more_is_heard_of_soon() -> None:
    loop = asyncio.get_running_loop()

    def slow_down() -> None:
        walk.seconds = LENGTH
        loop.call_soon_threadsafe(walk.run.abort, "told")

    walk = Walk(QUICKLY, meanwhile=slow_down)
    await asyncio.wait_for(walk.begin().wait_until_done(), 5)
    assert 3 <= len(walk.seen) <= 3 + SKIPPED


async def test_a_task_that_is_cancelled_while_it_gives_way_leaves_its_work_owed() -> None:
    def cancel() -> None:
        for task in asyncio.all_tasks() - {asyncio.current_task(), here}:
            task.cancel()

    here = asyncio.current_task()
    loop = asyncio.get_running_loop()
    walk = Walk(LENGTH, meanwhile=lambda: loop.call_soon(loop.call_soon, cancel))
    run = walk.begin()
    async with asyncio.timeout(5):
        await run.wait_until_done()
    assert walk.seen == [12, 11, 10]
    assert names(run.failed_tasks) == [("n", 9)]


async def test_a_run_that_gives_way_is_in_no_lull() -> None:
    heard: list[int] = []
    walk = Walk(LENGTH)
    walk.cns.add_lull_listener(lambda run: heard.append(len(walk.seen)))
    walk.run = walk.cns.recorded_run(Nobody(), stimulation_id="mine")
    walk.run.spell = Spell(walk.clock)
    await walk.begin()
    await settled()
    assert heard == [HOPS]


async def test_an_inner_run_gives_way_to_nobody() -> None:
    """A sync handler may look at what its inner run of sync handlers has done."""
    clock, done = ManualClock(), list[bool]()

    def outer(payload: int, axon: Any, ctx: Context[Any]) -> None:
        done.append(ctx.cns.stimulate(out.create_signal(3)).done)

    def inner(left: int, axon: Any) -> Any:
        clock.elapsed += LENGTH
        return axon.out.create_signal(left - 1) if left > 1 else None

    cns = CNS(
        [
            neuron("o", {}).dendrite(entry, outer),
            neuron("i", {"out": out}).dendrite(out, inner),
        ],
        clock=clock,
    )
    run = cns.recorded_run(Nobody(), stimulation_id="mine")
    run.spell = Spell(clock)
    run.begin(Nobody().entries(cns.emissions_of([entry.create_signal(1)])), [], None)
    await run
    assert done == [True]
