"""One activation of a fan-out of 1 -> 1,000 -> 1,000."""

import asyncio
from collections.abc import Iterator

from benchmarks import bare, graphs
from benchmarks.measure import Figure, compare, compare_async
from cnstra import CNS

ACTIVATIONS = 1 + 2 * graphs.WIDTH


def figures(repetitions: int) -> Iterator[Figure]:
    signal = graphs.split.create_signal(0)

    neurons = graphs.fan_out(coroutines=False)
    cns, routes = CNS(neurons), bare.routes_of(neurons)
    yield compare(
        "fan-out 1->1000->1000, sync",
        lambda: bare.run(routes, signal),
        lambda: cns.stimulate(signal),
        per=ACTIVATIONS,
        goal=2.0,
        repetitions=repetitions,
    )

    coroutines = graphs.fan_out(coroutines=True)
    async_cns, async_routes = CNS(coroutines), bare.routes_of(coroutines)
    yield asyncio.run(
        compare_async(
            "fan-out 1->1000->1000, async",
            lambda: bare.run_async(async_routes, signal),
            lambda: async_cns.stimulate(signal).wait_until_complete(),
            per=ACTIVATIONS,
            goal=2.0,
            repetitions=repetitions,
        )
    )
