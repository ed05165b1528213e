"""`python -m tests.crash.exhaustive STORE ...`: every fault at every point of every shape.

A point is a call of a worker to its broker or store, or a handler's start or end. At each the
worker dies before it or after it, or the reply is lost, or the call never leaves, or the worker
stands still until another has taken its job over. The points are those of a run without faults, so
none is picked.
"""

import argparse
import logging
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import cast

from cnstra.durable.journal import Durability
from tests.crash.grounds import FIELDS, Field
from tests.crash.invariants import (
    QUIET_END,
    Evidence,
    Expected,
    NeverEnds,
    complaints,
    trace_complaints,
)
from tests.crash.lives import DEATHS, MOMENTS, Fault
from tests.crash.shapes import SHAPES, Shape
from tests.crash.trials import ENQUEUER, JOB, Story, Trial

DURABILITIES: Sequence[Durability] = ("exit", "behind", "step")
FIRST_RUN = "id-1"
"""What the first run of a clock is called, and so that of the run without faults."""

THREADED = ("threads",)
"""Shapes whose handlers' threads come and go as they like, so that no two runs are alike."""


WAITS = {("take", "late"), ("take", "lost")}
"""Faults after which a message is there again when its lease is over, and not before."""


@dataclass
class Tally:
    """What was tried of a shape on a store, and what was wrong."""

    shape: str
    store: str
    trials: Counter[str] = field(default_factory=Counter)
    complaints: list[str] = field(default_factory=list[str])
    seconds: float = 0.0

    def row(self) -> str:
        counts = " ".join(f"{self.trials[moment]:6}" for moment in COLUMNS)
        verdict = f"{len(self.complaints)} COMPLAINTS" if self.complaints else "all hold"
        return f"{self.store:9} {self.shape:22} {counts} {self.seconds:7.1f}  {verdict}"


COLUMNS = (
    "points", "before", "after", "lost", "refused", "stalls", "twice", "late", "none came",
    "traces",
)  # fmt: skip


def header() -> str:
    return f"{'store':9} {'shape':22} {' '.join(f'{one[:6]:>6}' for one in COLUMNS)} {'s':>7}"


def expected_of(shape: Shape) -> Expected:
    """By a run without faults, in memory. Raises `NeverEnds`."""
    with FIELDS["memory"]() as quiet:
        story = quiet.play(Trial(shape, "step"))
    return Expected.of(JOB, story.state, story.result, story.lines, story.lives)


def judge(trial: Trial, story: Story, expected: Expected) -> Iterator[str]:
    """What is wrong with what came of a trial."""
    evidence = Evidence(
        expected, trial.durability, story.state, story.result, story.lines, story.left,
        lives=story.lives, limit=expected.lives + _ended_by(story), same_run=story.run == FIRST_RUN,
        checkpoints=trial.shape.checkpoints, befell=bool(story.came),
    )  # fmt: skip
    for complaint in complaints(evidence):
        yield f"{trial}: {complaint}"


def _ended_by(story: Story) -> int:
    """How many workers were ended by what befell them."""
    return sum(one.moment in (*DEATHS, "stalls") for one in story.came)


def trials_of(
    shape: Shape, durability: Durability, quiet: Story, *, virtual: bool = True
) -> Iterator[Trial]:
    """Each fault at each point that was passed without any; where time is real, those alone that
    wait for no lease to pass.
    """
    for life, calls in sorted(quiet.calls.items()):
        for call, times in calls.items():
            for number in range(1, times + 1):
                for moment in MOMENTS[call]:
                    if (call, moment) in WAITS and not virtual:
                        continue
                    fault = (Fault(call, number, moment),)
                    if life == ENQUEUER:
                        yield Trial(shape, durability, enqueuing=fault)
                    else:
                        yield Trial(shape, durability, (*[()] * life, fault))


def try_shape(place: Field, store: str, shape: Shape, sample: float, seed: int) -> Tally:
    """Every trial of a shape on a store; or a share of them, as the seed says."""
    tally, began, chance = Tally(shape.name, store), time.monotonic(), random.Random(seed)
    if shape.rivals and not place.virtual:
        return tally  # it would wait for leases to pass
    try:
        expected = expected_of(shape)
    except NeverEnds as error:
        tally.complaints.append(f"{shape.name}: {QUIET_END}: {error}")
        return tally
    for durability in DURABILITIES:
        quiet = place.play(Trial(shape, durability))
        tally.complaints += judge(Trial(shape, durability), quiet, expected)
        tally.trials["points"] += sum(sum(calls.values()) for calls in quiet.calls.values())
        for trial in trials_of(shape, durability, quiet, virtual=place.virtual):
            if chance.random() < sample:
                _try(place, trial, expected, tally)
    tally.seconds = time.monotonic() - began
    return tally


def _try(place: Field, trial: Trial, expected: Expected, tally: Tally) -> None:
    story = place.play(trial)
    moment = (trial.enqueuing or trial.faults[-1])[0].moment
    tally.trials[moment if story.came else "none came"] += 1
    tally.complaints += judge(trial, story, expected)
    if place.virtual and moment in DEATHS and trial.shape.name not in THREADED:
        tally.trials["traces"] += 1
        again = place.play(trial).lines
        tally.complaints += (f"{trial}: {one}" for one in trace_complaints(story.lines, again))


def run(
    stores: Sequence[str], shapes: Sequence[str], sample: float, seed: int, processes: int
) -> list[Tally]:
    """Each shape on each store, some at a time; each prints its row when it is done."""
    parts = [
        (shape, store, sample, seed + place)
        for place, (store, shape) in enumerate((b, a) for b in stores for a in shapes)
    ]
    if processes == 1:
        return [_told(try_shape_named(*part)) for part in parts]
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        waiting = [pool.submit(try_shape_named, *part) for part in parts]
        return [_told(one.result()) for one in waiting]


def _told(tally: Tally) -> Tally:
    print(tally.row(), flush=True)
    return tally


def try_shape_named(shape: str, store: str, sample: float, seed: int) -> Tally:
    """On a server of its own; the log has nothing to say of what is done to it."""
    logging.getLogger("cnstra").setLevel(logging.CRITICAL)
    with FIELDS[store]() as place:
        return try_shape(place, store, SHAPES[shape], sample, seed)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash.exhaustive", description=__doc__)
    parser.add_argument("stores", nargs="*", choices=[*FIELDS, []], metavar="STORE")
    parser.add_argument("--shape", action="append", choices=[*SHAPES])
    parser.add_argument("--sample", type=float, default=1.0, help="the share of faults to try")
    parser.add_argument("--seed", type=int, default=1, help="chooses that share")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    options = parser.parse_args()
    stores, shapes = options.stores or [*FIELDS], options.shape or [*SHAPES]
    print(header(), flush=True)
    tallies = run(stores, shapes, options.sample, options.seed, options.jobs)
    return report(tallies)


def report(tallies: Sequence[Tally]) -> int:
    """Print the sum, and what was wrong."""
    total = Tally("in all", "")
    for one in tallies:
        total.trials.update(one.trials)
        total.complaints += one.complaints
        total.seconds += one.seconds
    print(total.row())
    for complaint in total.complaints[:20]:
        print(complaint)
    return 1 if total.complaints else 0


if __name__ == "__main__":
    sys.exit(cast(int, main()))
