"""Workers of Postgres that are killed, and whose server is killed: every job ends right.

`CRASH=full` runs it as large as it is meant: 1,000 jobs, 100 kills, 5 restarts.
"""

import asyncio
import os
from pathlib import Path

import pytest

from tests.crash.fleet import run_fleet
from tests.postgres_server import PostgresServer

FULL = os.environ.get("CRASH") == "full"


@pytest.mark.timeout(1800)
async def test_kills_and_restarts_lose_nothing(tmp_path: Path) -> None:
    jobs, kills, restarts = (1000, 100, 5) if FULL else (24, 4, 2)
    server = PostgresServer(fsync="on")
    server.start()

    async def restart() -> None:
        server.kill()
        await asyncio.to_thread(server.start)

    try:
        report = await run_fleet(
            server.url, None, tmp_path, jobs=jobs, kills=kills, harms=restarts, harm=restart
        )
    finally:
        server.stop()

    report.check()
    assert (report.kills, report.harms) == (kills, restarts)
    assert report.starts > 3 * report.jobs
