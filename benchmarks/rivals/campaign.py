"""Kills the worker of one rival again and again, in mid-work, and counts what came of it."""

import random
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.rivals.flow import SECONDS, STEPS, expected
from benchmarks.rivals.log import Line, Log, Repeats, repeats
from benchmarks.rivals.place import Place
from benchmarks.rivals.program import Program
from benchmarks.rivals.rival import Rival

GLANCE = 0.002
RESERVE = 20
"""Jobs that are always at hand, so that a kill falls into work."""

LONGEST = 2 * STEPS * SECONDS
"""A worker is left alone for up to so many seconds of work: two jobs, so it ends one on average."""

PATIENCE = 120.0
"""Seconds without any line after which what is not done counts as lost: more than twenty times
what each is told to wait for a worker that has gone."""


@dataclass(frozen=True)
class Outcome:
    """What a campaign saw. misses: kills that fell between two steps.

    pauses: for each job that a kill cut short, seconds until any step of it started again.
    """

    rival: str
    jobs: int
    kills: int
    misses: int
    repeats: Repeats
    lost: int
    wrong: int
    pauses: list[float]
    seconds: float

    @property
    def pause(self) -> float:
        return statistics.median(self.pauses) if self.pauses else 0.0


class Campaign:
    def __init__(self, rival: Rival, place: Place, kills: int, seed: int) -> None:
        self.rival = rival
        self.wanted = kills
        self.chance = random.Random(seed)
        self.program = Program(rival, place)
        self.log = Log(Path(place.folder) / "effects")
        self.jobs = 0
        self.life = 0
        self.deaths: list[tuple[float, bool]] = []
        """When each life ended, and whether a step was open."""

    def run(self) -> Outcome:
        began = time.monotonic()
        self._submit(self.wanted + RESERVE)
        while self._kills() < self.wanted:
            if self.jobs - self.log.finished() < RESERVE:
                self._submit(RESERVE)
            self._one_life()
        found = self._let_finish()
        return Outcome(
            rival=self.rival.label,
            jobs=self.jobs,
            kills=self._kills(),
            misses=len(self.deaths) - self._kills(),
            repeats=repeats(self.log.lines()),
            lost=found.count(None),
            wrong=sum(
                value is not None and value != expected(job) for job, value in enumerate(found)
            ),
            pauses=list(self._pauses()),
            seconds=time.monotonic() - began,
        )

    def _kills(self) -> int:
        return sum(was_open for _, was_open in self.deaths)

    def _one_life(self) -> None:
        """A worker does its share and dies: mostly within a step, else between two."""
        self.life += 1
        with self.program.worker(self.life):
            self._wait_for_work()
            time.sleep(self.chance.uniform(0.0, LONGEST))
            self._wait_for_work()
            time.sleep(self.chance.uniform(0.0, SECONDS))
        self.deaths.append((time.time(), bool(self.log.open_in(self.life))))

    def _wait_for_work(self) -> None:
        gives_up_at = time.monotonic() + PATIENCE
        while not self.log.open_in(self.life):
            assert time.monotonic() < gives_up_at, f"it does nothing: {self.program.last_words()}"
            time.sleep(GLANCE)

    def _let_finish(self) -> list[int | None]:
        """The results, once all are there, or nothing has happened for too long."""
        with self.program.worker(self.life + 1):
            while True:
                time.sleep(2.0)
                found = self.program.results(self.jobs)
                last = max(each.at for each in self.log.lines())
                if None not in found or time.time() - last > PATIENCE:
                    return found

    def _pauses(self) -> Iterator[float]:
        for life, (died, _) in enumerate(self.deaths, 1):
            for job, _ in self.log.open_in(life):
                starts = (each.at for each in self.log.lines() if _is_start(each, job, life))
                if (first := min(starts, default=None)) is not None:
                    yield first - died

    def _submit(self, count: int) -> None:
        self.program.submit(self.jobs, count)
        self.jobs += count


def _is_start(line: Line, job: int, after_life: int) -> bool:
    return line.what == "start" and line.job == job and line.life > after_life
