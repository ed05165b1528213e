"""A mixed fleet on one queue of BullMQ's: Python and Node workers that fail, abort and are killed.

    python -m tests.crash.bullmq_fleet [JOBS [KILLS [RESTARTS]]]

It starts a Redis of its own. In the end each job has completed with the right result, and no step
ran again that was recorded as done in what its attempt began with.
"""

import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.node_programs import Bull, NodeWorker
from tests.redis_server import RedisServer

ROOT = Path(__file__).parents[2]
QUEUE, LOG = "fleet", "fleet:log"
STEPS = ["step1", "step2", "step3"]
ATTEMPTS = {"attempts": 1000, "backoff": {"type": "fixed", "delay": 20}}
NODE = {
    "concurrency": 4, "log": LOG, "stepTime": 4, "abortAfter": 6, "abortRate": 0.2,
    "failRate": 0.05,
    "worker": {"lockDuration": 2000, "stalledInterval": 1000, "maxStalledCount": 100_000},
}  # fmt: skip
PYTHON = {
    "concurrency": 4, "log": LOG, "stepTime": 4, "failRate": 0.05, "restEvery": 3.0, "lease": 2.0,
    "queue": QUEUE,
}  # fmt: skip


@dataclass
class Report:
    """What a fleet did."""

    jobs: int
    seconds: float
    kills: Counter[str]
    restarts: int
    states: dict[str, int]
    attempts: int
    wrong_results: list[Any]
    repeats: list[Any]
    starts: Counter[str] = field(default_factory=Counter[str])

    @property
    def is_good(self) -> bool:
        return (
            self.states == {"completed": self.jobs} and not self.wrong_results and not self.repeats
        )


class PythonWorker:
    """A worker of ours, in a process of its own."""

    def __init__(self, server: RedisServer, **options: Any) -> None:
        told = json.dumps({"url": server.url, **PYTHON, **options})
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.bullmq_worker", told],
            cwd=ROOT,
            stderr=subprocess.DEVNULL,
        )

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Fleet:
    """The workers, and who is killed next."""

    def __init__(self, server: RedisServer, python: int, node: int, **options: Any) -> None:
        self.server = server
        self.options = options
        self.kinds = ["python"] * python + ["node"] * node
        self.workers: list[Any] = [self._new(kind) for kind in self.kinds]
        self.kills: Counter[str] = Counter()

    def _new(self, kind: str) -> Any:
        if kind == "python":
            return PythonWorker(self.server, **self.options)
        return NodeWorker(self.server.port, QUEUE, **NODE)

    def kill_one(self) -> None:
        place = random.randrange(len(self.workers))
        self.workers[place].kill()
        self.kills[self.kinds[place]] += 1
        self.workers[place] = self._new(self.kinds[place])

    def end(self) -> None:
        for worker in self.workers:
            worker.kill()


