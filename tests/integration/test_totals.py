"""Branches that add to one table: what the example does holds, and what it warns of does not."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from uuid import uuid4

import pytest

from cnstra import CNS, Context, Queue, Resource, Worker, collateral, neuron
from examples.totals_in_a_database import (
    READ,
    TABLES,
    Part,
    Totals,
    with_psycopg,
    with_sqlite3,
)

ROOT = Path(__file__).parents[2]
MEETINGS = 10
"""So many times two branches of two workers are at the table at once."""

Add = Callable[[Totals, Part, asyncio.Barrier], Awaitable[None]]

line = collateral("line", int)
totals = Resource[Totals]("totals")


def booking(add: Add, meeting: asyncio.Barrier) -> CNS:
    booker = neuron("booker", {})

    @booker.dendrite(line)
    async def on_line(payload: int, axon: object, ctx: Context[None]) -> None:
        part = Part(key=ctx.idempotency_key, product="apples", amount=payload)
        await add(ctx.resources[totals], part, meeting)

    return CNS([booker])


async def in_one_statement(table: Totals, part: Part, meeting: asyncio.Barrier) -> None:
    await meeting.wait()
    await table.add(part)


async def read_and_written_back(table: Totals, part: Part, meeting: asyncio.Barrier) -> None:
    """What not to do."""
    connection = table._connection  # type: ignore[attr-defined] # pyright: ignore
    async with connection.transaction():
        before = dict(await (await connection.execute(READ)).fetchall()).get("apples", 0)
        await meeting.wait()
        await connection.execute(
            "INSERT INTO totals VALUES ('apples', %(new)s) "
            "ON CONFLICT (product) DO UPDATE SET amount = %(new)s",
            {"new": before + part["amount"]},
        )


@pytest.mark.parametrize(
    ("add", "is_right"), [(in_one_statement, True), (read_and_written_back, False)]
)
async def test_no_update_of_another_worker_is_lost(
    add: Add, is_right: bool, postgres_database: str
) -> None:
    async with (
        Queue("q", f"memory://{uuid4().hex}") as queue,
        with_psycopg(postgres_database) as mine,
    ):
        await queue.enqueue_many(line.create_signal(1) for _ in range(2 * MEETINGS))

        @asynccontextmanager
        async def opened() -> AsyncGenerator[Totals]:
            async with with_psycopg(postgres_database) as table:
                yield table

        cns = booking(add, asyncio.Barrier(2))
        workers = [
            Worker(queue, cns, resources=[totals.opened_by(opened)], concurrency=1)
            for _ in range(2)
        ]
        await asyncio.gather(*(worker.run(until_idle=True) for worker in workers))
        assert (await queue.counts())["completed"] == 2 * MEETINGS
        found = (await mine.read())["apples"]

    assert (found == 2 * MEETINGS) is is_right, found
    assert found >= MEETINGS


@pytest.mark.parametrize(("keyed", "total"), [(True, 7), (False, 14)])
def test_a_branch_that_died_after_its_commit_is_counted_once(
    keyed: bool, total: int, tmp_path: Path
) -> None:
    """A real death between the user's commit and our checkpoint; without the key it shows."""
    if not keyed:
        with closing(sqlite3.connect(tmp_path / "totals.db")) as connection:
            for table in (TABLES[0].replace("key TEXT PRIMARY KEY", "key TEXT"), TABLES[1]):
                connection.execute(table)
    program = [sys.executable, "-m", "tests.integration.test_totals", str(tmp_path)]

    assert subprocess.run(program, cwd=ROOT, timeout=60).returncode == -signal.SIGKILL
    assert subprocess.run(program, cwd=ROOT, timeout=60).returncode == 0

    with closing(sqlite3.connect(tmp_path / "totals.db")) as connection:
        assert connection.execute(READ).fetchall() == [("apples", total)]


async def _work(folder: Path) -> None:
    """Book a line, die once it is committed, and be done the next time."""
    first = not (folder / "died").exists()

    async def add(table: Totals, part: Part, meeting: asyncio.Barrier) -> None:
        await table.add(part)
        if first:
            (folder / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)

    async with Queue("q", f"sqlite:///{folder}/jobs.db") as queue:
        await queue.enqueue(line.create_signal(7), job_id="the one")
        opened = totals.opened_by(lambda: with_sqlite3(f"{folder}/totals.db"))
        cns = booking(add, asyncio.Barrier(1))
        await Worker(queue, cns, resources=[opened], lease=0.5).run(until_idle=True)


if __name__ == "__main__":
    asyncio.run(_work(Path(sys.argv[1])))
