"""`python -m tests.crash.kills sqlite --kills 10000 --seed 1`: SIGKILLs in the middle of work.

This process imports everything, starts no thread, opens no connection, and forks workers. A worker
shows in shared memory which activations are open. It is stopped and looked at; if one is open it is
killed, and that counts. Each batch of jobs is one shape under one durability; when its kills are
used up the last worker finishes it, and the invariants are checked of each of its jobs. Jobs that
are not over by then are complained of.

`--mode` does something else to them; `--harm` harms the server meanwhile, each `--every` seconds.
"""

import argparse
import json
import logging
import math
import os
import random
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import get_args

from tests.crash.batch import Batch
from tests.crash.exhaustive import DURABILITIES, expected_of
from tests.crash.lane import MODES, Lane, Mode, Tally
from tests.crash.prey import Windows
from tests.crash.servers import LASTS, SERVERS, TROUBLES, Server, Trouble
from tests.crash.shapes import SHAPES

LANES = 3
"""Batches that are worked on at once."""

ENOUGH_COMPLAINTS = 20
GLANCE = 0.0005
UNSUITED = ("timeout", "long handler", "dead letter, redriven")
"""Shapes that take real seconds, or a person."""


class Hunt:
    """All lanes, until enough workers have been struck."""

    def __init__(
        self,
        server: Server,
        folder: Path,
        shapes: Sequence[str],
        *,
        blows: int,
        seed: int,
        mode: Mode,
        every: float,
    ) -> None:
        self._server = server
        self._folder = folder
        self._wanted = blows
        self._seed = seed
        self._every = every
        self._expected = {name: expected_of(SHAPES[name]) for name in shapes}
        self.mode = mode
        self.chance = random.Random(seed)
        self.windows = Windows(2 * LANES)
        self.tally = Tally()

    @property
    def wants_more(self) -> bool:
        return self.tally.blows < self._wanted and len(self.tally.complaints) < ENOUGH_COMPLAINTS

    def run(self) -> Tally:
        _hurry()
        began = time.monotonic()
        lanes = [Lane(slot, self) for slot in range(LANES)]
        harms = self._harms()
        while self.wants_more or not all(lane.is_idle for lane in lanes):
            for lane in lanes:
                lane.step()
            next(harms)
            time.sleep(GLANCE)
        harms.close()
        self.tally.seconds = time.monotonic() - began
        return self.tally

    def _harms(self) -> Generator[None]:
        """Harm the server and make it well again, each when its time has come."""
        while True:
            yield from _until(self._every)
            self._server.harm.begin()
            self.tally.harms += 1
            try:
                yield from _until(LASTS)
            finally:
                self._server.harm.end()

    def new_batch(self) -> Batch:
        """The next shape, under the next durability."""
        number = self.tally.batches
        self.tally.batches += 1
        names = sorted(self._expected)
        name, durability = names[number % len(names)], DURABILITIES[number % len(DURABILITIES)]
        folder = self._folder / f"batch{number}"
        folder.mkdir()
        lair = self._server.lair(f"k{self._seed}-{number}", folder)
        return Batch(
            lair, folder, SHAPES[name], durability, self._expected[name],
            befalls_all=self.mode == "rivals" or self._every < math.inf,
        )  # fmt: skip

    def count(self, batch: Batch) -> None:
        """A batch is over and judged."""
        tally, starts = self.tally, [one for one in batch.book.lines() if one.what == "start"]
        tally.complaints += json.loads(batch.verdict.read_text())
        tally.jobs += len(batch.jobs)
        tally.shapes[batch.shape.name] += len(batch.struck)
        tally.starts += len(starts)
        tally.repeats += len(starts) - len({(one.job, one.at, one.neuron) for one in starts})


def _until(seconds: float) -> Generator[None]:
    due = time.monotonic() + seconds
    while time.monotonic() < due:
        yield


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
    parser.add_argument("--mode", choices=MODES, default="kill")
    parser.add_argument("--harm", choices=get_args(Trouble))
    parser.add_argument("--every", type=float, default=3.0, metavar="SECONDS")
    options = parser.parse_args()
    if options.harm is not None and options.harm not in TROUBLES[options.server]:
        parser.error(f"--harm of {options.server}: {', '.join(TROUBLES[options.server])}")
    logging.getLogger("cnstra").setLevel(logging.CRITICAL)
    shapes = options.shape or [one for one in SHAPES if one not in UNSUITED]
    with (
        tempfile.TemporaryDirectory(prefix="cnstra-kills-") as folder,
        SERVERS[options.server](options.harm) as server,
    ):
        tally = Hunt(
            server, Path(folder), shapes,
            blows=options.kills, seed=options.seed, mode=options.mode,
            every=options.every if options.harm else math.inf,
        ).run()  # fmt: skip
    for name, value in tally.rows():
        print(f"{name:22} {value:>8}")
    for complaint in tally.complaints[:20]:
        print(complaint)
    return 1 if tally.complaints or tally.blows < options.kills else 0


if __name__ == "__main__":
    sys.exit(main())
