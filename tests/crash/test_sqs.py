"""Workers of SQS that are killed, and whose connections are cut: every job ends right.

`CRASH=full` runs it as large as it is meant: 1,000 jobs, 100 kills, 5 cuts.
"""

import os
from pathlib import Path

import pytest

from tests.crash.fleet import run_fleet
from tests.proxy import Proxy
from tests.sqs_server import SQSServer, url_at

FULL = os.environ.get("CRASH") == "full"


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", ["fifo=false", "fifo=true"])
async def test_kills_and_cuts_lose_nothing(
    sqs_server: SQSServer, tmp_path: Path, kind: str
) -> None:
    jobs, kills, cuts = (1000, 100, 5) if FULL else (24, 4, 2)
    async with Proxy(sqs_server.port) as proxy:

        async def cut() -> None:
            proxy.cut()

        report = await run_fleet(
            url_at(proxy.port, kind),
            f"sqlite:///{tmp_path}/progress.db?synchronous=normal",
            tmp_path,
            jobs=jobs,
            kills=kills,
            harms=cuts,
            harm=cut,
        )

    report.check()
    assert (report.kills, report.harms) == (kills, cuts)
    assert report.starts > 3 * report.jobs
