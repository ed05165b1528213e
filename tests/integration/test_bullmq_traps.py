"""Where the stock Python worker of the `bullmq` package fails, and ours does not."""

import asyncio
import threading
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from hashlib import sha1
from importlib.metadata import version
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest
import redis.asyncio
from bullmq import Job as StockJob
from bullmq import Queue as StockQueue
from bullmq import QueueEvents
from bullmq import Worker as StockWorker
from bullmq.backoffs import Backoffs
from bullmq.redis_connection import loadScript
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from cnstra import CNS, Queue, RateLimit, Worker
from cnstra.adapters.bullmq.options import backoff_from_bullmq
from cnstra.adapters.bullmq.scripts import package_folder, script
from cnstra.clock import SYSTEM_CLOCK
from cnstra.durable.store import Patch, Ticket
from cnstra.engine.context import Context
from cnstra.errors import DoNotRetry, Fenced, RetryAfter
from cnstra.jobs.retry import backoff_from_wire
from tests.durables import PATIENCE, until
from tests.flows import output, request, three_steps
from tests.proxy import Proxy
from tests.redis_server import RedisServer

Process = Callable[[StockJob, str], Awaitable[Any]]
SIGNAL = request.create_signal({"id": 1})


@pytest.fixture
def name() -> str:
    return f"q-{uuid4().hex[:8]}"


