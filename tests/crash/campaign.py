"""`python -m tests.crash.campaign --kills 200`: kill a worker again and again, in mid-work.

A fan-out of 6 and three steps a branch, 12 jobs, durability "step", no crash limit. A kill counts
only if the effect log shows that an activation of the killed process was in flight. All jobs must
complete, their results be exact, no effect be missing, and once a successor's effect is in the log
no later line may be its predecessor's.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.crash.flow import Ahead, Flow, Log, Place, ended, fork

JOBS = 12
FLOW = Flow(width=6, steps=3, longest=0.1)
AHEAD = 10.0
RESERVE = 24
"""Activations that are left for the last kills, so that these fall into work too."""

PATIENCE = 30.0


class Campaign:
    """Workers in a row, forked from this process, which starts no thread and opens no database."""

    def __init__(self, folder: Path, kills: int, seed: int) -> None:
        self.place = Place(f"sqlite:///{folder}/jobs.db", Ahead(0.0))
        self.log = Log(folder / "effects")
        self.wanted = kills
        self.chance = random.Random(seed)
        self.kills = 0
        self.misses = 0
        self.took = 0.0

    def run(self) -> list[str]:
        """Enqueue, kill, let the last worker finish; return what was wrong."""
        began = time.monotonic()
        self.place.enqueue(FLOW, JOBS)
        while self.kills < self.wanted:
            if not self._one_life():
                return [f"the jobs were over after {self.kills} kills"]
        self.place.clock.ahead += AHEAD
        status = ended(fork(lambda: self._work(until_idle=True)))
        self.took = time.monotonic() - began
        complaints = [] if status == 0 else [f"the last worker ended with {status}"]
        for number, (state, made, result) in enumerate(self.place.records()):
            if (state, made, result) != ("completed", 0, FLOW.result(number)):
                complaints.append(f"job {number} is {state}, {made} attempts, {result}")
        if self.place.left_behind():
            complaints.append("progress was left behind")
        return [*complaints, *FLOW.complaints(self.log, JOBS, in_order=True)]

    def _work(self, *, until_idle: bool) -> None:
        random.seed(os.getpid())
        options = {"durability": "step", "crash_limit": None, "concurrency": 2}
        self.place.work(FLOW.cns(self.log), until_idle=until_idle, **options)

    def _one_life(self) -> bool:
        """A worker does its share and dies in mid-work; `False` if nothing was left to do."""
        self.place.clock.ahead += AHEAD
        enough = self._share()
        pid = fork(lambda: self._work(until_idle=True))
        gives_up_at = time.monotonic() + PATIENCE
        while not (self.log.ended_by(pid) >= enough and self.log.in_flight(pid)):
            if os.waitpid(pid, os.WNOHANG)[0] or time.monotonic() > gives_up_at:
                return False
            time.sleep(0.002)
        time.sleep(self.chance.uniform(0.0, 0.02))
        os.kill(pid, signal.SIGKILL)
        assert ended(pid) == -signal.SIGKILL
        if self.log.in_flight(pid):
            self.kills += 1
        else:
            self.misses += 1
        return True

    def _share(self) -> int:
        """How many effects the next worker may have: none, where the kills are behind the work."""
        done = {line.activation for line in self.log.lines() if line.what == "end"}
        whole = JOBS * FLOW.activations - RESERVE
        share = (whole - len(done)) / (self.wanted - self.kills)
        return 0 if share < whole / self.wanted else 1 + int(self.chance.uniform(0.0, share))

    def table(self) -> str:
        lines = self.log.lines()
        starts = Counter(line.activation for line in lines if line.what == "start")
        rows = [
            ("jobs", JOBS),
            ("activations", JOBS * FLOW.activations),
            ("kills in mid-work", self.kills),
            ("kills that missed", self.misses),
            ("activations started", sum(starts.values())),
            ("of those, once more", sum(starts.values()) - len(starts)),
            ("most starts of one", max(starts.values())),
            ("seconds", round(self.took, 1)),
        ]
        return "\n".join(f"{name:22} {value:>8}" for name, value in rows)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash.campaign", description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        campaign = Campaign(Path(folder), options.kills, options.seed)
        complaints = campaign.run()
        print(campaign.table())
    print("\n".join(complaints[:20]) or "every job completed, exact, in order, and none missing")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
