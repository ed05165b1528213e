"""`python -m tests.crash.kills sqlite --kills 10000 --seed 1`: SIGKILLs in the middle of work.

This process imports everything, starts no thread, opens no connection, and forks workers. A worker
shows in shared memory which activations are open. It is stopped and looked at; if one is open it is
killed, and that counts. Each batch of jobs is one shape under one durability; when its kills are
used up the last worker finishes it, and every invariant is checked of each of its jobs.
"""

import argparse
import json
import logging
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from cnstra.durable.journal import Durability
from cnstra.jobs.broker import JobRecord
from tests.crash.exhaustive import DURABILITIES, expected_of
from tests.crash.flow import ended, fork
from tests.crash.invariants import OVER, Evidence, Expected, complaints
from tests.crash.prey import LONGEST, Lair, Prey, Windows
from tests.crash.servers import SERVERS, Server
from tests.crash.shapes import SHAPES, Shape
from tests.crash.witness import Book, Line

JOBS = 20
KILLS_EACH = 80
"""Jobs of a batch, and kills that befall it at most."""

LANES = 3
"""Batches that are worked on at once, each by one worker."""

PATIENCE = 60.0
"""Seconds in which a worker must get to work, and the last one to the end."""

GLANCE = 0.0005
ENOUGH = (1, 1, 1, 2, 2, 3, 4, 6)
"""After how many activations begun a worker may be killed, by chance."""

UNSUITED = ("timeout", "long handler", "dead letter, redriven")
"""Shapes that take real seconds, or a person."""


@dataclass
class Tally:
    """What was done, and what was wrong."""

    kills: int = 0
    misses: int = 0
    batches: int = 0
    jobs: int = 0
    starts: int = 0
    repeats: int = 0
    seconds: float = 0.0
    shapes: Counter[str] = field(default_factory=Counter)
    complaints: list[str] = field(default_factory=list[str])

    def rows(self) -> Iterator[tuple[str, object]]:
        yield "kills in mid-work", self.kills
        yield "kills that missed", self.misses
        yield "kills a second", round(self.kills / max(self.seconds, 0.001), 1)
        yield "batches", self.batches
        yield "jobs", self.jobs
        yield "activations started", self.starts
        yield "of those, once more", self.repeats
        yield "seconds", round(self.seconds, 1)
        yield "CPU ms a kill", round(1000 * _cpu() / max(self.kills, 1))
        yield "complaints", len(self.complaints)


class Batch:
    """Jobs of one shape, and the workers that are killed over them, one after the other."""

    def __init__(
        self,
        lair: Lair,
        folder: Path,
        shape: Shape,
        durability: Durability,
        expected: Expected,
    ) -> None:
        self.lair = lair
        self.folder = folder
        self.book = Book(folder / "book")
        self.verdict = folder / "verdict"
        self.shape = shape
        self.durability = durability
        self.expected = expected
        self.jobs = lair.jobs(JOBS)
        self.lives = 0
        self.kills = 0

    def __str__(self) -> str:
        return f"{self.shape.name}, {self.durability}"

    def fork_adding(self) -> int:
        """A process that adds the jobs."""
        return fork(lambda: self.lair.enqueue(self.shape, self.jobs))

    def fork_worker(self, windows: Windows, slot: int) -> int:
        """The next worker."""
        self.lives += 1
        clock = self.lair.clock(self.lives)
        life = Prey(self.lives, self.book, clock, self.jobs, windows, slot)
        return fork(lambda: self.lair.work(self.shape, life, self.durability))

    def fork_judge(self) -> int:
        """A process that writes down what is wrong with the jobs, once they are over."""

        def judge() -> None:
            records = self.lair.records(self.jobs, self.lives)
            if all(one is not None and one.state in OVER for one, _ in records):
                self.verdict.write_text(json.dumps(list(self._complaints(records))))

        return fork(judge)

    def _complaints(self, records: Sequence[tuple[JobRecord | None, int]]) -> Iterator[str]:
        lines: dict[str, list[Line]] = {job: [] for job in self.jobs}
        for line in self.book.lines():
            lines[line.job].append(line)
        for job, (record, left) in zip(self.jobs, records, strict=True):
            assert record is not None
            result = None if record.result is None else json.loads(record.result)
            evidence = Evidence(
                self.expected, self.durability, record.state, result, lines[job], left,
                checkpoints=self.shape.checkpoints,
            )  # fmt: skip
            for complaint in complaints(evidence):
                yield f"{self}, {job}: {complaint}"

    def drop(self) -> None:
        """Forget it, with its files."""
        self.book.close()
        shutil.rmtree(self.folder)


