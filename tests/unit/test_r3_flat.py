"""R3: a chain or loop of 100,000 hops neither recurses nor slows down, and takes no memory."""

import asyncio
import gc
import sys
import weakref
from typing import Any

import pytest

from cnstra import CNS, Context, Signal, neuron
from tests.graphs import entry, middle
from tests.manual_clock import settled

HOPS = 100_000
A_FEW_BLOCKS = 2_000


class Probe:
    """Measures the depth of the stack and the blocks of memory, early in a loop and late."""

    def __init__(self) -> None:
        self.depths: list[int] = []
        self.memory: list[int] = []
        self.tasks: set[int] = set()

    def look(self, left: int) -> None:
        if left % 20_000 == 10_000:
            self.depths.append(depth())
            self.memory.append(sys.getallocatedblocks())

    @property
    def is_flat(self) -> bool:
        even = len(set(self.depths[1:])) == 1
        return even and self.memory[-1] - self.memory[1] < A_FEW_BLOCKS


def depth() -> int:
    frame, count = sys._getframe(), 0
    while frame is not None:
        frame, count = frame.f_back, count + 1
    return count


@pytest.fixture
def probe() -> Probe:
    return Probe()


def test_a_sync_loop_is_flat(probe: Probe) -> None:
    def count_down(left: int, axon: Any) -> Signal[int] | None:
        probe.look(left)
        return axon.again.create_signal(left - 1) if left else None

    run = CNS([neuron("n", {"again": entry}).dendrite(entry, count_down)]).stimulate(
        entry.create_signal(HOPS)
    )

    assert run.done
    assert probe.is_flat, (probe.depths, probe.memory)


@pytest.mark.parametrize("suspends", [False, True])
async def test_an_async_loop_is_flat_and_one_task(probe: Probe, suspends: bool) -> None:
    async def count_down(left: int, axon: Any) -> Signal[int] | None:
        probe.look(left)
        probe.tasks.add(id(asyncio.current_task()))
        if suspends and left % 10 == 0:
            await asyncio.sleep(0)
        return axon.again.create_signal(left - 1) if left else None

    await CNS([neuron("n", {"again": entry}).dendrite(entry, count_down)]).stimulate(
        entry.create_signal(HOPS)
    )

    assert probe.is_flat, (probe.depths, probe.memory)
    assert len(probe.tasks) == 1


async def test_a_loop_that_is_listened_to_is_flat(probe: Probe) -> None:
    def count_down(left: int, axon: Any) -> Signal[int] | None:
        probe.look(left)
        return axon.again.create_signal(left - 1) if left else None

    async def count_down_later(left: int, axon: Any) -> Signal[int] | None:
        return count_down(left, axon)

    for handler in (count_down, count_down_later):
        probe.depths.clear()
        probe.memory.clear()
        await CNS([neuron("n", {"again": entry}).dendrite(entry, handler)]).stimulate(
            entry.create_signal(HOPS), on_response=lambda response: None
        )

        assert probe.is_flat, (probe.depths, probe.memory)


async def test_a_loop_behind_a_barrier_is_flat(probe: Probe) -> None:
    def count_down(left: int, axon: Any) -> Signal[int] | None:
        if left % 2_000 == 1_000:
            probe.look(10_000)
        return axon.again.create_signal(left - 1) if left else None

    async def listen(response: Any) -> None: ...

    await CNS([neuron("n", {"again": entry}).dendrite(entry, count_down)]).stimulate(
        entry.create_signal(HOPS // 10), on_response=listen
    )

    assert probe.is_flat, (probe.depths, probe.memory)


async def test_an_activation_keeps_no_inner_run_that_has_ended() -> None:
    alive: list[int] = []

    async def start(payload: int, axon: Any, ctx: Context[Any]) -> None:
        runs: weakref.WeakSet[Any] = weakref.WeakSet()
        for _ in range(3):
            run = ctx.cns.stimulate(middle.create_signal(payload))
            runs.add(run)
            await run
        del run
        await settled()
        gc.collect()
        alive.append(len(runs))

    async def pause(payload: int) -> None:
        await asyncio.sleep(0)

    cns = CNS([neuron("o", {}).dendrite(entry, start), neuron("i", {}).dendrite(middle, pause)])
    await cns.stimulate(entry.create_signal(1))

    assert alive == [0]
