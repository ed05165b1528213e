"""A whole run of three hops, its start and its end included."""

import asyncio
from collections.abc import Iterator

from benchmarks import bare, graphs
from benchmarks.measure import Figure, compare, compare_async, repeated, repeated_async
from cnstra import CNS

RUNS = 300


def figures(repetitions: int) -> Iterator[Figure]:
    signal = graphs.first.create_signal(0)

    neurons = graphs.chain(coroutines=False)
    cns, routes = CNS(neurons), bare.routes_of(neurons)
    yield compare(
        "tiny run of 3 hops, sync",
        repeated(lambda: bare.run(routes, signal), RUNS),
        repeated(lambda: cns.stimulate(signal), RUNS),
        per=RUNS,
        goal=3.0,
        repetitions=repetitions,
    )

    coroutines = graphs.chain(coroutines=True)
    async_cns, async_routes = CNS(coroutines), bare.routes_of(coroutines)

    async def in_a_task() -> None:
        await asyncio.create_task(bare.run_async(async_routes, signal))

    yield asyncio.run(
        compare_async(
            "tiny run of 3 hops, async",
            repeated_async(in_a_task, RUNS),
            repeated_async(lambda: async_cns.stimulate(signal).wait_until_complete(), RUNS),
            per=RUNS,
            goal=3.0,
            repetitions=repetitions,
        )
    )
