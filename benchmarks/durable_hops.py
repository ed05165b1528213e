"""One hop of a durable run on SQLite, against one bare commit of the same bytes.

Several threads and the disk take part, so what is timed here is the time on the wall: on a busy
machine these figures say less than those of the engine.
"""

import asyncio
import sqlite3
import statistics
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import cast

from benchmarks import graphs
from benchmarks.measure import Figure
from cnstra import CNS
from cnstra.adapters import sqlite
from cnstra.clock import SYSTEM_CLOCK
from cnstra.durable.io_thread import IOThread, Mailbox
from cnstra.durable.journal import Durability
from cnstra.durable.run import DurableOptions, DurableRun
from cnstra.durable.store import Patch, ProgressStore, Saved, Ticket

HOPS = 100
RUNS = 32
GOAL = 3.0

cns = CNS(graphs.loop(coroutines=True))
signal = graphs.ping.create_signal(HOPS)


def figures(repetitions: int) -> Iterator[Figure]:
    times = max(5, repetitions // 5)
    patches = asyncio.run(_patches())
    with tempfile.TemporaryDirectory() as folder:
        for synchronous in ("full", "normal"):
            url = f"sqlite:///{Path(folder) / synchronous}.db?synchronous={synchronous}"
            bare = Bare(Path(folder) / f"bare-{synchronous}.db", synchronous)
            for name, runs, durability in (
                ("durable hop", 1, "step"),
                ("written behind", 1, "behind"),
                (f"{RUNS} runs at once", RUNS, "step"),
            ):
                pairs = [
                    (bare.commits(patches, runs), asyncio.run(_hops(url, runs, durability)))
                    for _ in range(times + 1)
                ]
                yield _figure(f"{name}, {synchronous}", pairs[1:], HOPS * runs)
            bare.close()


class Bare:
    """A table in a SQLite file, and nothing around it."""

    def __init__(self, path: Path, synchronous: str) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = wal")
        self._connection.execute(f"PRAGMA synchronous = {synchronous}")
        self._connection.execute(
            "CREATE TABLE progress (run, key, value, PRIMARY KEY (run, key)) WITHOUT ROWID"
        )

    def commits(self, patches: Sequence[Patch], runs: int) -> float:
        """Nanoseconds for a commit of each patch, together for so many runs."""
        execute = self._connection.execute
        started = time.perf_counter_ns()
        for patch in patches:
            execute("BEGIN IMMEDIATE")
            for run in range(runs):
                for key in patch.deletes:
                    execute("DELETE FROM progress WHERE run = ? AND key = ?", (run, key))
                for key, value in patch.puts.items():
                    execute("INSERT OR REPLACE INTO progress VALUES (?, ?, ?)", (run, key, value))
            execute("COMMIT")
        return time.perf_counter_ns() - started

    def close(self) -> None:
        self._connection.close()


class Recorder:
    """A store that only keeps the patches which reach it."""

    def __init__(self) -> None:
        self.patches: list[Patch] = []

    async def commit(self, ticket: Ticket, patch: Patch) -> None:
        del ticket
        self.patches.append(patch)


async def _patches() -> list[Patch]:
    """What each hop of the run writes."""
    recorder, io = Recorder(), IOThread()
    await _run(io, cast(ProgressStore, recorder), "run", Saved(epoch=1), "step")
    io.close()
    return recorder.patches


async def _hops(url: str, runs: int, durability: Durability) -> float:
    """Nanoseconds for so many runs at once, from their first hop to their last."""
    io, store = IOThread(), sqlite.store(url, SYSTEM_CLOCK)
    await io.call(store.open)
    names = [uuid.uuid4().hex for _ in range(runs)]
    saved = [await io.call(partial(store.load, name)) for name in names]
    started = time.perf_counter_ns()
    await asyncio.gather(
        *(_run(io, store, name, one, durability) for name, one in zip(names, saved, strict=True))
    )
    spent = time.perf_counter_ns() - started
    await io.call(store.close)
    io.close()
    return spent


async def _run(
    io: IOThread, store: ProgressStore, name: str, saved: Saved, durability: Durability
) -> None:
    run = DurableRun(
        cns,
        name,
        saved,
        store=store,
        io=io,
        mailbox=Mailbox(asyncio.get_running_loop()),
        options=DurableOptions.of(durability=durability),
    )
    await run.execute(signal)


def _figure(name: str, pairs: list[tuple[float, float]], per: int) -> Figure:
    return Figure(
        name=name,
        unit="ns",
        bare=statistics.median(bare for bare, _ in pairs) / per,
        engine=statistics.median(engine for _, engine in pairs) / per,
        ratio=statistics.median(engine / bare for bare, engine in pairs),
        goal=GOAL,
    )
