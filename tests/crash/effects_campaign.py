"""`python -m tests.crash.effects_campaign --broker rabbitmq --kills 1000`: effects under SIGKILL.

Jobs of three steps: rows in a transaction of Postgres, a charge at a bank through `ctx.once` with
`reconcile`, a mail told with its key. Worker processes are killed again and again; a kill counts
only if the log shows that a step of that process was in flight. Afterwards each job must be
completed, have one row and one charge, and its mails all one key.

`--bare` does the same without a ledger, and must find rows or charges that were repeated.
"""

import argparse
import asyncio
import gc
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from cnstra import Queue, Worker
from cnstra.effects import ddl
from tests.crash.bank import Bank
from tests.crash.effects_flow import STEPS, EffectsFlow, Rows, order
from tests.crash.flow import Log, ended, fork
from tests.postgres_server import PostgresServer
from tests.rabbitmq_server import RabbitServer
from tests.redis_server import RedisServer

WORKERS = 10
LEASE = 1.5
LONGEST = 0.1
"""Seconds that a step takes, and that pass between two kills, at most."""
BATCH = 60
"""Jobs that are added at once, whenever fewer than half of them are left."""
PATIENCE = 300.0


class Campaign:
    """Workers, forked from this process, which starts no thread and opens no connection."""

    def __init__(self, place: str, store: str | None, flow: EffectsFlow, seed: int) -> None:
        self.url, self.store, self.flow = place, store, flow
        self.queue = f"effects-{uuid4().hex[:8]}"
        self.chance = random.Random(seed)
        self.jobs = 0
        self.kills = 0
        self.misses = 0
        self.killed_in: Counter[str] = Counter()
        self.took = 0.0
        self.watch = Watch(flow.log)
        self._workers: list[int] = []

    def run(self, kills: int, seconds: float) -> list[str]:
        """Add jobs, kill until there are so many kills or the time is up, let the last workers
        finish; return what was wrong.
        """
        began = time.monotonic()
        self._add()
        self._workers = [self._start() for _ in range(WORKERS)]
        try:
            while self.kills < kills and time.monotonic() < began + seconds:
                if self._left() < BATCH // 2:
                    self._add()
                self._kill_one()
            complaints = self._see_through()
        finally:
            for pid in self._workers:
                os.kill(pid, signal.SIGKILL)
                ended(pid)
        self.took = time.monotonic() - began
        return [*complaints, *self.flow.complaints(range(self.jobs))]

    def _kill_one(self) -> None:
        time.sleep(self.chance.uniform(0.0, LONGEST))
        pid = self._one_at_work()
        self._workers.remove(pid)
        os.kill(pid, signal.SIGKILL)
        assert ended(pid) == -signal.SIGKILL, "a worker ended by itself"
        step = self.watch.in_flight(pid)
        if step is None:
            self.misses += 1
        else:
            self.kills += 1
            self.killed_in[STEPS[step]] += 1
        self._workers.append(self._start())

    def _one_at_work(self) -> int:
        until = time.monotonic() + PATIENCE
        while True:
            steps = {pid: self.watch.in_flight(pid) for pid in self._workers}
            going_on = {step for step in steps.values() if step is not None}
            if going_on:
                step = self.chance.choice(sorted(going_on))
                return self.chance.choice([pid for pid, one in steps.items() if one == step])
            if self._left() == 0:
                self._add()
            assert time.monotonic() < until, "no worker does anything"
            time.sleep(0.002)

    def _left(self) -> int:
        return self.jobs - len(self.watch.done)

    def _add(self) -> None:
        numbers = range(self.jobs, self.jobs + BATCH)

        async def add() -> None:
            async with self._open() as queue:
                await queue.add(
                    [queue.prepare(order.create_signal(one), job_id=str(one)) for one in numbers]
                )

        assert ended(fork(lambda: asyncio.run(add()))) == 0
        self.jobs += BATCH

    def _start(self) -> int:
        return fork(lambda: asyncio.run(self._work()))

    async def _work(self) -> None:
        random.seed(os.getpid())
        leaving = asyncio.ensure_future(_leave_with(os.getppid()))
        async with self._open() as queue:
            await Worker(
                queue, self.flow.cns(), results=["result"], concurrency=3, lease=LEASE,
                crash_limit=None,
            ).run()  # fmt: skip
        leaving.cancel()

    def _open(self) -> Queue:
        return Queue(self.queue, self.url, store=self.store)

    def _see_through(self) -> list[str]:
        """Wait until each job is completed, or there is no more patience."""

        async def look() -> None:
            until = time.monotonic() + PATIENCE
            async with self._open() as queue:
                for number in range(self.jobs):
                    job = await queue.get(str(number))
                    assert job is not None, f"job {number} is lost"
                    state = await job.state()
                    while state != "completed":
                        assert time.monotonic() < until, f"job {number} is {state}"
                        await asyncio.sleep(0.1)
                        state = await job.state()

        return [] if ended(fork(lambda: asyncio.run(look()))) == 0 else ["not all are completed"]

    def table(self) -> str:
        starts = Counter(one.activation for one in self.flow.log.lines() if one.what == "start")
        mails = self.flow.bank.told("notify").values()
        rows: list[tuple[str, Any]] = [
            ("jobs", self.jobs),
            ("kills in mid-work", self.kills),
            *((f"  in {step}", self.killed_in[step]) for step in STEPS),
            ("kills that missed", self.misses),
            ("steps started", sum(starts.values())),
            ("of those, once more", sum(starts.values()) - len(starts)),
            ("rows", len(self.flow.rows.of())),
            ("charges", _count(self.flow.bank.told("charge").values())),
            ("mails", _count(mails)),
            ("keys of mails", sum(len(one) for one in mails)),
            ("seconds", round(self.took, 1)),
        ]
        return "\n".join(f"{name:22} {value:>8}" for name, value in rows)


