"""`python -m tests.crash.controls`: faults of our own, which the campaign must see.

Each line of the table takes something out of a copy of the tree and tries every point of one shape
there. The invariant that is named must complain.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.crash.invariants import QUIET_END, SAME_TRACE
from tests.rules.mutation import ROOT, Mutation, copied

PATIENCE = 600


@dataclass(frozen=True)
class Control:
    """what, file, old, new: as of a `Mutation`. sees: the invariant that does."""

    what: str
    file: str
    old: str
    new: str
    store: str
    shape: str
    sees: str

    @property
    def mutation(self) -> Mutation:
        return Mutation("", self.what, self.file, self.old, self.new, "")


AGAIN = "committed never starts again"
TWICE = "nothing starts twice unless something befell"
RESULTS = "results are exact"
BRANCHES = "no branch is lost or invented"
CONTEXT = "context is that of a serial replay"
KEYS = "keys are the same"
STALE = "a stale epoch never writes"
BOUNDED = "time to terminal is bounded"
EMPTY = "the store is empty after completion"
ENDS = "every job ends"

CONTROLS = (
    Control(
        "drop a commit",
        "durable/journal.py",
        "            if patch:\n                await self._land",
        "            if False:\n                await self._land",
        "memory",
        "chain of async",
        AGAIN,
    ),
    Control(
        "ack before the store knows",
        "jobs/turns.py",
        """                if self._ledger is not None:
                    await self._ledger.close(turn.job_id, "completed")
                if turn.incoming is not None:
                    await self._transport.done(turn.incoming)
""",
        """                if turn.incoming is not None:
                    await self._transport.done(turn.incoming)
                if self._ledger is not None:
                    await self._ledger.close(turn.job_id, "completed")
""",
        "messages",
        "chain of async",
        RESULTS,
    ),
    Control(
        "skip the fence",
        "adapters/memory/runs.py",
        "        if run.epoch != ticket.epoch or run.seq > ticket.seq or run.result is not None:",
        "        if False:",
        "memory",
        "chain of async",
        STALE,
    ),
    Control(
        "lose the before-image of an interrupted write",
        "engine/commits.py",
        """            run.context.roll_back(item[0].neuron_name, context)
    _record_failure(run, item, error, aborted=True, change=None)
""",
        """            pass
    _record_failure(run, item, error, aborted=True, change=_keep_writes(run, context))
