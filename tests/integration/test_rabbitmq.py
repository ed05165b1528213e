"""What RabbitMQ alone does: its timeouts, arguments, permissions, alarms and restarts."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import aio_pika
import pytest

from cnstra import CNS, Context, Queue, Worker, collateral, neuron
from cnstra.adapters.rabbitmq import absences
from cnstra.adapters.rabbitmq.location import location_of
from cnstra.adapters.rabbitmq.names import TIERS, Names
from cnstra.adapters.rabbitmq.queues import Queues
from cnstra.adapters.rabbitmq.transport import RabbitTransport
from cnstra.errors import BrokerRefused, BrokerUnavailable, InvalidOption, QueueMismatch
from cnstra.jobs.transport import Outgoing
from tests import bare_amqp
from tests.integration.test_transports import bodies, dead, send, take, take_all, take_one
from tests.proxy import Proxy
from tests.rabbitmq_server import NAMES_LAG, RabbitServer
from tests.redis_server import free_port

CONSUMER_TIMEOUT = 4.0
CHANNELS, LARGEST = 16, 10_000
ODD_PASSWORD, ODD_VHOST = "p@ss/w#rd%?:", "prod/1 ä"
IN_A_URL, VHOST_IN_A_URL = "p%40ss%2Fw%23rd%25%3F%3A", "prod%2F1%20%C3%A4"

request, middle, done = collateral("request", int), collateral("middle", int), collateral("d", int)

Maker = Callable[..., Awaitable[RabbitTransport]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    folder = tmp_path_factory.mktemp("rabbitmq")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-keyout", "key.pem", "-out", "cert.pem"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    server = RabbitServer(
        folder,
        config=f"""
