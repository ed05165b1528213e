"""The bytes of a run whose one handler waits."""

import asyncio
import gc
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks import bare
from benchmarks.measure import Figure
from cnstra import CNS, collateral, neuron

RUNS = 1_000

request = collateral("request", int)


def figures(repetitions: int) -> Iterator[Figure]:
    del repetitions  # memory is the same each time
    yield asyncio.run(_measure())


async def _measure() -> Figure:
    opened = asyncio.Event()

    async def wait(payload: int, axon: Any) -> None:
        await opened.wait()

    neurons = [neuron("wait", {}).dendrite(request, wait)]
    cns, routes, signal = CNS(neurons), bare.routes_of(neurons), request.create_signal(0)
    least = await _bytes_of(lambda: asyncio.create_task(bare.run_async(routes, signal)), opened)
    ours = await _bytes_of(lambda: cns.stimulate(signal), opened)
    return Figure("bytes per waiting run", "bytes", least, ours, ours / least, goal=2.5)


async def _bytes_of(start: Callable[[], Any], opened: asyncio.Event) -> float:
    for _ in range(2):  # the first time warms what is made once
        opened.clear()
        gc.collect()
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        runs = [start() for _ in range(RUNS)]
        for _ in range(5):
            await asyncio.sleep(0)
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        opened.set()
        for run in runs:
            await run
    return (after - before) / RUNS
