"""`python -m benchmarks.rivals [--kills 200] [--seed 1] [RIVAL ...]`: the same kills for all."""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path

from benchmarks.rivals.campaign import Campaign, Outcome, Rival
from benchmarks.rivals.place import Place
from tests.postgres_server import PostgresServer
from tests.rabbitmq_server import RabbitServer
from tests.redis_server import RedisServer

RABBITMQ = ("rabbitmq", "redis")
"""Redis keeps the results."""

RIVALS = {
    "cnstra-sqlite": Rival('cnstra, SQLite, "step"', "cnstra_jobs", (), "step", ours=True),
    "cnstra-behind": Rival('cnstra, SQLite, "behind"', "cnstra_jobs", (), "behind", ours=True),
    "cnstra-bullmq": Rival('cnstra, BullMQ, "step"', "cnstra_jobs", ("redis",), "step", ours=True),
    "dbos": Rival("DBOS, Postgres", "dbos_workflows", ("postgres",)),
    "langgraph-sync": Rival('LangGraph, SQLite, "sync"', "langgraph_threads", (), "sync"),
    "langgraph-async": Rival('LangGraph, SQLite, "async"', "langgraph_threads", (), "async"),
    "celery-task": Rival("Celery, Redis, one task", "celery_task", ("redis",)),
    "celery-chain": Rival("Celery, Redis, a chain", "celery_chain", ("redis",)),
    "celery-rabbitmq-task": Rival("Celery, RabbitMQ, one task", "celery_task", RABBITMQ),
    "celery-rabbitmq-chain": Rival("Celery, RabbitMQ, a chain", "celery_chain", RABBITMQ),
    "dramatiq-actor": Rival("Dramatiq, Redis, one actor", "dramatiq_actor", ("redis",)),
    "dramatiq-pipeline": Rival("Dramatiq, Redis, a pipeline", "dramatiq_pipeline", ("redis",)),
    "dramatiq-rabbitmq-actor": Rival("Dramatiq, RabbitMQ, one actor", "dramatiq_actor", RABBITMQ),
    "dramatiq-rabbitmq-pipeline": Rival(
        "Dramatiq, RabbitMQ, a pipeline", "dramatiq_pipeline", RABBITMQ
    ),
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
    parser.add_argument("--together", type=int, default=1, help="rivals at a time (1)")
    parser.add_argument("--json", action="store_true", help="print each outcome as JSON")
    options = parser.parse_args()
    if unknown := sorted(set(options.rivals) - set(RIVALS)):
        parser.error(f"no rival is named {', '.join(unknown)}: choose from {', '.join(RIVALS)}")
    if not options.json:
        print(f"{'':30}" + "".join(f"{head:>11}" for head in HEADS))
    with ProcessPoolExecutor(options.together) as pool:
        running = {
            pool.submit(run, name, options.kills, options.seed): name
            for name in options.rivals or RIVALS
        }
        told = [tell(running[each], each, options.json) for each in as_completed(running)]
    return 0 if all(told) else 1


def run(name: str, kills: int, seed: int) -> Outcome:
    with place(RIVALS[name]) as found:
        return Campaign(RIVALS[name], found, kills, seed).run()


@contextmanager
def place(rival: Rival) -> Iterator[Place]:
    """Servers of nobody else, with what each recommends for data that must last."""
    with tempfile.TemporaryDirectory(prefix="rivals-") as folder, ExitStack() as stack:
        urls = {name: stack.enter_context(SERVERS[name](Path(folder))) for name in rival.servers}
        yield Place(folder=folder, option=rival.option, **urls)


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    server = RedisServer(folder, "--appendonly", "yes", "--maxmemory-policy", "noeviction")
    server.start()
    try:
        yield server.url
    finally:
        server.stop()


@contextmanager
def rabbitmq(folder: Path) -> Iterator[str]:
    server = RabbitServer(folder)
    server.start()
    try:
        yield server.url
    finally:
        server.stop()


@contextmanager
def postgres(_: Path) -> Iterator[str]:
    server = PostgresServer(fsync="on")
    server.start()
    try:
        yield server.url
    finally:
        server.stop()


SERVERS = {"redis": redis, "rabbitmq": rabbitmq, "postgres": postgres}


def tell(name: str, done: Future[Outcome], as_json: bool) -> bool:
    """Print what came of it, and whether anything did."""
    if error := done.exception():
        print(f"{name} was not run to its end: {error}", file=sys.stderr, flush=True)
        return False
    outcome = done.result()
    print(json.dumps(asdict(outcome)) if as_json else row(outcome), flush=True)
    return True


def row(one: Outcome) -> str:
    counts = (one.jobs, one.kills, one.misses, one.repeats.cut_short, one.repeats.unrecorded,
              one.repeats.finished, one.lost, one.wrong)  # fmt: skip
    return f"{one.rival:30}" + "".join(f"{each:11}" for each in counts) + f"{one.pause:10.1f}s"


if __name__ == "__main__":
    sys.exit(main())