listeners.ssl.1 = 127.0.0.1:{(tls := free_port())}
ssl_options.certfile = {folder}/cert.pem
ssl_options.keyfile = {folder}/key.pem
""",
        terms=f"{{consumer_timeout, {CONSUMER_TIMEOUT * 1000:g}}}, {{channel_tick_interval, 200}}, "
        "{dead_letter_worker_publisher_confirm_timeout, 500}",
        users={"odd": ODD_PASSWORD, "reader": "reader"},
        vhosts=(ODD_VHOST,),
        permissions=(
            {"user": "odd", "vhost": ODD_VHOST, "configure": ".*", "write": ".*", "read": ".*"},
            {"user": "reader", "vhost": "/", "configure": "", "write": ".*", "read": ".*"},
        ),
    )
    server.tls = tls
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    """A server that allows for less than others."""
    config = f"channel_max = {CHANNELS}\nmax_message_size = {LARGEST}"
    server = RabbitServer(tmp_path_factory.mktemp("narrow"), config=config)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def name() -> str:
    return f"q-{uuid4().hex}"


@pytest.fixture
def url(server: RabbitServer) -> str:
    return f"{server.url}?consumer_timeout={CONSUMER_TIMEOUT:g}"


@pytest.fixture
async def make(url: str, name: str) -> AsyncIterator[Maker]:
    made: list[RabbitTransport] = []

    async def one(at: str = url) -> RabbitTransport:
        transport = RabbitTransport(name, location_of(at))
        made.append(transport)
        await transport.open()
        return transport

    yield one
    for transport in made:
        await transport.close()


# --- where it is


def test_a_url_without_a_path_is_of_the_vhost_slash() -> None:
    location = location_of("amqps://u:p@host")

    assert (location.url.path, location.url.scheme, location.shown) == (
        "/",
        "amqps",
        "amqps://***@host",
    )
    assert (location.consumer_timeout, location.url.query["heartbeat"]) == (1800, "15")


def test_a_consumer_timeout_of_zero_is_none() -> None:
    assert location_of("amqp://host?consumer_timeout=0").consumer_timeout is None


@pytest.mark.parametrize(
    ("url", "remedy"),
    [
        ("amqp://%zz", "percent-encode"),
        ("amqp://user:pass#hush@host", "%23"),
        ("amqp://user:pass/hush@host", "%2F"),
        ("amqp://user:pass?hush@host", "percent-encode"),
        ("amqp://user:hush@host?heartbaet=3", "heartbaet is no option"),
        ("amqp://user:hush@host?consumer_timeout=long", "in seconds"),
        ("amqp://user:hush@host?max_message_size=1MB", "a number of bytes"),
        ("amqp://user:hush@host?max_message_size=0", "a number of bytes"),
    ],
)
def test_a_url_that_is_wrong_says_so_and_keeps_its_password(url: str, remedy: str) -> None:
    with pytest.raises(InvalidOption, match=remedy) as caught:
        location_of(url)

    assert "hush" not in str(caught.value)


async def test_odd_passwords_and_vhosts(server: RabbitServer, make: Maker) -> None:
    transport = await make(f"amqp://odd:{IN_A_URL}@127.0.0.1:{server.port}/{VHOST_IN_A_URL}")
    await send(transport, b"1")

    assert (await take_one(transport)).body == b"1"
    assert "own" not in server.control("list_queues", "--vhost", "/", "name")


async def test_tls(server: RabbitServer, make: Maker) -> None:
    place = f"amqps://guest:guest@localhost:{server.tls}"
    transport = await make(f"{place}?cafile={server.folder}/cert.pem")
    await send(transport, b"1")

    assert (await take_one(transport)).body == b"1"
    with pytest.raises(BrokerUnavailable, match=r"certificate|CERTIFICATE"):
        await make(place)


@pytest.mark.parametrize(
    ("who", "reason"),
    [("guest:wrong@{}", "ACCESS_REFUSED"), ("guest:guest@{}/nowhere", "nowhere")],
)
async def test_who_is_not_let_in_is_told_why(
    server: RabbitServer, make: Maker, who: str, reason: str
) -> None:
    with pytest.raises(BrokerUnavailable, match=reason):
        await make(f"amqp://{who.format(f'127.0.0.1:{server.port}')}")


# --- the queues


async def test_a_queue_of_another_kind_is_not_touched(
    server: RabbitServer, make: Maker, name: str
) -> None:
    async with await aio_pika.connect(server.url) as connection:
        channel = await connection.channel()
        await channel.declare_queue(name, durable=True)

        with pytest.raises(QueueMismatch, match=r"another kind: its x-\S+ is none, ours"):
            await make()


async def test_who_may_not_make_queues_uses_those_that_are_there(
    server: RabbitServer, make: Maker
) -> None:
    reader = f"amqp://reader:reader@127.0.0.1:{server.port}"
    with pytest.raises(BrokerRefused, match="configure"):
        await make(reader)
    await make()

    transport = await make(reader)
    await send(transport, b"1")
    await transport.bury(await take_one(transport), b"1")

    with pytest.raises(BrokerRefused, match="wait"):
        await send(transport, b"later", delay=1.0)


async def test_queues_that_were_deleted_are_made_again(
    server: RabbitServer, make: Maker, name: str
) -> None:
    transport = await make()
    await send(transport, b"early", delay=0.125)
    await transport.bury(await take_one(transport), b"dead")
    waiting = asyncio.ensure_future(take_one(transport))
    async with await aio_pika.connect(server.url) as connection:
        channel = await connection.channel()
        for each in (name, f"{name}.dead", Names(name).waiting(125)):
            await channel.queue_delete(each)

    await send(transport, b"later", delay=0.125)

    assert (await waiting).body == b"later"
    assert (await transport.sizes())["dead"] == 0


async def test_what_comes_due_while_the_queues_are_looked_at_is_counted(
    make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a worker that runs until all is idle ends before the retry of its last job."""
    transport = await make()
    await send(transport, b"soon", delay=0.125)
    look = Queues.size_of_waits

    async def look_late(queues: Queues) -> int:
        await asyncio.sleep(1.0)
        return await look(queues)

    monkeypatch.setattr(Queues, "size_of_waits", look_late)

    assert (await transport.sizes())["waiting"] == 1