class Lane:
    """One process at a time, of one batch after the other: one adds jobs, workers are killed over
    them, one judges what came of it.
    """

    def __init__(self, slot: int, hunt: "Hunt") -> None:
        self._slot = slot
        self._hunt = hunt
        self._batch: Batch | None = None
        self._pid = 0
        self._does: Literal["adds", "works", "judges"] = "adds"
        self._began = 0.0
        self._enough = 0
        self._kill_at = 0.0

    @property
    def is_idle(self) -> bool:
        return self._batch is None

    def step(self) -> None:
        """Look at the process; do what is due."""
        hunt, batch = self._hunt, self._batch
        if batch is None:
            if hunt.wants_more:
                self._batch = batch = hunt.new_batch()
                self._watch("adds", batch.fork_adding())
            return
        pid, status = os.waitpid(self._pid, os.WNOHANG)
        if pid:
            self._ended(batch, os.waitstatus_to_exitcode(status))
        elif time.monotonic() - self._began > PATIENCE:
            self._give_up(batch)
        elif self._does == "works" and hunt.wants_more and batch.kills < KILLS_EACH:
            self._hunt_down(batch)

    def _watch(self, does: Literal["adds", "works", "judges"], pid: int) -> None:
        self._does, self._pid, self._began = does, pid, time.monotonic()

    def _have_worked(self, batch: Batch) -> None:
        self._watch("works", batch.fork_worker(self._hunt.windows, self._slot))
        self._kill_at, self._enough = 0.0, self._hunt.chance.choice(ENOUGH)

    def _hunt_down(self, batch: Batch) -> None:
        now = time.monotonic()
        is_open, begun = self._hunt.windows.look(self._slot)
        if not self._kill_at and begun >= self._enough:
            self._kill_at = now + self._hunt.chance.uniform(0.0, LONGEST)
        if self._kill_at and now >= self._kill_at and is_open:
            self._strike(batch)

    def _strike(self, batch: Batch) -> None:
        """Stop it, look, and kill it if an activation is open."""
        os.kill(self._pid, signal.SIGSTOP)
        os.waitpid(self._pid, os.WUNTRACED)
        is_open, _ = self._hunt.windows.look(self._slot)
        if not is_open:
            self._hunt.tally.misses += 1
            os.kill(self._pid, signal.SIGCONT)
            return
        os.kill(self._pid, signal.SIGKILL)
        assert ended(self._pid) == -signal.SIGKILL
        self._hunt.tally.kills += 1
        batch.kills += 1
        self._have_worked(batch)

    def _ended(self, batch: Batch, status: int) -> None:
        """The process has ended by itself."""
        if status:
            self._fail(batch, f"a process that {self._does} ended with {status}")
        elif self._does == "works":
            self._watch("judges", batch.fork_judge())
        elif self._does == "adds" or not batch.verdict.exists():
            self._have_worked(batch)
        else:
            self._hunt.count(batch)
            batch.drop()
            self._batch = None

    def _give_up(self, batch: Batch) -> None:
        os.kill(self._pid, signal.SIGKILL)
        ended(self._pid)
        self._fail(batch, f"time to terminal is bounded: no end in {PATIENCE:g} s")

    def _fail(self, batch: Batch, what: str) -> None:
        self._hunt.tally.complaints.append(f"{batch}: {what}")
        batch.drop()
        self._batch = None


class Hunt:
    """All lanes, until enough workers have been killed."""

    def __init__(
        self, server: Server, folder: Path, kills: int, seed: int, shapes: Sequence[str]
    ) -> None:
        self._server = server
        self._folder = folder
        self._wanted = kills
        self._seed = seed
        self._expected = {name: expected_of(SHAPES[name]) for name in shapes}
        self.chance = random.Random(seed)
        self.windows = Windows(LANES)
        self.tally = Tally()

    @property
    def wants_more(self) -> bool:
        return self.tally.kills < self._wanted

    def run(self) -> Tally:
        _hurry()
        began = time.monotonic()
        lanes = [Lane(slot, self) for slot in range(LANES)]
        while self.wants_more or not all(lane.is_idle for lane in lanes):
            for lane in lanes:
                lane.step()
            time.sleep(GLANCE)
        self.tally.seconds = time.monotonic() - began
        return self.tally

    def new_batch(self) -> Batch:
        """The next shape, under the next durability."""
        number = self.tally.batches
        self.tally.batches += 1
        names = sorted(self._expected)
        name, durability = names[number % len(names)], DURABILITIES[number % len(DURABILITIES)]
        folder = self._folder / f"batch{number}"
        folder.mkdir()
        lair = self._server.lair(f"k{self._seed}-{number}", folder)
        return Batch(lair, folder, SHAPES[name], durability, self._expected[name])

    def count(self, batch: Batch) -> None:
        """A batch is over and judged."""
        tally, starts = self.tally, [one for one in batch.book.lines() if one.what == "start"]
        tally.complaints += json.loads(batch.verdict.read_text())
        tally.jobs += len(batch.jobs)
        tally.shapes[batch.shape.name] += batch.kills
        tally.starts += len(starts)
        tally.repeats += len(starts) - len({(one.job, one.at, one.neuron) for one in starts})


def _cpu() -> float:
    """Seconds of all that this process and its children have used."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def _hurry() -> None:
    """Go before the workers, so that none gets away; where that is allowed."""
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, -5)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash.kills", description=__doc__)
    parser.add_argument("server", choices=[*SERVERS])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--shape", action="append", choices=[*SHAPES])
    options = parser.parse_args()
    logging.getLogger("cnstra").setLevel(logging.CRITICAL)
    shapes = options.shape or [name for name in SHAPES if name not in UNSUITED]
    tally = hunt_on(options.server, options.kills, options.seed, shapes)
    for name, value in tally.rows():
        print(f"{name:22} {value:>8}")
    for complaint in tally.complaints[:20]:
        print(complaint)
    return 1 if tally.complaints else 0


def hunt_on(name: str, kills: int, seed: int, shapes: Sequence[str]) -> Tally:
    """Kill so many workers on a server of our own."""
    with tempfile.TemporaryDirectory(prefix="cnstra-kills-") as folder, SERVERS[name]() as server:
        return Hunt(server, Path(folder), kills, seed, shapes).run()


if __name__ == "__main__":
    sys.exit(main())
