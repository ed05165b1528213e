"""Servers that are there and serve nobody: one that loads its data, one that was made a replica."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from cnstra import Queue, Worker
from cnstra.adapters.bullmq.following import PAUSE
from cnstra.engine.context import Context
from cnstra.errors import BrokerUnavailable
from tests.durables import PATIENCE, until
from tests.flows import output, request, three_steps
from tests.proxy import Proxy
from tests.redis_server import RedisServer

SIGNAL = request.create_signal({"id": 100})
DONE = {"results": [{"result": "Final: 100"}]}
BALLAST = "for n = 1, 20000 do redis.call('SET', 'ballast:' .. n, n) end"
SLOW_LOAD = ("--key-load-delay", "200", "--loading-process-events-interval-bytes", "1024")


class Steps:
    """Step 2 waits until a test lets it go on."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.reached = asyncio.Event()
        self.may_go_on = asyncio.Event()

    async def __call__(self, step: str, item: int, ctx: Context[Any]) -> None:
        self.log.append(step)
        if step == "step2":
            self.reached.set()
            await self.may_go_on.wait()


@asynccontextmanager
async def at_work(queue: Queue, steps: Steps) -> AsyncIterator[None]:
    worker = Worker(queue, three_steps(steps), results=[output], durability="step", concurrency=2)
    running = asyncio.create_task(worker.run())
    try:
        await asyncio.wait_for(steps.reached.wait(), PATIENCE)
        yield
    finally:
        steps.may_go_on.set()
        worker.stop()
        await asyncio.wait_for(running, PATIENCE)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    made = RedisServer(tmp_path, *SLOW_LOAD)
    made.start()
    yield made
    made.stop()


def is_loading(server: RedisServer) -> bool:
    try:
        server.call("PING")
    except redis.exceptions.BusyLoadingError:
        return True
    except redis.exceptions.ConnectionError:
        pass
    return False


async def test_a_server_that_loads_its_data_is_waited_for(server: RedisServer) -> None:
    """A run in memory, its checkpoint, whoever waits for the result, and a job that is delayed."""
    steps = Steps()
    server.call("EVAL", BALLAST, 0)
    async with Queue("q", server.url) as queue:
        job = await queue.enqueue(SIGNAL)
        later = await queue.enqueue(SIGNAL, delay=0.5)
        async with at_work(queue, steps):
            waiting = asyncio.gather(*(one.result(timeout=PATIENCE) for one in (job, later)))
            await asyncio.sleep(0)
            server.call("SAVE")
            server.kill()
            server.launch()
            await until(lambda: is_loading(server))

            steps.may_go_on.set()
            with pytest.raises(BrokerUnavailable, match="LOADING"):
                await queue.enqueue(SIGNAL)
            with pytest.raises(BrokerUnavailable, match="LOADING"):
                await Queue("q", server.url).open()
            assert is_loading(server), "all this was while it did"

            assert await waiting == [DONE, DONE]
    assert steps.log.count("step1") == 2, "neither began again"


async def test_a_queue_that_moved_to_another_server_is_found_there(
    server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A failover: the server becomes a replica, keeps its connections, and loses its name."""
    heir = RedisServer(tmp_path_factory.mktemp("heir"), "--repl-diskless-sync-delay", "0")
    heir.start()
    steps = Steps()
    try:
        heir.call("REPLICAOF", "127.0.0.1", server.port)
        async with Proxy(server.port) as name, Queue("q", name.url) as queue:
            job = await queue.enqueue(SIGNAL)
            later = await queue.enqueue(SIGNAL, delay=0.5)
            async with at_work(queue, steps):
                waiting = asyncio.gather(*(one.result(timeout=PATIENCE) for one in (job, later)))
                await until(lambda: replication(heir)["master_link_status"] == "up")
                await until(lambda: heir.call("EXISTS", f"bull:q:{job.id}"))
                server.call("WAIT", 1, 10_000)
                heir.call("REPLICAOF", "NO", "ONE")
                server.call("REPLICAOF", "127.0.0.1", heir.port)

                steps.may_go_on.set()
                with pytest.raises(BrokerUnavailable, match="READONLY"):
                    await queue.enqueue(SIGNAL)
                name.target = heir.port

                assert await waiting == [DONE, DONE]
            assert (await queue.counts())["completed"] == 2
        assert heir.call("ZCARD", "bull:q:completed") == 2
    finally:
        heir.stop()
    assert steps.log.count("step1") == 2, "neither began again"


def replication(server: RedisServer) -> dict[str, Any]:
    found: dict[str, Any] = server.call("INFO", "replication")
    return found


async def test_a_worker_that_may_not_wait_for_jobs_looks_now_and_then(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.call("ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all", "-@blocking")
    steps = Steps()
    steps.may_go_on.set()
    began = time.monotonic()
    async with Queue("q", f"redis://app:secret@127.0.0.1:{server.port}") as queue:
        await queue.enqueue(SIGNAL)
        async with at_work(queue, steps):
            await until(lambda: rejected(server, "bzpopmin") >= 3)
            job = await queue.enqueue(SIGNAL)
            assert await job.result(timeout=PATIENCE) == DONE

    assert rejected(server, "bzpopmin") <= 1 + (time.monotonic() - began) / PAUSE
    assert caplog.text.count("does not let this worker wait for jobs") == 1


def rejected(server: RedisServer, command: str) -> int:
    """How often somebody was denied the command."""
    stats: dict[str, dict[str, int]] = server.call("INFO", "commandstats")
    return stats.get(f"cmdstat_{command}", {}).get("rejected_calls", 0)