async def test_a_retry_that_is_on_its_way_to_the_worker_is_waited_for(
    url: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RabbitMQ has handed it over, the worker has not taken it yet: no queue holds it."""
    attempts: list[int] = []
    entry = collateral("entry", int)
    only = neuron("only", {})

    @only.dendrite(entry)
    def fail_once(payload: int, axon: Any, ctx: Context[None]) -> None:
        attempts.append(ctx.attempt)
        if ctx.attempt == 1:
            raise ConnectionError

    look = Queues.size_of_waits

    async def look_late(queues: Queues) -> int:
        await asyncio.sleep(0.4)
        return await look(queues)

    monkeypatch.setattr(Queues, "size_of_waits", look_late)

    async with Queue(name, url, store=f"sqlite:///{tmp_path}/store.db") as queue:
        await queue.enqueue(entry.create_signal(1), max_attempts=2, backoff=0.125)
        await Worker(queue, CNS([only])).run(until_idle=True)

    assert attempts == [1, 2]


async def test_a_wait_that_is_missing_is_asked_for_more_and_more_rarely(
    make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each such question is an error in RabbitMQ's log."""
    now, asked = 0.0, 0
    monkeypatch.setattr(absences, "monotonic", lambda: now)
    ask = Queues.size

    async def count_and_ask(queues: Queues, name: str) -> int | None:
        nonlocal asked
        asked += ".wait." in name
        return await ask(queues, name)

    monkeypatch.setattr(Queues, "size", count_and_ask)
    transport, other = await make(), await make()
    looks: list[tuple[int, int]] = []

    async def look(at: float) -> None:
        nonlocal now, asked
        now, asked = at, 0
        looks.append(((await transport.sizes())["delayed"], asked))

    await look(0.0)
    await look(15.0)
    await look(29.0)
    await send(other, b"later", delay=3600.0)
    await look(30.0)
    await look(59.0)

    assert looks == [(0, len(TIERS)), (0, len(TIERS)), (0, 0), (1, len(TIERS)), (1, 1)]


@pytest.mark.parametrize(
    ("delay", "queue"),
    [
        (0.0, "q"), (-1.0, "q"), (0.001, "q.wait.125ms"), (0.249, "q.wait.125ms"),
        (1.0, "q.wait.1000ms"), (1.999, "q.wait.1000ms"), (1e9, f"q.wait.{TIERS[-1]}ms"),
    ],
)  # fmt: skip
def test_a_delay_takes_the_longest_wait_that_is_not_longer(delay: float, queue: str) -> None:
    assert Names("q").route(delay) == queue


def test_a_name_leaves_room_for_those_of_its_companions() -> None:
    with pytest.raises(InvalidOption, match="230 bytes"):
        Names("ä" * 116)
    longest = Names("ä" * 115)
    assert all(len(each.encode()) <= 255 for each in longest.arguments)


async def test_what_is_due_while_its_queue_is_gone_is_not_dropped(
    server: RabbitServer, make: Maker, name: str
) -> None:
    """The wait queue keeps what it cannot hand on, and tries again."""
    transport = await make()
    await send(transport, b"1", delay=0.5)
    async with await aio_pika.connect(server.url) as connection:
        channel = await connection.channel()
        await channel.queue_delete(name)
    await asyncio.sleep(1.0)

    again = await make()

    assert (await take_one(again)).body == b"1"


async def test_a_queue_that_is_full_by_a_policy_says_so(
    server: RabbitServer, make: Maker, name: str
) -> None:
    transport = await make()
    policy = ("set_policy", name, f"^{name}$", '{"max-length": 1}', "--apply-to", "queues")
    await asyncio.to_thread(server.control, *policy)

    async def fill() -> None:
        async with asyncio.timeout(60):  # the server follows a policy in its own time
            while True:
                await send(transport, b"one more")

    with pytest.raises(BrokerUnavailable):
        await fill()


# --- a server that allows for less


async def test_a_worker_of_more_hands_than_there_are_channels_uses_those_that_there_are(
    narrow: RabbitServer, name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """RabbitMQ closes the connection for one too many, and with it goes all that it held."""
    jobs, seen = 3 * CHANNELS, list[int]()
    only = neuron("only", {})

    @only.dendrite(request)
    async def work(number: int) -> None:
        seen.append(number)
        await asyncio.sleep(0.05)

    async with Queue(name, narrow.url, store=f"sqlite:///{tmp_path}/store.db") as queue:
        await queue.enqueue_many([request.create_signal(number) for number in range(jobs)])
        await asyncio.wait_for(Worker(queue, CNS([only]), concurrency=99).run(until_idle=True), 60)

    assert sorted(seen) == list(range(jobs))
    told = [one.getMessage() for one in caplog.records if "channel_max" in one.getMessage()]
    assert len(told) == 1


async def test_data_too_large_for_this_server_is_kept_in_the_store(
    narrow: RabbitServer, name: str, tmp_path: Path
) -> None:
    seen: list[str] = []
    text = collateral("text", str)
    only = neuron("only", {})
    only.dendrite(text, seen.append)
    place = f"{narrow.url}?max_message_size={LARGEST}"
    async with Queue(name, place, store=f"sqlite:///{tmp_path}/store.db") as queue:
        await queue.enqueue(text.create_signal("x" * 2 * LARGEST))
        await Worker(queue, CNS([only])).run(until_idle=True)

    assert seen == ["x" * 2 * LARGEST]


async def test_only_the_message_that_is_too_large_for_this_server_is_refused(
    narrow: RabbitServer, make: Maker
) -> None:
    """RabbitMQ closes the channel that all of them are on: the others are to be sent again."""
    transport = await make(narrow.url)
    small = [b"1", b"2", b"3", b"4"]
    sendings = [send(transport, each) for each in (*small, b"x" * (LARGEST + 1))]

    *others, refused = await asyncio.gather(*sendings, return_exceptions=True)

    assert isinstance(refused, BrokerRefused)
    assert "10001 bytes" in str(refused)
    assert "?max_message_size=" in str(refused)
    assert {type(other) for other in others} <= {type(None), BrokerUnavailable}
    async with asyncio.timeout(60):
        while True:
            with suppress(BrokerUnavailable):
                return await send(transport, *small)


async def test_who_sends_many_is_told_which_is_refused_rather_than_to_try_again(
    narrow: RabbitServer, make: Maker
) -> None:
    transport = await make(narrow.url)

    with pytest.raises(BrokerRefused, match="10001 bytes"):
        await send(transport, b"1", b"2", b"x" * (LARGEST + 1), b"3", b"4")


# --- messages, as others see and send them


async def test_a_message_tells_a_bystander_what_it_is(
    server: RabbitServer, make: Maker, name: str
) -> None:
    """Persistent, should it be moved to a queue that takes that from the message."""
    transport = await make()
    await send(transport, b"{}")

    async with await aio_pika.connect(server.url) as connection:
        channel = await connection.channel()
        found = await (await channel.get_queue(name)).get()

    assert (found.message_id, found.content_type) == ("{}", "application/json")
    assert found.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
    assert found.timestamp is not None


async def test_a_message_that_is_given_an_id_keeps_its_age(
    server: RabbitServer, make: Maker, name: str
) -> None:
    transport = await make()
    bare_amqp.publish(server.port, name, b"old", datetime.fromtimestamp(1_000_000, UTC))

    (named,) = await take_all(transport, 1)
    assert named.sent_at == 1_000_000


async def test_a_message_that_cannot_be_given_an_id_goes_back(
    rabbitmq_url: str, make: Maker, name: str
) -> None:
    """At once: this node has no short `consumer_timeout` that would see to it."""
    place = urlsplit(rabbitmq_url)
    vhost = place.path[1:]
    async with Proxy(place.port or 0) as proxy:
        transport = await make(f"amqp://guest:guest@127.0.0.1:{proxy.port}/{vhost}")
        proxy.refuse = b"nameless"
        bare_amqp.publish(place.port or 0, name, b"nameless", vhost=vhost)
        with pytest.raises(BrokerUnavailable):
            await take(transport)

        assert bodies(await take_all(await make(rabbitmq_url), 1)) == [b"nameless"]


async def test_two_may_look_through_the_dead_letters_at_once(make: Maker) -> None:
    transport = await make()
    await send(transport, b"1", b"2")
    for message in await take_all(transport, 2):
        await transport.bury(message, message.body)

    seen = await asyncio.gather(dead(transport), dead(transport))

    assert [sorted(each) for each in seen] == [[b"1", b"2"], [b"1", b"2"]]


# --- what it does in time


async def test_a_message_held_too_long_is_taken_back_alone(make: Maker) -> None:
    transport, other = await make(), await make()
    await send(transport, b"slow")
    slow = await take_one(transport)
    await asyncio.sleep(CONSUMER_TIMEOUT / 2)
    await send(transport, b"quick")
    quick = await take_one(transport)

    again = await take_one(other)

    assert again.body == b"slow"
    assert list(await transport.keep([slow, quick], 30)) == [False, True]
    await transport.done(slow)
    await transport.done(quick)
    assert list(await other.keep([again], 30)) == [True]


async def test_a_message_is_ours_only_if_the_server_says_so(
    server: RabbitServer, make: Maker
) -> None:
    """Given a worker that has not heard that its message was taken back, it asks."""
    async with Proxy(server.port) as proxy:
        transport = await make(f"amqp://guest:guest@127.0.0.1:{proxy.port}")
        await send(transport, b"1")
        message = await take_one(transport)
        proxy.lag = 0.5
        await asyncio.to_thread(server.cut)

        assert list(await transport.keep([message], 30)) == [False]


async def test_who_waits_for_a_message_listens_again_when_the_connection_is_cut(
    server: RabbitServer, make: Maker
) -> None:
    async with Proxy(server.port) as proxy:
        transport = await make(f"amqp://guest:guest@127.0.0.1:{proxy.port}")
        waiting = asyncio.ensure_future(take(transport, wait=60.0))
        await asyncio.sleep(1.0)
        proxy.cut()
        await send(transport, b"1")

        assert bodies(await asyncio.wait_for(waiting, 20)) == [b"1"]


async def test_who_is_done_twice_does_not_acknowledge_the_next(make: Maker) -> None:
    """The second message lies in the slot that held the first."""
    transport = await make()
    await send(transport, b"1")
    first = await take_one(transport)
    await transport.done(first)
    await send(transport, b"2")
    await take_one(transport)

    await transport.done(first)

    await transport.close()
    assert (await take_one(await make())).body == b"2"


async def test_what_nobody_takes_goes_back(make: Maker, rabbitmq_url: str) -> None:
    """Given a worker whose hands are full after its job is done, the next is another's. This node
    has no short `consumer_timeout` that would see to it.
    """
    transport, other = await make(rabbitmq_url), await make(rabbitmq_url)
    await send(transport, b"1")
    await transport.done(await take_one(transport))
    await send(transport, b"2")

    assert (await take_one(other)).body == b"2"


def countdown(steps: list[int], pause: float) -> CNS:
    counter = neuron("counter", {"middle": middle, "done": done})

    @counter.dendrite([request, middle])
    async def count(left, axon):
        steps.append(left)
        await asyncio.sleep(pause)
        return axon.middle.create_signal(left - 1) if left else axon.done.create_signal(0)

    return CNS([counter])


@pytest.mark.parametrize(("steps", "pause"), [(12, 0.5), (1, CONSUMER_TIMEOUT * 1.5)])
async def test_a_job_longer_than_the_consumer_timeout_runs_once(
    url: str, name: str, tmp_path: Path, steps: int, pause: float
) -> None:
    """Parked between its activations; or handed over, where one of them is longer."""
    seen: list[int] = []
    store = f"sqlite:///{tmp_path}/progress.db"
    async with Queue(name, url, store=store) as queue, Queue(name, url, store=store) as other:
        job = await queue.enqueue(request.create_signal(steps))
        workers = [
            Worker(one, countdown(seen, pause), results=[done], lease=2.0, crash_limit=1)
            for one in (queue, other)
        ]
        running = [asyncio.ensure_future(worker.run()) for worker in workers]
        found = await job.result(timeout=50)
        record = await job.record()
        for one in running:
            one.cancel()
        await asyncio.gather(*running, return_exceptions=True)

        assert found == {"results": [0]}
        assert record is not None
        assert record.attempts_made == 0
        assert (await queue.counts())["dead"] == 0
    assert seen == list(range(steps, -1, -1))


# --- bad days


async def test_what_was_confirmed_survives_a_kill(server: RabbitServer, make: Maker) -> None:
    transport = await make()
    await send(transport, b"0", delay=0.125)
    await transport.bury(await take_one(transport), b"dead")
    await send(transport, b"far", delay=3600.0)  # longer than a start on a busy machine
    await send(transport, b"1", b"2")
    held = await take_one(transport)
    await asyncio.sleep(NAMES_LAG)
    server.kill()
    with pytest.raises(BrokerUnavailable):
        await send(transport, b"3")
    assert list(await transport.keep([held], 30)) == [False]
    await transport.done(held)
    server.start()

    await send(transport, b"3")

    assert bodies(await take_all(transport, 3)) == [b"1", b"2", b"3"]
    assert await transport.sizes() == {"waiting": 0, "delayed": 1, "dead": 1}


async def test_without_a_store_a_cut_connection_doubles_no_job(
    server: RabbitServer, name: str
) -> None:
    """RabbitMQ gives the messages out again; a copy of ours would be a second job."""
    started: list[int] = []
    lost: list[int] = []
    is_open = asyncio.Event()
    only = neuron("only", {})

    @only.dendrite(request, max_duration=60.0)
    async def work(number: int) -> None:
        started.append(number)
        try:
            await is_open.wait()
        except asyncio.CancelledError:
            lost.append(number)
            raise

    async with Proxy(server.port) as proxy:
        place = f"amqp://guest:guest@127.0.0.1:{proxy.port}"
        async with Queue(name, place) as queue:
            await queue.enqueue_many([request.create_signal(number) for number in range(3)])
            worker = Worker(
                queue, CNS([only]), concurrency=9, durability="exit", lease=2.0, grace=0
            )
            running = asyncio.ensure_future(worker.run(until_idle=True))
            async with asyncio.timeout(60):
                while len(started) < 3:
                    await asyncio.sleep(0.05)
                proxy.cut()
                while len(started) + len(lost) < 9:
                    await asyncio.sleep(0.05)
                is_open.set()
                await running

    assert sorted(started) == [0, 0, 1, 1, 2, 2]


async def test_a_confirm_that_is_lost_raises_and_a_repeat_is_safe(
    server: RabbitServer, make: Maker
) -> None:
    async with Proxy(server.port) as proxy:
        transport = await make(f"amqp://guest:guest@127.0.0.1:{proxy.port}")
        proxy.swallow = b"the body"
        with pytest.raises(BrokerUnavailable):
            await send(transport, b"the body")

        await send(transport, b"the body")

        copies = await take_all(transport, 2)
    assert {message.id for message in copies} == {"the body"}
    assert len(copies) == 2


async def test_a_server_that_falls_silent_is_unavailable(server: RabbitServer, make: Maker) -> None:
    """The client cancels what is in flight, once it has missed heartbeats for six seconds."""
    async with Proxy(server.port) as proxy:
        transport = await make(f"amqp://guest:guest@127.0.0.1:{proxy.port}?heartbeat=1")
        await send(transport, b"1")
        proxy.lag = 12.0
        with pytest.raises(BrokerUnavailable):
            await transport.sizes()
        proxy.lag = 0.0

        assert (await transport.sizes())["waiting"] == 1


async def test_a_publish_that_never_arrives_raises(server: RabbitServer, make: Maker) -> None:
    async with Proxy(server.port) as proxy:
        transport = await make(f"amqp://guest:guest@127.0.0.1:{proxy.port}")
        proxy.refuse = b"the body"
        with pytest.raises(BrokerUnavailable):
            await send(transport, b"the body", b"another")

        assert (await transport.sizes())["waiting"] <= 1


async def test_a_dead_letter_is_safe_before_its_message_is_gone(
    server: RabbitServer, make: Maker
) -> None:
    async with Proxy(server.port) as proxy:
        transport = await make(f"amqp://guest:guest@127.0.0.1:{proxy.port}")
        await send(transport, b"1")
        message = await take_one(transport)
        proxy.refuse = b"reason"
        with pytest.raises(BrokerUnavailable):
            await transport.bury(message, b"reason")

    assert (await take_one(await make())).body == b"1"


async def test_a_full_server_makes_publishers_wait_and_nobody_else(
    server: RabbitServer, make: Maker
) -> None:
    transport = await make()
    await send(transport, b"1", b"2")
    await asyncio.to_thread(server.control, "set_disk_free_limit", "99999GB")
    try:
        waiting = asyncio.ensure_future(send(transport, b"3"))
        for message in await take_all(transport, 2):
            await transport.done(message)
        assert (await transport.sizes())["waiting"] == 0
        assert not waiting.done()
    finally:
        await asyncio.to_thread(server.control, "set_disk_free_limit", "50MB")

    await waiting
    assert (await take_one(transport)).body == b"3"


async def test_messages_of_one_id_to_a_missing_queue_are_each_told(make: Maker) -> None:
    """The client finds a returned message by its id alone, so two at once would be mixed up."""
    transport = await make()
    async with await aio_pika.connect(str(transport._location.url)) as connection:
        channel = await connection.channel()
        await channel.queue_delete(transport._names.main)

    await transport.send([Outgoing(b"1", id="same"), Outgoing(b"2", id="same")])

    assert bodies(await take_all(transport, 2)) == [b"1", b"2"]


async def test_a_queue_without_a_store_still_runs_jobs(url: str, name: str) -> None:
    seen: list[int] = []
    instant = neuron("instant", {"done": done})

    @instant.dendrite(request, max_duration=2.0)
    async def note(payload, axon):
        seen.append(payload)

    async with Queue(name, url) as queue:
        await queue.enqueue(request.create_signal(7))
        await asyncio.wait_for(
            Worker(queue, CNS([instant]), durability="exit").run(until_idle=True), 50
        )
    assert seen == [7]
    transport = RabbitTransport(name, location_of(url))
    assert await take(transport, wait=0.0) == []
    await transport.close()