async def _leave_with(parent: int) -> None:
    """End as the campaign ends, however that does."""
    while os.getppid() == parent:
        await asyncio.sleep(1.0)
    os._exit(1)


class Watch:
    """What the log says so far: which step each process is in, and which jobs are done."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._seen = 0
        self._open: dict[int, dict[tuple[int, int, int], int]] = {}
        self.done: set[int] = set()

    def in_flight(self, pid: int) -> int | None:
        """The step of the process that started last and has not ended."""
        lines = self._log.lines()
        for line in lines[self._seen :]:
            mine = self._open.setdefault(line.pid, {})
            if line.what == "start":
                mine[line.activation] = line.step
            else:
                mine.pop(line.activation, None)
                self.done |= {line.job} if line.step == len(STEPS) - 1 else set()
        self._seen = len(lines)
        return list(self._open.get(pid, {}).values() or [None])[-1]


def _count(counters: Any) -> int:
    return sum(counter.total() for counter in counters)


@contextmanager
def rabbitmq(folder: Path) -> Iterator[tuple[str, str | None]]:
    server = RabbitServer(folder)
    server.start()
    try:
        yield server.url, f"sqlite:///{folder}/runs.db"
    finally:
        server.stop()


@contextmanager
def bullmq(folder: Path) -> Iterator[tuple[str, str | None]]:
    server = RedisServer(folder, "--appendonly", "yes")
    server.start()
    try:
        yield server.url, None
    finally:
        server.stop()


BROKERS: dict[str, Callable[[Path], Any]] = {"rabbitmq": rabbitmq, "bullmq": bullmq}


@contextmanager
def postgres() -> Iterator[Rows]:
    server = PostgresServer(max_connections=100)
    server.start()
    try:
        rows = Rows(server.url)
        rows.make()
        for statement in ddl():
            rows.execute(statement)
        yield rows
    finally:
        server.stop()


def verdict(campaign: Campaign, complaints: list[str], bare: bool) -> tuple[bool, str]:
    if not bare:
        said = "\n".join(complaints[:20])
        return not complaints, said or "each job has its one row and its one charge"
    repeated = [one for one in complaints if "rows" in one or "charged" in one]
    others = [one for one in complaints if one not in repeated]
    ok = bool(repeated) and not others
    return ok, f"without a ledger, {len(repeated)} repeats: {'; '.join((repeated + others)[:4])}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash.effects_campaign")
    parser.add_argument("--broker", choices=sorted(BROKERS), default="rabbitmq")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=60.0, help="kill no longer than that")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bare", action="store_true", help="without a ledger")
    options = parser.parse_args()
    gc.disable()  # no finalizer of the parent's runs in a child
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "broker").mkdir()
        with BROKERS[options.broker](folder / "broker") as (url, store), postgres() as rows:
            bank = Bank(folder)
            try:
                log = Log(folder / "effects")
                flow = EffectsFlow(rows, bank, log, longest=LONGEST, guarded=not options.bare)
                campaign = Campaign(url, store, flow, options.seed)
                complaints = campaign.run(options.kills, options.minutes * 60)
                print(campaign.table())
            finally:
                bank.stop()
    ok, said = verdict(campaign, complaints, options.bare)
    print(said)
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
