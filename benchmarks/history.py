"""What a history costs each hop of a durable run, against the same run without one.

What is timed is the run's own thread: the history writes on another.
"""

import asyncio
import tempfile
from collections.abc import Iterator
from typing import Any

from benchmarks.measure import Figure, compare_async
from cnstra import CNS, History, Queue, Worker, collateral, neuron

HOPS = 500
GOAL = 2.0


def figures(repetitions: int) -> Iterator[Figure]:
    yield from asyncio.run(_figures(min(repetitions, 15)))


async def _figures(repetitions: int) -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        bare, kept = (
            Bench(folder, "bare", None),
            Bench(folder, "kept", History(f"sqlite:///{folder}/history.db")),
        )
        found = [
            await compare_async(
                "history: a hop in memory", bare.chain, kept.chain,
                per=HOPS, goal=GOAL, repetitions=repetitions,
            ),
            await compare_async(
                "history: a hop on SQLite", bare.chain_on_disk, kept.chain_on_disk,
                per=HOPS, goal=GOAL, repetitions=repetitions,
            ),
        ]  # fmt: skip
        for one in (bare, kept):
            await one.close()
    return found


class Bench:
    """A chain of hops as a job, with a history or without."""

    def __init__(self, folder: str, name: str, history: History | None) -> None:
        self._history = history
        hop, self._end = collateral("hop", int), collateral("end", int)
        self._hop = hop
        step = neuron("step", {"hop": hop, "end": self._end})

        @step.dendrite(hop)
        async def go_on(left: int, axon: Any) -> Any:
            return axon.hop.create_signal(left - 1) if left else axon.end.create_signal(0)

        cns = CNS([step])
        self._memory = Worker(Queue("q", f"memory://bench {name}"), cns, history=history)
        url = f"sqlite:///{folder}/{name}.db?synchronous=normal"
        self._disk = Worker(Queue("q", url), cns, history=history)

    async def chain(self) -> None:
        await self._run(self._memory)

    async def chain_on_disk(self) -> None:
        await self._run(self._disk)

    async def _run(self, worker: Worker) -> None:
        await worker.queue.enqueue(self._hop.create_signal(HOPS))
        await worker.run(until_idle=True)

    async def close(self) -> None:
        await self._memory.queue.close()
        await self._disk.queue.close()
        if self._history is not None:
            await self._history.close()
