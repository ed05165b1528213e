"""One hop of a long run: sync, and async without suspending."""

import asyncio
from collections.abc import Iterator

from benchmarks import bare, graphs
from benchmarks.measure import Figure, compare, compare_async
from cnstra import CNS

HOPS = 2_000


def figures(repetitions: int) -> Iterator[Figure]:
    signal = graphs.ping.create_signal(HOPS)

    neurons = graphs.loop(coroutines=False)
    cns, routes = CNS(neurons), bare.routes_of(neurons)
    yield compare(
        "sync hop",
        lambda: bare.run(routes, signal),
        lambda: cns.stimulate(signal),
        per=HOPS,
        goal=1.6,
        repetitions=repetitions,
    )

    coroutines = graphs.loop(coroutines=True)
    async_cns, async_routes = CNS(coroutines), bare.routes_of(coroutines)
    yield asyncio.run(
        compare_async(
            "async hop (not suspending)",
            lambda: bare.run_async(async_routes, signal),
            lambda: async_cns.stimulate(signal).wait_until_complete(),
            per=HOPS,
            goal=2.0,
            repetitions=repetitions,
        )
    )
