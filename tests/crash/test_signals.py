"""Worker processes that are stopped, continued and told to end."""

import asyncio
import os
import re
import signal
import sqlite3
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from cnstra import Queue
from tests.crash.work import entry
from tests.durables import PATIENCE, until

ROOT = Path(__file__).parents[2]


class Process:
    """A worker process, and what it has said."""

    def __init__(self, child: asyncio.subprocess.Process) -> None:
        self.child = child
        self.said = ""
        self._reading = asyncio.create_task(self._read())

    @property
    def pid(self) -> int:
        return self.child.pid

    async def says(self, text: str) -> None:
        await until(lambda: text in self.said)

    async def ended(self) -> int:
        status = await asyncio.wait_for(self.child.wait(), PATIENCE)
        await self._reading
        return status

    async def _read(self) -> None:
        assert self.child.stdout is not None
        while data := await self.child.stdout.read(4096):
            self.said += data.decode()


@asynccontextmanager
async def worker(url: str, *options: str) -> AsyncIterator[Process]:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.crash.work", url, *options,
        cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    process = Process(child)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            child.kill()
        await process.ended()


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/jobs.db"


@pytest.mark.parametrize("durability", ["exit", "behind", "step"])
async def test_a_worker_that_was_stopped_for_two_leases_has_lost_its_job(
    url: str, durability: str
) -> None:
    """Its writes are refused, its run ends `Lost`, and the job's result is the other's."""
    lease = 1.0
    options = ["--lease", str(lease), "--durability", durability]
    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(7))
        async with worker(url, "--sleep", "3", *options) as stopped:
            await stopped.says("inside")
            await stop_between_its_writes(stopped.pid, url)
            stopped_at = time.monotonic()
            async with worker(url, "--until-idle", *options) as other:
                assert await job.result(timeout=PATIENCE) == {"results": [other.pid]}
                assert await other.ended() == 0
            await asyncio.sleep(max(0.0, stopped_at + 2 * lease - time.monotonic()))

            os.kill(stopped.pid, signal.SIGCONT)
            await stopped.says("is out of our hands")
            os.kill(stopped.pid, signal.SIGTERM)
            assert await stopped.ended() == 0

        assert "is completed" not in stopped.said
        assert await job.result(timeout=PATIENCE) == {"results": [other.pid]}
        events = await queue.io.call(lambda: queue.broker.events(0))
        kinds = [event.kind for event in events]
        assert kinds == ["enqueued", "started", "stalled", "started", "completed"]
        record = await queue.record(job.id)
        assert record is not None
        assert record.attempts_made == 0


async def stop_between_its_writes(pid: int, url: str) -> None:
    """One that is stopped inside a transaction holds SQLite's lock: nobody could take over."""
    while True:
        os.kill(pid, signal.SIGSTOP)
        with closing(sqlite3.connect(urlsplit(url).path[1:], timeout=0.2)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                os.kill(pid, signal.SIGCONT)
                await asyncio.sleep(0.01)
            else:
                return


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_worker_that_is_told_to_end_gives_its_job_back(
    url: str, number: signal.Signals
) -> None:
    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(7), max_attempts=1)
        async with worker(url, "--sleep", "1000", "--grace", "0.1") as told:
            await told.says("inside")
            os.kill(told.pid, number)
            assert await told.ended() == 0, told.said
        await _is_given_back(queue, job.id)

        async with worker(url, "--until-idle") as other:
            assert await other.ended() == 0
        assert await job.result(timeout=PATIENCE) == {"results": [other.pid]}


async def test_a_worker_lets_a_job_end_within_the_grace(url: str) -> None:
    async with Queue("q", url) as queue:
        jobs = await queue.enqueue_many(map(entry.create_signal, range(2)))
        async with worker(url, "--sleep", "0.5", "--grace", "1000") as told:
            await told.says("inside")
            os.kill(told.pid, signal.SIGTERM)
            assert await told.ended() == 0, told.said
        assert await jobs[0].result(timeout=0) == {"results": [told.pid]}
        assert await jobs[1].state() == "waiting"


async def test_a_second_signal_does_not_wait_for_the_grace(url: str) -> None:
    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(7), max_attempts=1)
        async with worker(url, "--sleep", "1000", "--grace", "1000") as told:
            await told.says("inside")
            os.kill(told.pid, signal.SIGTERM)
            await told.says("1000 s to finish")
            os.kill(told.pid, signal.SIGTERM)
            assert await told.ended() == 0, told.said
            assert re.search(r"\b0 s to finish", told.said)
        await _is_given_back(queue, job.id)


async def test_a_killed_worker_costs_no_attempt(url: str) -> None:
    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(7), max_attempts=1)
        async with worker(url, "--sleep", "1000", "--lease", "0.5") as killed:
            await killed.says("inside")
            os.kill(killed.pid, signal.SIGKILL)
            assert await killed.ended() == -signal.SIGKILL
        async with worker(url, "--until-idle") as other:
            assert await other.ended() == 0
        assert await job.result(timeout=PATIENCE) == {"results": [other.pid]}
        record = await queue.record(job.id)
        assert record is not None
        assert record.attempts_made == 0


async def _is_given_back(queue: Queue, job_id: str) -> None:
    record = await queue.record(job_id)
    assert record is not None
    assert (record.state, record.attempts_made) == ("waiting", 0)
    store = queue.store
    assert store is not None
    saved = await queue.io.call(lambda: store.peek(record.run))
    assert saved is not None
    assert not saved.held
    assert not [key for key in saved.entries if key.startswith("s/")]
