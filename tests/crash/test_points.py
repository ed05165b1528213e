"""A job survives a death at any point, and each death is a real one."""

import ast
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.crash.points import POINTS

ROOT = Path(__file__).parents[2]
CHECKPOINTS = [point for point in POINTS if "checkpoint" in point]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("durability", ["exit", "behind", "step"])
def test_a_death_at_any_point_loses_nothing(durability: str) -> None:
    """In a process of its own, as it forks."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash.points", durability],
        cwd=ROOT, capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    tried = [point for point in POINTS if f" {point} " in done.stdout]
    expected = [point for point in POINTS if point not in CHECKPOINTS]
    assert tried == (expected if durability == "exit" else list(POINTS)), done.stdout


SETTLE = """
import asyncio, os, signal, sqlite3, sys
from cnstra import CNS, Queue, Worker
from tests.crash.flow import Ahead, Flow, Log
from pathlib import Path

url, effects, deadly = sys.argv[1:]
seen = open(effects + ".sql", "a", buffering=1)

def trace(statement):
    print(repr(statement), file=seen)
    if deadly and deadly in statement:
        os.kill(os.getpid(), signal.SIGKILL)

connect = sqlite3.connect

def traced(*args, **options):
    connection = connect(*args, **options)
    connection.set_trace_callback(trace)
    return connection

sqlite3.connect = traced

async def main():
    flow = Flow(width=2, steps=1)
    async with Queue("q", url, clock=Ahead(0.0 if deadly else 100.0)) as queue:
        job = await queue.enqueue(flow.job(0), job_id="0")
        worker = Worker(queue, flow.cns(Log(Path(effects))), results=["result"], lease=5.0)
        await worker.run(until_idle=True)

asyncio.run(main())
"""

STATEMENTS_OF_A_SETTLEMENT = [
    "released = epoch, result = ",
    "DELETE FROM progress\nWHERE run",
    "UPDATE jobs\nSET state = 'completed'",
]


def settle(folder: Path, deadly: str) -> int:
    arguments = [f"sqlite:///{folder}/jobs.db", f"{folder}/effects", deadly]
    return subprocess.run(
        [sys.executable, "-c", SETTLE, *arguments], cwd=ROOT, timeout=60
    ).returncode


def test_to_store_the_result_and_to_acknowledge_the_job_are_one_step(tmp_path: Path) -> None:
    """On SQLite: between BEGIN and COMMIT of one transaction."""
    assert settle(tmp_path, "") == 0
    statements = [
        ast.literal_eval(line) for line in (tmp_path / "effects.sql").read_text().splitlines()
    ]
    (done,) = [at for at, text in enumerate(statements) if "SET state = 'completed'" in text]
    begun = max(at for at, text in enumerate(statements[:done]) if text.startswith("BEGIN"))
    transaction = statements[begun : statements.index("COMMIT", done) + 1]
    assert "COMMIT" not in transaction[:-1]
    assert any("result = " in text and text.startswith("UPDATE runs") for text in transaction)


@pytest.mark.parametrize("deadly", STATEMENTS_OF_A_SETTLEMENT)
def test_a_death_inside_a_settlement_is_one_before_it(tmp_path: Path, deadly: str) -> None:
    """Neither is there: the next worker finishes the job."""
    assert settle(tmp_path, deadly) == -signal.SIGKILL
    assert rows(tmp_path, "SELECT state FROM jobs") == [("active",)]
    assert rows(tmp_path, "SELECT result FROM runs") == [(None,)]

    assert settle(tmp_path, "") == 0

    assert rows(tmp_path, "SELECT state, attempts_made FROM jobs") == [("completed", 0)]
    assert rows(tmp_path, "SELECT count(*) FROM progress") == [(0,)]


def rows(folder: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(folder / "jobs.db")) as connection:
        return connection.execute(query).fetchall()
