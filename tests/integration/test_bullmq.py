"""What only the BullMQ adapter promises: where Redis is, how it goes away, what is kept there."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest

from cnstra import Queue, Worker
from cnstra.adapters.bullmq.connection import Refused
from cnstra.adapters.bullmq.location import location_of
from cnstra.adapters.bullmq.names import candidates, decode_id, encode_id
from cnstra.adapters.bullmq.options import backoff_from_bullmq, backoff_to_bullmq
from cnstra.adapters.bullmq.scripts import script
from cnstra.engine.context import Context
from cnstra.errors import BrokerUnavailable, InvalidOption, MissingExtra
from cnstra.jobs.broker import CompletesTogether
from cnstra.jobs.retry import exponential, fixed
from cnstra.jobs.settlement import Completed
from tests.durables import PATIENCE
from tests.flows import output, request, three_steps
from tests.proxy import Proxy
from tests.redis_server import RedisServer, free_port

SIGNAL = request.create_signal({"id": 1})


@pytest.fixture
def name() -> str:
    return f"q-{uuid4().hex[:8]}"


@pytest.fixture
async def queue(redis_server: RedisServer, name: str) -> AsyncIterator[Queue]:
    async with Queue(name, redis_server.url) as opened:
        yield opened


async def nothing(step: str, item: int, ctx: Context[Any]) -> None:
    """What a step does."""


async def work_until_idle(queue: Queue, work: Any = nothing, **options: Any) -> None:
    worker = Worker(queue, three_steps(work), **{"results": [output], **options})
    await asyncio.wait_for(worker.run(until_idle=True), PATIENCE)


def keys(server: RedisServer, name: str) -> set[str]:
    return {key.removeprefix(f"bull:{name}:") for key in server.call("KEYS", f"bull:{name}:*")}


# --- where it is


def test_urls_are_read_as_other_clients_read_them() -> None:
    plain = location_of("redis://")
    assert (plain.host, plain.port, plain.database, plain.password) == ("localhost", 6379, 0, None)
    full = location_of("redis://me:p%40ss@example.org:7000/3")
    assert (full.host, full.port, full.database) == ("example.org", 7000, 3)
    assert (full.username, full.password) == ("me", "p@ss")
    assert full.shown == "redis://***@example.org:7000/3"
    assert location_of("redis://:secret@h?db=4").database == 4
    socket = location_of("unix:///run/redis%20one.sock?db=2&password=secret")
    assert (socket.path, socket.database, socket.password) == ("/run/redis one.sock", 2, "secret")
    assert location_of("rediss://h").tls is not None
    assert location_of("redis://[::1]:7000").host == "::1"


def test_a_database_is_a_number() -> None:
    with pytest.raises(InvalidOption, match="number"):
        location_of("redis://h/first")


@pytest.mark.parametrize("beginning", ["S3cr", "2026"])
def test_a_password_that_a_url_cuts_off_is_not_told(beginning: str) -> None:
    with pytest.raises(InvalidOption, match="percent-encode") as caught:
        location_of(f"redis://:{beginning}#et@db:6379/0")

    assert "'redis://***" in str(caught.value)
    assert beginning not in str(caught.value)


async def test_a_password_a_database_and_a_socket(tmp_path: Path) -> None:
    server = RedisServer(tmp_path, "--requirepass", "open sesame")
    server.password = "open sesame"
    server.start()
    try:
        secret = "open%20sesame"
        for url in (
            f"redis://:{secret}@127.0.0.1:{server.port}/5",
            f"unix://:{secret}@{server.socket}?db=5",
        ):
            async with Queue("q", url) as queue:
                job = await queue.enqueue(SIGNAL)
                await work_until_idle(queue)
                assert await job.state() == "completed"
        async with Queue("q", f"redis://:{secret}@127.0.0.1:{server.port}/5") as queue:
            assert (await queue.counts())["completed"] == 2
        with pytest.raises(BrokerUnavailable, match=r"refused us: (NOAUTH|WRONGPASS|ERR)"):
            await Queue("q", server.url).open()
    finally:
        server.stop()


async def test_tls(tmp_path: Path) -> None:
    import subprocess

    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-keyout", "key.pem", "-out", "cert.pem"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    port = free_port()
    server = RedisServer(
        tmp_path, "--tls-port", str(port), "--tls-cert-file", f"{tmp_path}/cert.pem",
        "--tls-key-file", f"{tmp_path}/key.pem", "--tls-auth-clients", "no",
    )  # fmt: skip
    server.start()
    try:
        async with Queue("q", f"rediss://localhost:{port}?ssl_ca_certs={tmp_path}/cert.pem") as q:
            await q.enqueue(SIGNAL)
            await work_until_idle(q)
            assert (await q.counts())["completed"] == 1
        with pytest.raises(BrokerUnavailable, match=r"certificate|CERTIFICATE"):
            await Queue("q", f"rediss://localhost:{port}").open()
    finally:
        server.stop()


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for module in [one for one in sys.modules if one.startswith("cnstra.adapters.bullmq")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "hiredis", None)

    for scheme in ("redis", "rediss", "unix"):
        with pytest.raises(MissingExtra, match=r"cnstra\[bullmq\]"):
            Queue("q", f"{scheme}://h")


# --- names and options


@pytest.mark.parametrize(
    ("job_id", "native"),
    [
        ("user-42", b"user-42"), ("42", b"~42"), ("-7", b"~-7"), ("a:b", b"~a%3Ab"), ("", b"~"),
        ("~x", b"~~x"), ("meta", b"~meta"), ("wait", b"~wait"), ("0:1", b"~0%3A1"),
        ("ключ", "ключ".encode()), ("\0", b"\0"), ("\ud800", b"\xed\xa0\x80"),
    ],
)  # fmt: skip
def test_what_bullmq_refuses_as_an_id_is_encoded(job_id: str, native: bytes) -> None:
    assert encode_id(job_id) == native
    assert decode_id(native) == job_id
    assert candidates(job_id)[0] == native


async def test_a_queue_name_has_no_colon(redis_server: RedisServer) -> None:
    with pytest.raises(InvalidOption, match="':'"):
        Queue("a:b", redis_server.url)


@pytest.mark.parametrize(
    "backoff", [fixed(1.5), fixed(0.25, jitter=0.5), exponential(2.0), exponential(1.0, factor=3)]
)
def test_a_backoff_is_read_by_both_sides(backoff: Any) -> None:
    there = backoff_to_bullmq(backoff.to_wire())

    assert there["type"] == backoff.kind
    assert there["delay"] == backoff.delay * 1000
    assert backoff_from_bullmq(there) == backoff.to_wire()
    assert ("cnstra" in there) == (backoff.factor != 2.0)


def test_the_backoffs_of_node_are_read() -> None:
    assert backoff_from_bullmq(1500) == {"type": "fixed", "delay": 1.5, "jitter": 0.0}
    assert backoff_from_bullmq({"type": "exponential", "delay": 1000}) == exponential(1.0).to_wire()
    assert backoff_from_bullmq(None) is None


async def test_urgent_jobs_go_before_those_without_a_priority(queue: Queue) -> None:
    """Many of them, in many classes: the head of the list is kept in order."""
    priorities = [0, 3, 1, 0, 7, 3, -2, 7, 1, 0, -1, 5, 3, 0, 9]
    for number, priority in enumerate(priorities):
        await queue.enqueue(SIGNAL, job_id=f"j{number}", priority=priority)
    await queue.enqueue(SIGNAL, job_id="late", priority=8, delay=0.05)
    await asyncio.sleep(0.1)

    taken = await queue.io.call(lambda: queue.broker.receive(50, lease=30.0, wait=0.0, rate=None))

    expected = sorted(
        [*((priority, f"j{n}") for n, priority in enumerate(priorities)), (8, "late")],
        key=lambda pair: -pair[0],
    )
    assert [(one.priority, one.job_id) for one in taken] == expected


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (("SADD", "dependencies", "bull:other:1"), "children that are not over"),
        (("ZADD", "unsuccessful", 1, "bull:other:1"), "a child that it needs has failed"),
    ],
)
async def test_a_parent_that_bullmq_does_not_complete_is_dead_with_the_reason(
    redis_server: RedisServer, name: str, queue: Queue, command: tuple[Any, ...], reason: str
) -> None:
    log: list[str] = []

    async def work(step: str, item: int, ctx: Context[Any]) -> None:
        log.append(step)
        if step == "step2":
            kind, key, *rest = command
            redis_server.call(kind, f"bull:{name}:a:{key}", *rest)

    job = await queue.enqueue(SIGNAL, job_id="a", max_attempts=3)
    await work_until_idle(queue, work)

    record = await queue.record(job.id)
    assert record is not None
    assert record.error is not None
    assert (record.state, log) == ("dead", ["step1", "step2", "step3"])
    assert record.error["name"] == "BrokerRefused"
    assert reason in record.error["message"]


# --- what is kept


async def test_nothing_is_left_of_a_run_but_its_job(
    redis_server: RedisServer, queue: Queue, name: str
) -> None:
    async def fail_twice(step: str, item: int, ctx: Context[Any]) -> None:
        if ctx.attempt < 3 and step == "step2":
            raise RuntimeError

    job = await queue.enqueue(SIGNAL, job_id="a", max_attempts=5)
    await work_until_idle(queue, fail_twice, durability="step")

    assert await job.state() == "completed"
    assert keys(redis_server, name) <= {"a", "completed", "events", "id", "meta", "marker"}


async def test_jobs_that_bullmq_would_delete_are_kept_as_dead_letters(
    redis_server: RedisServer, queue: Queue, name: str
) -> None:
    failing = True

    async def work(step: str, item: int, ctx: Context[Any]) -> None:
        if step == "step2" and failing:
            raise RuntimeError("no")

    await queue.enqueue(SIGNAL, job_id="a")
    opts = '{"attempts": 1, "removeOnFail": true, "removeOnComplete": true}'
    redis_server.call("HSET", f"bull:{name}:a", "opts", opts)
    await work_until_idle(queue, work)

    assert redis_server.call("EXISTS", f"bull:{name}:a") == 0
    record = await queue.record("a")
    assert record is not None
    assert record.error is not None
    assert (record.state, record.attempts_made, record.error["message"]) == ("dead", 1, "no")
    assert (await queue.counts())["dead"] == 1
    assert [one.id for one in await queue.jobs("dead")] == ["a"]

    failing = False
    assert await queue.redrive("a")
    await work_until_idle(queue, work)

    assert (await queue.counts())["dead"] == 0
    assert keys(redis_server, name) <= {"completed", "events", "id", "meta", "marker"}


async def test_two_dead_letters_of_one_id_are_both_kept(
    redis_server: RedisServer, queue: Queue, name: str
) -> None:
    async def work(step: str, item: int, ctx: Context[Any]) -> None:
        raise RuntimeError("no")

    for _ in range(2):
        await queue.enqueue(SIGNAL, job_id="a")
        redis_server.call("HSET", f"bull:{name}:a", "opts", '{"removeOnFail": true}')
        await work_until_idle(queue, work)

    assert [one.id for one in await queue.jobs("dead")] == ["a~2", "a"]
    assert await queue.remove("a~2")
    assert await queue.remove("a")
    assert (await queue.counts())["dead"] == 0


async def test_completed_jobs_are_kept_for_a_time_and_a_count(
    redis_server: RedisServer, queue: Queue, name: str
) -> None:
    for number in range(5):
        await queue.enqueue(SIGNAL, job_id=f"j{number}")
        opts = '{"removeOnComplete": {"age": 3600, "count": 2}}'
        redis_server.call("HSET", f"bull:{name}:j{number}", "opts", opts)

    await work_until_idle(queue)

    assert (await queue.counts())["completed"] == 2


async def test_the_jobs_result_is_what_a_foreign_worker_returned(
    redis_server: RedisServer, queue: Queue, name: str
) -> None:
    job = await queue.enqueue(SIGNAL, job_id="a")
    await work_until_idle(queue)
    for returned, result in (("7", [7]), ("null", []), ('"x"', ["x"])):
        redis_server.call("HSET", f"bull:{name}:a", "returnvalue", returned)
        assert await job.result(timeout=PATIENCE) == {"results": result}


async def test_a_stall_that_bullmq_counted_judges_nobody(
    redis_server: RedisServer, queue: Queue, name: str
) -> None:
    job = await queue.enqueue(SIGNAL, job_id="a")
    redis_server.call(
        "HSET", f"bull:{name}:a", "stc", 1, "defa", "job stalled more than allowable limit"
    )

    await work_until_idle(queue)

    assert await job.state() == "completed"
    assert redis_server.call("HMGET", f"bull:{name}:a", "stc", "defa") == ["0", None]


# --- how it goes away


async def test_no_redis_is_told_within_the_connect_timeout() -> None:
    began = time.monotonic()

    with pytest.raises(BrokerUnavailable, match="check that it runs"):
        await Queue("q", f"redis://127.0.0.1:{free_port()}").open()

    assert time.monotonic() - began < 5.5


async def test_a_server_that_never_answers_is_told_too() -> None:
    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            pass
        writer.close()

    async with await asyncio.start_server(listen, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(BrokerUnavailable, match=r"within 5 s"):
            await Queue("q", f"redis://127.0.0.1:{port}").open()


async def test_a_worker_waits_for_redis_and_goes_on(tmp_path: Path) -> None:
    server = RedisServer(tmp_path, "--appendonly", "yes", "--appendfsync", "always")
    server.start()
    reached = asyncio.Event()

    async def work(step: str, item: int, ctx: Context[Any]) -> None:
        if step == "step2" and not reached.is_set():
            reached.set()
            server.kill()
            await asyncio.sleep(0.3)

    try:
        async with Queue("q", server.url) as queue:
            job = await queue.enqueue(SIGNAL)
            later = await queue.enqueue(SIGNAL, delay=1.0)
            worker = Worker(queue, three_steps(work), results=[output], durability="step")
            running = asyncio.create_task(worker.run())
            await asyncio.wait_for(reached.wait(), PATIENCE)
            await asyncio.sleep(1.0)
            server.start()

            assert await job.result(timeout=PATIENCE)
            assert await later.result(timeout=PATIENCE)
            worker.stop()
            await running
    finally:
        server.stop()


async def test_scripts_that_redis_forgot_are_loaded_again(
    redis_server: RedisServer, queue: Queue
) -> None:
    async def work(step: str, item: int, ctx: Context[Any]) -> None:
        redis_server.call("SCRIPT", "FLUSH")

    await queue.enqueue_many([SIGNAL] * 20)

    await work_until_idle(queue, work, concurrency=5, durability="step")

    assert (await queue.counts())["completed"] == 20


@pytest.mark.parametrize("how", ["swallow", "refuse"])
@pytest.mark.parametrize(
    "command", ["receive", "complete", "settle", "commit_run", "recover", "enqueue"]
)
async def test_a_connection_lost_at_any_command_loses_no_job(
    redis_server: RedisServer, name: str, command: str, how: str
) -> None:
    """It may run twice what no checkpoint holds, as the lease of a lost answer has to run out."""
    redis_server.call("SCRIPT", "LOAD", script(command).source)

    async def work(step: str, item: int, ctx: Context[Any]) -> None:
        if command == "settle" and ctx.attempt == 1:
            raise OSError("not yet")

    async with Proxy(redis_server.port) as proxy, Queue(name, proxy.url) as queue:
        if command == "enqueue":
            setattr(proxy, how, script(command).sha)
        added = 0
        while added < 6:
            try:
                await queue.enqueue(SIGNAL, job_id=f"j{added}", max_attempts=2)
            except BrokerUnavailable:
                continue
            added += 1
        if command != "enqueue":
            setattr(proxy, how, script(command).sha)

        await work_until_idle(queue, work, concurrency=2, lease=1.0, durability="step")

        assert proxy.cuts == 1
        assert (await queue.counts()) == {
            "waiting": 0, "delayed": 0, "active": 0, "completed": 6, "dead": 0,
        }  # fmt: skip


@pytest.mark.parametrize(
    ("command", "fails"),
    [("receive", False), ("receive", True), ("complete", False), ("settle", True)],
)
async def test_what_was_leased_in_a_lost_answer_is_given_back(
    redis_server: RedisServer, name: str, command: str, fails: bool
) -> None:
    """It waits for no lease to run out, and is no crash: nothing of it has run. Jobs that the
    worker has heard of are its own, be they leased in the same answer as the one that it settled.
    """
    log: list[tuple[str, int]] = []

    async def work(step: str, item: int, ctx: Context[Any]) -> None:
        log.append((step, item))
        await asyncio.sleep(0.02 * item)
        if fails and ctx.attempt == 1 and step == "step1":
            raise RuntimeError

    async with Proxy(redis_server.port) as proxy, Queue(name, proxy.url) as queue:
        jobs = [request.create_signal({"id": number}) for number in range(8)]
        await queue.enqueue_many(jobs, max_attempts=2)
        redis_server.call("SCRIPT", "LOAD", script(command).source)
        proxy.swallow = script(command).sha

        await work_until_idle(queue, work, concurrency=3, lease=3600.0, crash_limit=1)

        assert proxy.cuts == 1
        assert (await queue.counts())["completed"] == 8
        events = await queue.io.call(lambda: queue.broker.events(0))
        assert "stalled" not in {event.kind for event in events}
    times = 2 if fails else 1
    assert [log.count(("step1", item)) for item in range(8)] == [times] * 8
    assert [log.count(("step2", item)) for item in range(8)] == [1] * 8


async def test_a_job_that_cannot_be_completed_keeps_none_from_it(
    redis_server: RedisServer, queue: Queue
) -> None:
    """Jobs that are completed together share a script."""
    await queue.enqueue(SIGNAL, job_id="broken")
    await queue.enqueue(SIGNAL, job_id="whole")

    async def complete_both() -> Sequence[Any]:
        broker = cast(CompletesTogether, queue.broker)
        leased = await broker.receive(2, lease=30.0, wait=5.0, rate=None)
        redis_server.call("SET", f"bull:{queue.name}:broken:dependencies", "no set")
        done = Completed(b'{"results":[]}')
        return await broker.complete([(delivery, done, None) for delivery in leased], None)

    refused, completed = await queue.io.call(complete_both)

    assert isinstance(refused, Refused)
    assert "WRONGTYPE" in str(refused)
    assert completed == ()
    assert (await queue.counts())["completed"] == 1


async def test_a_connection_that_is_cut_again_and_again(
    redis_server: RedisServer, name: str
) -> None:
    seen: list[int] = []

    async def work(step: str, item: int, ctx: Context[Any]) -> None:
        await asyncio.sleep(0.002)

    async def cut(proxy: Proxy) -> None:
        while True:
            await asyncio.sleep(0.25)
            proxy.cut()

    async with Proxy(redis_server.port) as proxy, Queue(name, redis_server.url) as direct:
        jobs = await direct.enqueue_many([request.create_signal({"id": n}) for n in range(150)])
        async with Queue(name, proxy.url) as queue:
            cutting = asyncio.create_task(cut(proxy))
            worker = Worker(queue, three_steps(work), results=[output], concurrency=5, lease=1.0)
            running = asyncio.create_task(worker.run())
            results = [await job.result(timeout=PATIENCE) for job in jobs]
            cutting.cancel()
            worker.stop()
            await asyncio.wait_for(running, PATIENCE)
        seen = [int(one["results"][0]["result"].split()[1]) for one in results]
    assert seen == list(range(150))


async def test_slow_answers_do_not_lose_leases(redis_server: RedisServer, name: str) -> None:
    async with Proxy(redis_server.port) as proxy, Queue(name, proxy.url) as queue:
        await queue.enqueue_many([SIGNAL] * 5)
        proxy.delay = 0.1

        await work_until_idle(queue, concurrency=5, lease=2.0, durability="step")

        events = await queue.io.call(lambda: queue.broker.events(0))
        assert sorted({event.kind for event in events}) == ["completed", "enqueued", "started"]


# --- leases that are taken ahead


async def test_a_lease_ahead_is_the_next_job_or_none(queue: Queue) -> None:
    from cnstra.jobs.broker import Ahead
    from cnstra.jobs.settlement import Delivery

    await queue.enqueue_many([SIGNAL] * 2)
    ahead = Ahead(30.0, None)

    async def settle(one: Delivery) -> Sequence[Delivery]:
        return await queue.broker.settle(one, Completed(b"{}"), None, ahead)

    (first,) = await queue.io.call(lambda: queue.broker.receive(1, lease=30.0, wait=0.0, rate=None))
    (second,) = await queue.io.call(lambda: settle(first))
    assert not await queue.io.call(lambda: settle(second))
    assert (await queue.counts())["completed"] == 2


async def test_a_worker_that_stops_leaves_nothing_leased(queue: Queue) -> None:
    async def work(step: str, item: int, ctx: Context[Any]) -> None:
        await asyncio.sleep(0.001)

    await queue.enqueue_many([SIGNAL] * 200)
    for _ in range(5):
        worker = Worker(queue, three_steps(work), results=[output], concurrency=10, grace=1.0)
        running = asyncio.create_task(worker.run())
        await asyncio.sleep(0.1)
        worker.stop()
        await asyncio.wait_for(running, PATIENCE)
        assert (await queue.counts())["active"] == 0
    await work_until_idle(queue, work, concurrency=10)
    assert (await queue.counts())["completed"] == 200


async def test_a_follower_sees_results_without_asking_each_time(queue: Queue) -> None:
    jobs = await queue.enqueue_many([SIGNAL] * 20)
    results = asyncio.gather(*(job.result(timeout=PATIENCE) for job in jobs))

    await work_until_idle(queue, concurrency=4)

    assert len(await results) == 20
