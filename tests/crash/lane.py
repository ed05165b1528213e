"""One worker at a time, and what befalls it while it works."""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal, Protocol

from tests.crash.batch import Batch
from tests.crash.flow import ended
from tests.crash.prey import LONGEST, Windows

Mode = Literal["kill", "deploy", "zombie", "rivals"]
"""kill: SIGKILL. deploy: SIGTERM. zombie: it is stopped, another takes over, and it goes on.
rivals: it is killed while another works on the same jobs.
"""

MODES: tuple[Mode, ...] = ("kill", "deploy", "zombie", "rivals")
BLOWS_EACH = 80
"""What befalls a batch at most."""

PATIENCE = 60.0
"""Seconds in which a worker must get to work, and the last one to the end."""

ENOUGH = (1, 1, 1, 2, 2, 3, 4, 6)
"""After how many activations begun a worker may be struck, by chance."""

Does = Literal["adds", "works", "leaves", "judges"]


@dataclass
class Tally:
    """What was done, and what was wrong. blows: those that fell on an open activation."""

    blows: int = 0
    misses: int = 0
    harms: int = 0
    batches: int = 0
    jobs: int = 0
    starts: int = 0
    repeats: int = 0
    seconds: float = 0.0
    shapes: Counter[str] = field(default_factory=Counter)
    complaints: list[str] = field(default_factory=list[str])

    def rows(self) -> Iterator[tuple[str, object]]:
        yield "in mid-work", self.blows
        yield "missed", self.misses
        yield "harms to the server", self.harms
        yield "a second", round(self.blows / max(self.seconds, 0.001), 1)
        yield "batches", self.batches
        yield "jobs", self.jobs
        yield "activations started", self.starts
        yield "of those, once more", self.repeats
        yield "seconds", round(self.seconds, 1)
        yield "CPU ms each", round(1000 * _cpu() / max(self.blows, 1))
        yield "complaints", len(self.complaints)


class Hunt(Protocol):
    """What a lane is told, and what it tells."""

    mode: Mode
    chance: random.Random
    windows: Windows
    tally: Tally

    @property
    def wants_more(self) -> bool: ...

    def new_batch(self) -> Batch: ...

    def count(self, batch: Batch) -> None:
        """A batch is over and judged."""
        ...


class Lane:
    """One process at a time, of one batch after the other: one adds jobs, workers are struck over
    them, one judges what came of it.
    """

    def __init__(self, slot: int, hunt: Hunt) -> None:
        self._slot = 2 * slot
        self._hunt = hunt
        self._batch: Batch | None = None
        self._pid = 0
        self._does: Does = "adds"
        self._began = 0.0
        self._enough = 0
        self._strike_at = 0.0
        self._others: list[int] = []
        """Zombies that stand still, or a rival."""

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
        elif self._may_strike(batch):
            self._hunt_down(batch)

    def _watch(self, does: Does, pid: int) -> None:
        self._does, self._pid, self._began = does, pid, time.monotonic()

    def _may_strike(self, batch: Batch) -> bool:
        return self._does == "works" and self._hunt.wants_more and len(batch.struck) < BLOWS_EACH

    def _have_worked(self, batch: Batch) -> None:
        if self._hunt.mode == "rivals" and not self._others:
            self._others.append(batch.fork_rival(self._hunt.windows, self._slot + 1))
        self._watch("works", batch.fork_worker(self._hunt.windows, self._slot))
        self._strike_at, self._enough = 0.0, self._hunt.chance.choice(ENOUGH)

    # --- blows

    def _hunt_down(self, batch: Batch) -> None:
        now = time.monotonic()
        look = self._hunt.windows.look(self._slot)
        if not self._strike_at and look.begun >= self._enough:
            self._strike_at = now + self._hunt.chance.uniform(0.0, LONGEST)
        if self._strike_at and now >= self._strike_at and look.is_open:
            self._strike(batch)

    def _strike(self, batch: Batch) -> None:
        """Stop it, look, and if an activation is open do what the mode says."""
        os.kill(self._pid, signal.SIGSTOP)
        _, status = os.waitpid(self._pid, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            self._ended(batch, os.waitstatus_to_exitcode(status))
        elif not self._hunt.windows.look(self._slot).is_open or self._must_go_on(batch):
            self._hunt.tally.misses += 1
            os.kill(self._pid, signal.SIGCONT)
        else:
            self._hunt.tally.blows += 1
            batch.strike()
            self._blow(batch)

    def _must_go_on(self, batch: Batch) -> bool:
        """A zombie inside a transaction of SQLite would hold its lock for ever."""
        return self._hunt.mode == "zombie" and batch.lair.is_locked

    def _blow(self, batch: Batch) -> None:
        if self._hunt.mode == "deploy":
            os.kill(self._pid, signal.SIGTERM)
            os.kill(self._pid, signal.SIGCONT)
            self._does = "leaves"
        elif self._hunt.mode == "zombie":
            self._end_others()
            self._others.append(self._pid)
            self._have_worked(batch)
        else:
            os.kill(self._pid, signal.SIGKILL)
            assert ended(self._pid) == -signal.SIGKILL
            self._have_worked(batch)

    def _end_others(self) -> None:
        """Let zombies go on that stood still. They are told to stop, which they do when they have
        heard that nothing is theirs any more. A rival ends by itself, as there is nothing to do.
        """
        if self._hunt.mode == "zombie":
            for pid in self._others:
                os.kill(pid, signal.SIGTERM)  # before it can end by itself
                os.kill(pid, signal.SIGCONT)
        for pid in self._others:
            status = ended(pid)
            if status:
                what = f"a {self._hunt.mode.removesuffix('s')} ended with {status}"
                self._hunt.tally.complaints.append(f"{self._batch}: {what}")
        self._others = []

    # --- ends

    def _ended(self, batch: Batch, status: int) -> None:
        """The process has ended by itself."""
        if status:
            self._fail(batch, f"a process that {self._does} ended with {status}")
        elif self._does == "works":
            self._end_others()
            self._watch("judges", batch.fork_judge())
        elif self._does != "judges" or not batch.verdict.exists():
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
        for pid in self._others:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            ended(pid)
        self._others = []
        batch.drop()
        self._batch = None


def _cpu() -> float:
    """Seconds of all that this process and its children have used."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system