""",
        "memory",
        "interrupted write",
        CONTEXT,
    ),
    Control(
        "reuse a key",
        "durable/lineage.py",
        "_digest(_KEY + worked_out(emission) + _name(neuron))",
        "_digest(_KEY + worked_out(emission))",
        "memory",
        "several entries",
        RESULTS,
    ),
    Control(
        "make a key of chance",
        "durable/lineage.py",
        "_digest(_KEY + worked_out(emission) + _name(neuron))",
        '_digest(_KEY + __import__("os").urandom(16) + worked_out(emission) + _name(neuron))',
        "memory",
        "chain of async",
        KEYS,
    ),
    Control(
        "forget a branch",
        "durable/recording.py",
        "            for successor, data in born:\n",
        "            for successor, data in [*born[:1], *born[2:]]:\n",
        "memory",
        "wide fan-out",
        BRANCHES,
    ),
    Control(
        "commit without the context",
        "durable/recording.py",
        "        if isinstance(change.value, Frozen):\n            self._progress.put_context(\n"
        "                name, change.value.data, self._network.versioned_contexts.get("
        "name, UNVERSIONED)\n            )",
        "        if isinstance(change.value, Frozen):\n            pass",
        "memory",
        "loop",
        BRANCHES,
    ),
    Control(
        "give a job out while it is leased",
        "adapters/memory/jobs.py",
        "        self._set_due(job, wanted.until)",
        "        self._set_due(job, wanted.now)",
        "memory",
        "long handler",
        QUIET_END,
    ),
    Control(
        "renew nothing",
        "jobs/consumer.py",
        "            held = list(self._held)\n            if not held:\n                continue\n",
        "            held = list(self._held)\n            if held:\n                continue\n",
        "memory",
        "long handler",
        QUIET_END,
    ),
    Control(
        "let a dead worker keep its job",
        "adapters/memory/jobs.py",
        "        self._set_due(job, wanted.until)",
        "        self._set_due(job, inf)",
        "memory",
        "chain of async",
        ENDS,
    ),
    Control(
        "let an attempt end before it is written down",
        "durable/journal.py",
        "        self.when_landed(land)\n        await landed",
        "        land()\n        await landed",
        "memory",
        "failing branch",
        TWICE,
    ),
    Control(
        "start a checkpoint neuron before its checkpoint",
        "durable/recording.py",
        "        return self._journal.when_landed if item[0].checkpoint else None",
        "        return None",
        "memory",
        "checkpoint neuron",
        AGAIN,
    ),
    Control(
        "start successors before the step has landed",
        "durable/recording.py",
        '        if receiver.checkpoint or self._durability == "step":',
        "        if receiver.checkpoint:",
        "memory",
        "chain of async",
        AGAIN,
    ),
    Control(
        "settle without the result",
        "jobs/attempt.py",
        "                await run.finish(result, self._queue.keep_results)\n",
        "",
        "messages",
        "chain of async",
        RESULTS,
    ),
    Control(
        "begin anew what is saved",
        "durable/run.py",
        "        if self.progress.entries:\n            self.progress.check()",
        "        if False:\n            self.progress.check()",
        "memory",
        "chain of async",
        AGAIN,
    ),
    Control(
        "take an interrupted handler for done",
        "engine/outcomes.py",
        "        if output is None and (context.observed_abort or cancelled):",
        "        if False:",
        "memory",
        "abort",
        BRANCHES,
    ),
    Control(
        "keep what is done in the frontier",
        "durable/recording.py",
        '            for prefix in ("t/", "e/", "s/"):',
        '            for prefix in ("e/", "s/"):',
        "memory",
        "chain of async",
        AGAIN,
    ),
    Control(
        "leave the progress behind",
        "adapters/memory/runs.py",
        "        run.entries = {}\n        run.released",
        "        run.released",
        "memory",
        "chain of async",
        EMPTY,
    ),
    Control(
        "end the worker when its broker is away",
        "jobs/consumer.py",
        "                pause = min(pause * 2, LONGEST_PAUSE)\n                continue\n",
        "                pause = min(pause * 2, LONGEST_PAUSE)\n                return\n",
        "memory",
        "chain of async",
        BOUNDED,
    ),
    Control(
        "resume branches in an order of chance",
        "durable/recording.py",
        "        self._owed = len(items) + self.held_back\n        return items\n",
        "        self._owed = len(items) + self.held_back\n"
        "        __import__('random').SystemRandom().shuffle(items)\n        return items\n",
        "memory",
        "wide fan-out",
        SAME_TRACE,
    ),
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash.controls", description=__doc__)
    parser.add_argument("what", nargs="*", help="words of those to try; all, if none is given")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many at once")
    options = parser.parse_args()
    chosen = [
        one for one in CONTROLS if not options.what or set(options.what) & set(one.what.split())
    ]
    if not chosen:
        parser.error(f"none of them is about {' '.join(options.what)}")
    complaints = list(_verdicts(chosen, options.jobs))
    for complaint in complaints:
        print(complaint)
    if not complaints:
        print(f"{len(chosen)} faults of our own, each seen")
    return 1 if complaints else 0


def _verdicts(chosen: list[Control], jobs: int) -> Iterator[str]:
    with ThreadPoolExecutor(jobs) as pool:
        for one, (verdict, report) in zip(chosen, pool.map(_try, chosen), strict=True):
            print(f"{verdict:8} {one.what:50} {one.store:9} {one.shape:20} {one.sees}", flush=True)
            if verdict != "seen":
                yield f"{one.what}: {verdict}\n{report}"


def _try(control: Control) -> tuple[str, str]:
    complaint = control.mutation.complaint(ROOT)
    if complaint is not None:
        return "BROKEN", complaint
    with tempfile.TemporaryDirectory() as folder:
        root = copied(Path(folder))
        control.mutation.apply(root)
        code, report = _campaign(root, control)
    if code == 0:
        return "UNSEEN", report
    return ("seen", "") if f": {control.sees}: " in report else ("OTHER", report)


def _campaign(root: Path, control: Control) -> tuple[int, str]:
    """Try every point of its shape on its store, in the tree below `root`."""
    options = [control.store, "--shape", control.shape, "--jobs", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash.exhaustive", *options],
        cwd=root,
        env={**os.environ, "PYTHONPATH": f"{root / 'src'}{os.pathsep}{root}"},
        capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    return done.returncode, done.stdout[-6000:] + done.stderr[-3000:]


if __name__ == "__main__":
    sys.exit(main())