@asynccontextmanager
async def stock(
    name: str, url: str, process: Process, **options: Any
) -> AsyncIterator[StockWorker]:
    """A worker of the package, given no more than a URL."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        worker = StockWorker(name, process, {"connection": url, **options})
        worker.on("error", lambda *_: None)
        try:
            yield worker
        finally:
            with suppress(Exception):
                await asyncio.wait_for(worker.close(force=True), 5.0)


@asynccontextmanager
async def ours(queue: Queue, cns: CNS, **options: Any) -> AsyncIterator[Worker]:
    worker = Worker(queue, cns, **{"results": [output], "grace": 0.0, **options})
    running = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        worker.stop()
        await asyncio.wait_for(running, PATIENCE)


async def nothing(step: str, item: int, ctx: Context[Any]) -> None:
    """What a step does."""


async def done(job: StockJob, token: str) -> str:
    return "done"


async def within(seconds: float, condition: Callable[[], Any]) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await until(condition)
    except TimeoutError:
        return False
    return True


async def counts(queue: Queue, state: str) -> int:
    found = await queue.counts()
    return found[state]  # type: ignore[index]


# --- 1: redis-py's socket timeout is as long as the worker's blocking wait


async def test_an_idle_worker_sees_a_delayed_job(redis_server: RedisServer, name: str) -> None:
    async with (
        Queue(name, redis_server.url) as queue,
        Queue(name + "s", redis_server.url) as theirs,
        ours(queue, three_steps(nothing)),
        stock(name + "s", redis_server.url, done),
    ):
        await asyncio.sleep(0.5)
        job = await queue.enqueue(SIGNAL, delay=6.5)
        await theirs.enqueue(SIGNAL, delay=6.5)
        assert await job.result(timeout=PATIENCE)
        assert await _lag(queue, job.id) < 8.5
        assert not await within(3.0, lambda: _is(theirs, "completed", 1))


async def _lag(queue: Queue, job_id: str, began: float | None = None) -> float:
    record = await queue.record(job_id)
    assert record is not None
    assert record.finished_at is not None
    return record.finished_at - (began or record.created_at)


async def _is(queue: Queue, state: str, count: int) -> bool:
    return await counts(queue, state) == count


# --- 2: a CancelledError of the processor


async def test_a_cancelled_error_fails_its_job_alone(redis_server: RedisServer, name: str) -> None:
    async def work(step: str, item: int, ctx: Context[Any]) -> None:
        if item == 0:
            raise asyncio.CancelledError

    async with Queue(name, redis_server.url) as queue, ours(queue, three_steps(work)):
        await queue.enqueue(request.create_signal({"id": 0}))
        second = await queue.enqueue(request.create_signal({"id": 1}))
        assert await second.result(timeout=PATIENCE)
        assert await counts(queue, "dead") == 1

    async def process(job: StockJob, token: str) -> None:
        if job.data["signal"]["payload"]["id"] == 0:
            raise asyncio.CancelledError

    async with Queue(name + "s", redis_server.url) as queue:
        for item in range(2):
            await queue.enqueue(request.create_signal({"id": item}))
        async with stock(name + "s", redis_server.url, process):
            assert not await within(3.0, lambda: _is(queue, "completed", 1))


# --- 3: the connection is lost after success


async def test_a_job_that_succeeded_is_completed_though_the_answer_is_lost(
    redis_server: RedisServer, name: str
) -> None:
    async with Proxy(redis_server.port) as proxy:
        async with Queue(name, proxy.url) as queue, ours(queue, three_steps(nothing)):
            proxy.swallow = script("complete").sha
            job = await queue.enqueue(SIGNAL)
            assert await job.result(timeout=PATIENCE)
            assert proxy.cuts == 1
            events = await queue.io.call(lambda: queue.broker.events(0))
            assert [event.kind for event in events] == ["enqueued", "started", "completed"]

        sha = sha1(loadScript("moveToFinished-14.lua").encode()).hexdigest().encode()
        ran: list[str] = []

        async def process(job: StockJob, token: str) -> str:
            ran.append(job.id)
            proxy.refuse = sha
            return "done"

        async with Queue(name + "s", redis_server.url) as queue:
            await queue.enqueue(SIGNAL)
            client = redis.asyncio.Redis(
                port=proxy.port, decode_responses=True, retry=Retry(NoBackoff(), 0)
            )
            async with stock(name + "s", proxy.url, process, connection=client):
                assert await within(PATIENCE, lambda: _is(queue, "dead", 1))
            assert ran


# --- 4: the limiter's period


async def test_a_rate_is_kept_to_its_period(redis_server: RedisServer, name: str) -> None:
    async with Queue(name, redis_server.url) as queue:
        await queue.enqueue_many([SIGNAL] * 4)
        rate = RateLimit(1, per=0.5)
        began = time.monotonic()
        async with ours(queue, three_steps(nothing), rate_limit=rate, concurrency=4):
            await until(lambda: _is(queue, "completed", 4))
        assert 1.4 < time.monotonic() - began < 4.0
        starts = [
            event.at
            for event in await queue.io.call(lambda: queue.broker.events(0))
            if event.kind == "started"
        ]
        assert min(b - a for a, b in pairwise(starts)) >= 0.49

    async with Queue(name + "s", redis_server.url) as queue:
        await queue.enqueue_many([SIGNAL] * 4)
        options = {"limiter": {"max": 1, "duration": 500}}
        async with stock(name + "s", redis_server.url, done, **options):
            assert not await within(4.0, lambda: _is(queue, "completed", 4))


# --- 5: delays below a second


DELAY, IN_TIME = 0.2, 0.3
"""Seconds. The stock worker sleeps for whole ones."""


async def test_a_delay_is_kept_to_the_millisecond(redis_server: RedisServer, name: str) -> None:
    """A busy machine makes jobs late, never early: so the stock worker is late in any case, and one
    of ours is in time sooner or later.
    """
    stock_lags: list[float] = []
    async with Queue(name + "s", redis_server.url) as queue:
        connection = {"port": redis_server.port, "socket_timeout": None}
        async with stock(name + "s", redis_server.url, done, connection=connection):
            await asyncio.sleep(0.3)
            for _ in range(3):
                job = await queue.enqueue(SIGNAL, delay=DELAY)
                await until(lambda one=job: _completed(one))
                stock_lags.append(await _lag(queue, job.id))
    assert max(stock_lags) > IN_TIME

    lags: list[float] = []
    async with Queue(name, redis_server.url) as queue, ours(queue, three_steps(nothing)):

        async def another_in_time() -> bool:
            began = time.time()
            job = await queue.enqueue(SIGNAL, delay=DELAY)
            await job.result(timeout=PATIENCE)
            lags.append(await _lag(queue, job.id, began))
            return lags[-1] < IN_TIME

        await until(another_in_time)
    assert min(lags) >= DELAY - 0.001


async def _completed(job: Any) -> bool:
    return await job.state() == "completed"


# --- 6: a loop that is blocked for longer than the lock lives


async def test_a_handler_may_block_the_loop_for_three_leases(
    redis_server: RedisServer, name: str
) -> None:
    def receive(other: Queue) -> None:
        """What a second worker does meanwhile: it looks for jobs whose lease has run out."""

        async def look() -> None:
            while not over.is_set():
                await other.broker.receive(1, lease=1.0, wait=0.1, rate=None)

        other.io.spawn(look)

    over = threading.Event()

    async def block(step: str, item: int, ctx: Context[Any]) -> None:
        if step == "step2":
            receive(other)
            time.sleep(3.0)

    async with Queue(name, redis_server.url) as queue, Queue(name, redis_server.url) as other:
        job = await queue.enqueue(SIGNAL)
        async with ours(queue, three_steps(block), lease=1.0):
            assert await job.result(timeout=PATIENCE)
            over.set()
        events = await queue.io.call(lambda: queue.broker.events(0))
        assert [event.kind for event in events] == ["enqueued", "started", "completed"]

    async def process(job: StockJob, token: str) -> None:
        time.sleep(3.0)

    async with Queue(name + "s", redis_server.url) as queue:
        await queue.enqueue(SIGNAL)
        async with stock(name + "s", redis_server.url, process, lockDuration=1000):
            await asyncio.sleep(4.0)
            assert not await _is(queue, "completed", 1)


# --- 7: what the package has no word for


async def test_a_handler_chooses_when_its_job_is_tried_again(
    redis_server: RedisServer, name: str
) -> None:
    async def work(step: str, item: int, ctx: Context[Any]) -> None:
        if step == "step2":
            raise RetryAfter(3600.0) if item == 0 else DoNotRetry("no use")

    async with Queue(name, redis_server.url) as queue:
        async with ours(queue, three_steps(work)):
            later = await queue.enqueue(request.create_signal({"id": 0}), max_attempts=9)
            never = await queue.enqueue(request.create_signal({"id": 1}), max_attempts=9)
            await until(lambda: _is(queue, "delayed", 1))
            await until(lambda: _is(queue, "dead", 1))
        delayed, dead = await queue.record(later.id), await queue.record(never.id)
        assert delayed is not None
        assert dead is not None
        assert (delayed.attempts_made, dead.attempts_made) == (1, 1)
        assert delayed.run_at is not None
        assert 3500 < delayed.run_at - time.time() <= 3600


async def test_jitter_is_heeded() -> None:
    backoff = {"type": "fixed", "delay": 1000, "jitter": 1.0}
    theirs = {
        await Backoffs.calculate(backoff, 1, Exception(), None, None)  # type: ignore[arg-type]
        for _ in range(20)
    }
    ours = {
        backoff_from_wire(backoff_from_bullmq(backoff)).pause(1, SYSTEM_CLOCK) for _ in range(20)
    }

    assert theirs == {1000}
    assert len(ours) > 1
    assert max(ours) <= 1.0


# --- 8: what a forced end leaves behind, and events after a lost connection


async def test_a_stopped_worker_gives_its_jobs_back_at_once(
    redis_server: RedisServer, name: str
) -> None:
    entered = asyncio.Event()

    async def stand(step: str, item: int, ctx: Context[Any]) -> None:
        entered.set()
        await asyncio.Event().wait()

    async with Queue(name, redis_server.url) as queue:
        job = await queue.enqueue(SIGNAL)
        async with ours(queue, three_steps(stand)):
            await asyncio.wait_for(entered.wait(), PATIENCE)
        record = await queue.record(job.id)
        assert record is not None
        assert (record.state, record.attempts_made) == ("waiting", 0)

    entered.clear()

    async def process(job: StockJob, token: str) -> None:
        entered.set()
        await asyncio.Event().wait()

    async with Queue(name + "s", redis_server.url) as queue:
        job = await queue.enqueue(SIGNAL)
        async with stock(name + "s", redis_server.url, process):
            await asyncio.wait_for(entered.wait(), PATIENCE)
        assert await job.state() == "active"


async def test_events_go_on_after_a_lost_connection(redis_server: RedisServer, name: str) -> None:
    async with Proxy(redis_server.port) as proxy, Queue(name, proxy.url) as queue:
        seen: list[str] = []

        async def follow() -> None:
            async for event in queue.events():
                seen.append(event.kind)

        following = asyncio.create_task(follow())
        await asyncio.sleep(0.3)
        proxy.cut()
        async with Queue(name, redis_server.url) as other:
            await other.enqueue(SIGNAL)
        assert await within(PATIENCE, lambda: seen == ["enqueued"])
        following.cancel()

    async with Proxy(redis_server.port) as proxy:
        heard: list[Any] = []
        connection = {"port": proxy.port}
        listener = QueueEvents(name + "s", {"connection": connection, "autorun": False})
        listener.on("added", lambda *found: heard.append(found))
        listening = asyncio.create_task(listener.run())
        await asyncio.sleep(0.3)
        proxy.cut()
        async with Queue(name + "s", redis_server.url) as other:
            await asyncio.sleep(0.3)
            await other.enqueue(SIGNAL)
        await asyncio.sleep(2.0)
        assert heard == []
        listening.cancel()
        with suppress(BaseException):
            await listening
        with suppress(Exception):
            await listener.close()


# --- 9: progress is nobody's but the lock's owner's


async def test_a_zombie_cannot_overwrite_progress(redis_server: RedisServer, name: str) -> None:
    async with Queue(name, redis_server.url) as queue:
        await queue.enqueue(SIGNAL, job_id="a")
        receive = lambda: queue.broker.receive(1, lease=30.0, wait=1.0, rate=None)  # noqa: E731
        (zombie,) = await queue.io.call(receive)
        redis_server.call("SET", f"bull:{name}:a:lock", "somebody else")
        store = queue.require_store("this test")

        with pytest.raises(Fenced):
            await queue.io.call(
                lambda: store.commit(Ticket(zombie.run, 1, 1), Patch({"t/a": b"zombie"}))
            )
        assert await queue.io.call(lambda: store.peek(zombie.run)) is None

        connection = {"port": redis_server.port}
        plain = StockQueue(name, {"connection": connection})
        job = await StockJob.fromId(plain, "a")
        assert job is not None
        await job.updateProgress({"zombie": True})
        assert redis_server.call("HGET", f"bull:{name}:a", "progress") == '{"zombie":true}'
        await plain.close()


async def test_a_stolen_lock_ends_the_run_and_drops_nothing(
    redis_server: RedisServer, name: str
) -> None:
    entered, aborted = asyncio.Event(), asyncio.Event()

    async def stand(step: str, item: int, ctx: Context[Any]) -> None:
        if step == "step2" and not aborted.is_set():
            entered.set()
            await ctx.abort_signal.wait()
            aborted.set()

    async with Queue(name, redis_server.url) as queue:
        job = await queue.enqueue(SIGNAL, job_id="a", max_attempts=3)
        async with ours(queue, three_steps(stand), lease=1.0):
            await asyncio.wait_for(entered.wait(), PATIENCE)
            redis_server.call("SET", f"bull:{name}:a:lock", "somebody else", "PX", 500)
            await asyncio.wait_for(aborted.wait(), PATIENCE)
            assert await job.result(timeout=PATIENCE)


# --- 11: what all this stands on


def test_the_scripts_are_those_that_were_tested() -> None:
    assert version("bullmq") == "3.4.4"
    digest = sha1(usedforsecurity=False)
    for file in sorted(package_folder().glob("*.lua")):
        digest.update(file.name.encode() + file.read_bytes())
    assert digest.hexdigest() == TESTED


TESTED = "58703d264db505b1327787f7d7ef0ee52e876135"