def run_fleet(
    jobs: int, kills: int, *, python: int = 2, node: int = 2, restarts: int = 0,
    every: float = 0.5, patience: float = 300.0, **options: Any,
) -> Report:  # fmt: skip
    """Add the jobs, half from each side, and harm the fleet while it works on them."""
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(Path(folder), "--appendonly", "yes", "--appendfsync", "always")
        server.start()
        try:
            ids = _add(server, jobs)
            fleet = Fleet(server, python, node, **options)
            began = time.monotonic()
            restarted = 0
            try:
                while time.monotonic() - began < patience:
                    time.sleep(every * random.uniform(0.5, 1.5))
                    is_over = _completed(server) >= jobs
                    if is_over and sum(fleet.kills.values()) >= kills and restarted >= restarts:
                        break
                    if is_over:
                        ids += _add(server, jobs // 4 + 1, first=len(ids))
                        jobs = len(ids)
                    if sum(fleet.kills.values()) < kills:
                        fleet.kill_one()
                    if restarted < restarts and random.random() < 0.5:
                        server.kill()
                        time.sleep(random.uniform(0.0, 0.3))
                        server.start()
                        restarted += 1
            finally:
                fleet.end()
            return _report(server, ids, time.monotonic() - began, fleet.kills, restarted)
        finally:
            server.stop()


def _add(server: RedisServer, jobs: int, first: int = 0) -> list[str]:
    half = jobs // 2
    with Bull(server.port, QUEUE) as bull:
        ids: list[str] = bull.ask("addMany", count=half, first=first, options=ATTEMPTS)
    adding = subprocess.run(
        [sys.executable, "-m", "tests.crash.bullmq_fleet", "add", server.url,
         str(first + half), str(jobs - half)],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return ids + json.loads(adding.stdout)


def _add_from_python(url: str, first: int, count: int) -> None:
    from cnstra import Queue
    from cnstra.jobs.blocking import blocking
    from cnstra.jobs.retry import fixed
    from tests.flows import request

    async def add() -> list[str]:
        signals = [request.create_signal({"id": first + n}) for n in range(count)]
        async with Queue(QUEUE, url) as queue:
            added = await queue.enqueue_many(signals, max_attempts=1000, backoff=fixed(0.02))
            return [job.id for job in added]

    print(json.dumps(blocking(add())))


def _completed(server: RedisServer) -> int:
    return int(server.call("ZCARD", f"bull:{QUEUE}:completed"))


def _report(
    server: RedisServer, ids: list[str], seconds: float, kills: Counter[str], restarts: int
) -> Report:
    found: dict[str, dict[str, str]] = {}
    for job_id in ids:
        flat = server.call("HGETALL", f"bull:{QUEUE}:{job_id}")
        found[job_id] = (
            flat if isinstance(flat, dict) else dict(zip(flat[::2], flat[1::2], strict=True))
        )
    states = Counter(
        next(
            (state for state in ("completed", "failed", "delayed")
             if server.call("ZSCORE", f"bull:{QUEUE}:{state}", job_id) is not None),
            "waiting or active",
        )
        for job_id in ids
    )  # fmt: skip
    wrong, item_of = [], {}
    for job_id, job in found.items():
        item = json.loads(job["data"])["signal"]["payload"]["id"]
        item_of[job_id] = item
        results = json.loads(job.get("returnvalue", "null"))
        final = f"Final: {item}"
        if results not in ({"results": [final]}, {"results": [{"result": final}]}):
            wrong.append((job_id, results))
    notes = [json.loads(one) for one in server.call("LRANGE", LOG, 0, -1)]
    return Report(
        len(ids), seconds, kills, restarts, dict(states),
        sum(int(job.get("ats", 0)) for job in found.values()), wrong,
        repeats_in(notes, item_of), Counter(note["by"] for note in notes if "step" in note),
    )  # fmt: skip


def repeats_in(notes: list[dict[str, Any]], item_of: dict[str, int]) -> list[Any]:
    """Steps that ran though what their attempt began with held them as done.

    A step that Python starts proves that those before it are recorded (durability "step"). A Node
    worker knows only the progress of the job: it says what it resumes, and what it records; until
    it has recorded, ours stands.
    """
    by_item: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for note in notes:
        by_item[note["id"] if "id" in note else item_of[note["job"]]].append(note)
    repeats: list[Any] = []
    for item, story in by_item.items():
        ours: set[str] = set()
        theirs: set[str] = set()
        for note in story:
            if "resumed" in note:
                owed = note["resumed"]
                theirs = set() if owed is None else set(STEPS[: STEPS.index(owed[0])])
            elif "recorded" in note:
                ours = set(STEPS[: STEPS.index(note["recorded"][0])])
            elif note["by"] == "node":
                if note["step"] in theirs:
                    repeats.append((item, note, story))
            else:
                if note["step"] in ours & theirs or (
                    note["step"] in ours and not theirs and _alone(story)
                ):
                    repeats.append((item, note, story))
                ours = set(STEPS[: STEPS.index(note["step"])])
                theirs = ours
    return repeats


def _alone(story: list[dict[str, Any]]) -> bool:
    return all(note["by"] == "python" for note in story)


if __name__ == "__main__":
    if sys.argv[1:2] == ["add"]:
        _add_from_python(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    else:
        numbers = [int(one) for one in sys.argv[1:]] + [500, 60, 0][len(sys.argv) - 1 :]
        report = run_fleet(numbers[0], numbers[1], restarts=numbers[2])
        print(report)
        sys.exit(not report.is_good)
