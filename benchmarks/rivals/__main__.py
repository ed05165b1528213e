"""`python -m benchmarks.rivals [--kills 200] [--seed 1] [RIVAL ...]`: the same kills for all."""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from benchmarks.rivals.campaign import Campaign, Outcome, Rival
from benchmarks.rivals.place import Place
from tests.postgres_server import PostgresServer
from tests.redis_server import RedisServer

RIVALS = {
    "cnstra-sqlite": Rival('cnstra, SQLite, "step"', "cnstra_jobs", "sqlite step", ours=True),
    "cnstra-behind": Rival('cnstra, SQLite, "behind"', "cnstra_jobs", "sqlite behind", ours=True),
    "cnstra-bullmq": Rival('cnstra, BullMQ, "step"', "cnstra_jobs", "bullmq step", ours=True),
    "dbos": Rival("DBOS, Postgres", "dbos_workflows"),
    "langgraph-sync": Rival('LangGraph, SQLite, "sync"', "langgraph_threads", "sync"),
    "langgraph-async": Rival('LangGraph, SQLite, "async"', "langgraph_threads", "async"),
    "celery-task": Rival("Celery, Redis, one task", "celery_task"),
    "celery-chain": Rival("Celery, Redis, a chain", "celery_chain"),
    "dramatiq-actor": Rival("Dramatiq, Redis, one actor", "dramatiq_actor"),
    "dramatiq-pipeline": Rival("Dramatiq, Redis, a pipeline", "dramatiq_pipeline"),
}
HEADS = (
    "jobs",
    "kills",
    "between",
    "cut short",
    "unrecorded",
    "finished",
    "lost",
    "wrong",
    "pause",
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rivals", description=__doc__)
    parser.add_argument("rivals", nargs="*", metavar="RIVAL", help=", ".join(RIVALS))
    parser.add_argument("--kills", type=int, default=200, help="in mid-step, of each (200)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print each outcome as JSON")
    options = parser.parse_args()
    if unknown := sorted(set(options.rivals) - set(RIVALS)):
        parser.error(f"no rival is named {', '.join(unknown)}: choose from {', '.join(RIVALS)}")
    if not options.json:
        print(f"{'':28}" + "".join(f"{head:>11}" for head in HEADS))
    for name in options.rivals or RIVALS:
        with place(RIVALS[name].option) as found:
            outcome = Campaign(RIVALS[name], found, options.kills, options.seed).run()
        print(json.dumps(asdict(outcome)) if options.json else row(outcome), flush=True)
    return 0


@contextmanager
def place(option: str) -> Iterator[Place]:
    """Servers of nobody else, with what each recommends for data that must last."""
    with tempfile.TemporaryDirectory(prefix="rivals-") as folder:
        redis = RedisServer(Path(folder), "--appendonly", "yes", "--maxmemory-policy", "noeviction")
        postgres = PostgresServer(fsync="on")
        redis.start()
        postgres.start()
        try:
            yield Place(folder, redis.url, postgres.url, option)
        finally:
            postgres.stop()
            redis.stop()


def row(one: Outcome) -> str:
    counts = (one.jobs, one.kills, one.misses, one.repeats.cut_short, one.repeats.unrecorded,
              one.repeats.finished, one.lost, one.wrong)  # fmt: skip
    return f"{one.rival:28}" + "".join(f"{each:11}" for each in counts) + f"{one.pause:10.1f}s"


if __name__ == "__main__":
    sys.exit(main())
