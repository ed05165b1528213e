"""What NATS JetStream does beside what is asked of every broker of messages."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import uuid4

import nkeys
import pytest

from cnstra import Queue, Worker
from cnstra.adapters.nats.location import location_of
from cnstra.adapters.nats.names import from_header, to_header, token
from cnstra.adapters.nats.transport import NatsTransport
from cnstra.errors import BrokerUnavailable, InvalidOption, StreamMismatch
from cnstra.jobs.transport import Incoming, Outgoing
from tests.durables import Story, entry, output
from tests.nats_server import NatsServer, api
from tests.proxy import Proxy

SECOND = 1_000_000_000
LONG = 20.0


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


Open = Callable[..., Awaitable[NatsTransport]]


@pytest.fixture
def opened(nats_server: NatsServer, stack: AsyncExitStack) -> Open:
    """Opens a transport that is closed after the test."""
    place = nats_server.place()

    async def open(url: str = place) -> NatsTransport:
        transport = NatsTransport(location_of(url), "q")
        stack.push_async_callback(transport.close)
        await transport.open()
        return transport

    open.place = place  # type: ignore[attr-defined]
    return open


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Callable[..., NatsServer]]:
    """Starts a server that is stopped after the test."""
    with ExitStack() as stack:

        def start(settings: str = "", **options: Any) -> NatsServer:
            server = NatsServer(tmp_path, settings, **options)
            stack.callback(server.stop)
            server.start()
            return server

        yield start


async def take(transport: NatsTransport, lease: float = 30.0, wait: float = LONG) -> Incoming:
    (message,) = await transport.take(1, lease=lease, wait=wait)
    return message


async def messages_in(transport: NatsTransport, url: str) -> tuple[int, int]:
    """In the queue's stream and among the dead letters."""
    names = transport._names  # pyright: ignore
    states = [
        (await api(url, f"STREAM.INFO.{stream}"))["state"]["messages"]
        for stream in (names.stream, names.dead_stream)
    ]
    return states[0], states[1]


async def test_one_that_is_sent_twice_is_there_once(opened: Open, nats_server: NatsServer) -> None:
    one, other = await opened(), await opened()
    long = "é" * 500

    await one.send([Outgoing(b"1", long), Outgoing(b"2", "b")])
    await other.send([Outgoing(b"1", long), Outgoing(b"3", "c")])

    assert await messages_in(one, nats_server.url) == (3, 0)
    assert (await take(other)).id == long


async def test_nothing_is_left_after_the_end(opened: Open, nats_server: NatsServer) -> None:
    transport = await opened()
    await transport.send([Outgoing(b"1", "a"), Outgoing(b"2", "b")])

    await transport.done(await take(transport))
    await transport.bury(await take(transport), b"2, dead")
    assert await messages_in(transport, nats_server.url) == (0, 1)

    async def remove(_: bytes) -> bool:
        return True

    await transport.sift(remove)
    assert await messages_in(transport, nats_server.url) == (0, 0)


async def test_a_dead_letter_is_put_there_once_though_its_burial_is_repeated(
    opened: Open, nats_server: NatsServer
) -> None:
    transport = await opened()
    await transport.send([Outgoing(b"1", "a")])
    message = await take(transport)

    await transport.bury(message, b"dead")
    await transport.bury(message, b"dead")

    assert await messages_in(transport, nats_server.url) == (0, 1)


async def test_a_lease_is_as_long_as_its_taker_says_whatever_the_consumer_says(
    opened: Open, nats_server: NatsServer
) -> None:
    transport = await opened()
    stream = transport._names.stream  # pyright: ignore
    config = {"durable_name": "worker", "ack_policy": "explicit", "ack_wait": SECOND}
    updated = await api(
        nats_server.url, f"CONSUMER.DURABLE.CREATE.{stream}.worker", stream_name=stream,
        config={**config, "max_deliver": -1, "max_ack_pending": -1, "max_waiting": 10_000},
    )  # fmt: skip
    assert updated["config"]["ack_wait"] == SECOND
    other = await opened()
    await other.send([Outgoing(b"1", "long"), Outgoing(b"2", "short")])

    long = await take(other, lease=60.0)
    short = await take(other, lease=0.2)
    again = await take(transport, lease=60.0)
    kept = await other.keep([long, short], 60.0)
    more = await transport.take(1, lease=60.0, wait=2.5)

    assert (again.id, list(more)) == ("short", [])
    assert list(kept) == [True, False]
    await other.done(long)
    await other.done(short)
    await transport.done(again)
    assert await messages_in(transport, nats_server.url) == (0, 0)


async def test_what_is_done_too_late_is_left_to_whoever_has_it_now(
    opened: Open, nats_server: NatsServer
) -> None:
    late, now = await opened(), await opened()
    await late.send([Outgoing(b"1", "a")])
    message = await take(late, lease=0.2)
    again = await take(now)

    await late.done(message)
    await late.bury(message, b"dead")
    await late.put_back(message, 0.0)

    assert await messages_in(now, nats_server.url) == (1, 0)
    assert list(await now.keep([again], 30.0)) == [True]
    assert list(await now.take(1, lease=30.0, wait=0.3)) == []


async def test_who_keeps_too_late_does_not_keep_it_for_others(opened: Open) -> None:
    late, now, other = await opened(), await opened(), await opened()
    await late.send([Outgoing(b"1", "a")])
    message = await take(late, lease=0.2)
    await take(now, lease=1.0)

    assert list(await late.keep([message], 60.0)) == [False]
    assert (await take(other)).id == "a"


async def test_a_lease_that_ends_before_the_answer_comes_is_lost(
    opened: Open, nats_server: NatsServer
) -> None:
    async with Proxy(nats_server.port) as proxy:
        place = nats_server.place().rpartition("/")[2]
        transport = await opened(f"nats://127.0.0.1:{proxy.port}/{place}")
        await transport.send([Outgoing(b"1", "a")])
        message = await take(transport, lease=1.0)
        proxy.delay = 1.5

        assert list(await transport.keep([message], 60.0)) == [False]
        proxy.delay = 0.0
        await transport.close()


async def test_who_closes_gives_back_at_once(opened: Open) -> None:
    leaving, other = await opened(), await opened()
    await leaving.send([Outgoing(b"1", "a")])
    await take(leaving, lease=60.0)

    await leaving.close()

    assert (await take(other)).id == "a"


async def test_a_server_that_refuses_connections_is_not_waited_for(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cnstra.adapters.nats.client.CONNECT_TIMEOUT", 1000.0)

    with pytest.raises(BrokerUnavailable, match=r"127\.0\.0\.1:1.*refused|Connect call failed"):
        await opened("nats://127.0.0.1:1")


async def test_what_a_cancelled_taker_is_sent_too_late_goes_to_others_at_once(
    opened: Open,
) -> None:
    leaving, other = await opened(), await opened()
    waiting = asyncio.ensure_future(leaving.take(1, lease=30.0, wait=LONG))
    await asyncio.sleep(0.2)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    await other.send([Outgoing(b"1", "a")])

    assert (await take(other, wait=5.0)).id == "a"


async def test_what_is_put_aside_or_held_stays_so_when_the_server_is_restarted(
    own_server: Callable[..., NatsServer], opened: Open
) -> None:
    server = own_server()
    transport = await opened(server.url)
    await transport.send([Outgoing(b"1", "aside"), Outgoing(b"2", "held"), Outgoing(b"3", "c")])
    began = monotonic()
    await transport.put_back(await take(transport), 3.0)
    held = await take(transport, lease=60.0)

    server.stop()
    server.start()
    other = await opened(server.url)

    assert (await take(other, lease=60.0)).id == "c"
    assert (await take(other)).id == "aside"
    assert monotonic() - began > 1.9, "over a restart it keeps whole seconds"
    await transport.done(held)
    assert await messages_in(other, server.url) == (2, 0)


async def test_streams_that_were_removed_are_made_again(
    opened: Open, nats_server: NatsServer
) -> None:
    transport = await opened()
    names = transport._names  # pyright: ignore
    for stream in (names.stream, names.dead_stream):
        await api(nats_server.url, f"STREAM.DELETE.{stream}")

    with pytest.raises(BrokerUnavailable):
        await transport.send([Outgoing(b"1", "a")])
    await transport.send([Outgoing(b"1", "a")])

    assert (await take(transport)).id == "a"


async def test_a_full_stream_refuses_what_it_cannot_keep(
    opened: Open, nats_server: NatsServer
) -> None:
    transport = await opened()
    stream = transport._names.stream  # pyright: ignore
    config = (await api(nats_server.url, f"STREAM.INFO.{stream}"))["config"]
    await api(nats_server.url, f"STREAM.UPDATE.{stream}", **{**config, "max_msgs": 2})
    other = await opened()
    await other.send([Outgoing(b"1", "a"), Outgoing(b"2", "b")])

    with pytest.raises(BrokerUnavailable, match="maximum messages exceeded"):
        await other.send([Outgoing(b"3", "c")])
    await other.done(await take(other))
    await other.send([Outgoing(b"3", "c")])

    assert await messages_in(other, nats_server.url) == (2, 0)


async def test_a_body_may_be_as_large_as_the_server_says(
    own_server: Callable[..., NatsServer], opened: Open
) -> None:
    transport = await opened(own_server("max_payload: 50000").url)
    largest = transport.limits.max_body
    assert largest == 50_000 - 8 * 1024

    await transport.send([Outgoing(b"x" * largest, "i" * 1_000)])
    assert len((await take(transport)).body) == largest

    with pytest.raises(BrokerUnavailable, match="over its limit"):
        await transport.send([Outgoing(b"x" * 60_000, "large")])


# --- what is there already


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"retention": "limits"}, "retention is 'limits', it must be 'workqueue'"),
        ({"subjects": ["other"]}, "subjects is"),
        ({"max_age": 3600 * SECOND}, "max_age is 3600"),
        ({"max_msgs": 10, "discard": "old"}, "discard is 'old', it must be 'new'"),
    ],
)
async def test_a_stream_that_would_lose_jobs_is_refused(
    nats_server: NatsServer, opened: Open, settings: dict[str, Any], reason: str
) -> None:
    namespace = f"t{uuid4().hex}"
    stream = f"{namespace}-queue-q"
    wanted = {"name": stream, "subjects": [f"{namespace}.q"], "retention": "workqueue"}
    made = await api(nats_server.url, f"STREAM.CREATE.{stream}", **{**wanted, **settings})

    with pytest.raises(StreamMismatch, match=reason):
        await opened(f"{nats_server.url}/{namespace}")

    left = await api(nats_server.url, f"STREAM.INFO.{stream}")
    assert left["config"] == made["config"]


async def test_a_stream_that_takes_the_queues_subject_is_named(
    nats_server: NatsServer, opened: Open
) -> None:
    namespace = f"t{uuid4().hex}"
    name = f"everything-{namespace}"
    await api(nats_server.url, f"STREAM.CREATE.{name}", name=name, subjects=[f"{namespace}.>"])

    with pytest.raises(StreamMismatch, match="subjects overlap"):
        await opened(f"{nats_server.url}/{namespace}")


async def test_a_consumer_that_gives_up_is_refused(opened: Open, nats_server: NatsServer) -> None:
    transport = await opened()
    stream = transport._names.stream  # pyright: ignore
    where = f"{stream}.worker"
    await api(nats_server.url, f"CONSUMER.DELETE.{where}")
    config = {"durable_name": "worker", "ack_policy": "explicit", "max_deliver": 3}
    await api(
        nats_server.url, f"CONSUMER.DURABLE.CREATE.{where}", stream_name=stream, config=config
    )

    with pytest.raises(StreamMismatch, match="max_deliver is 3, it must be -1"):
        await opened()


async def test_a_server_without_jetstream_says_so(
    own_server: Callable[..., NatsServer], opened: Open
) -> None:
    server = own_server(jetstream=False)

    with pytest.raises(BrokerUnavailable, match="start nats-server with -js"):
        await opened(server.url)


# --- who asks


async def test_passwords_tokens_and_keys_are_read_from_the_url(
    own_server: Callable[..., NatsServer], opened: Open, tmp_path: Path
) -> None:
    server = own_server('authorization { user: "me", password: "p/a:s@s" }')
    place = server.url.removeprefix("nats://")
    await opened(f"nats://me:p%2Fa%3As%40s@{place}")
    with pytest.raises(BrokerUnavailable, match=r"Authorization Violation") as refusal:
        await opened(f"nats://me:wrong@{place}")
    assert "wrong" not in str(refusal.value)
    server.stop()

    server.settings = 'authorization { token: "secret" }'
    server.start()
    await opened(f"nats://secret@{place}")
    server.stop()

    seed = nkeys.encode_seed(bytes(range(32)), nkeys.PREFIX_BYTE_USER)
    (tmp_path / "seed").write_bytes(seed)
    public = nkeys.from_seed(bytearray(seed)).public_key.decode()
    server.settings = f"authorization {{ users: [ {{ nkey: {public} }} ] }}"
    server.start()
    await opened(f"nats://{place}?nkey={tmp_path}/seed")
    with pytest.raises(BrokerUnavailable, match="missing"):
        await opened(f"nats://{place}?creds={tmp_path}/missing")


def permitted(*publish: str) -> str:
    """The settings of a server whose one user may publish only there, and hear answers."""
    subjects = ", ".join(f'"{one}"' for one in publish)
    return (
        'authorization { users: [ { user: "me", password: "x", permissions: '
        f'{{ publish: [{subjects}], subscribe: ["_INBOX.>"] }} }} ] }}'
    )


async def test_what_the_page_asks_for_is_permission_enough(
    own_server: Callable[..., NatsServer],
) -> None:
    server = own_server(permitted("$JS.API.>", "$JS.ACK.>", "$KV.cnstra.>", "cnstra.>"))

    async with Queue("users", server.url.replace("//", "//me:x@")) as queue:
        job = await queue.enqueue(entry.create_signal(7))
        await Worker(queue, Story().chain(), results=[output]).run(until_idle=True)

        assert (await job.result(timeout=LONG))["results"] == [7]


async def test_a_permission_that_is_missing_is_named(
    own_server: Callable[..., NatsServer], opened: Open
) -> None:
    server = own_server(permitted("$JS.API.>", "$JS.ACK.>"))
    transport = await opened(server.url.replace("//", "//me:x@"))

    with pytest.raises(BrokerUnavailable, match=r'permissions violation for publish to "cnstra.q"'):
        await transport.send([Outgoing(b"1", "a")])


async def test_tls_checks_the_server(
    own_server: Callable[..., NatsServer], opened: Open, tmp_path: Path
) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-keyout", "key.pem", "-out", "cert.pem"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    own = f'{{ cert_file: "{tmp_path}/cert.pem", key_file: "{tmp_path}/key.pem" }}'
    server = own_server(f"tls {own}")

    transport = await opened(f"tls://localhost:{server.port}?tls_ca={tmp_path}/cert.pem")
    await transport.send([Outgoing(b"1", "a")])
    assert (await take(transport)).id == "a"
    with pytest.raises(BrokerUnavailable, match="certificate"):
        await opened(f"tls://localhost:{server.port}")


async def test_the_first_server_that_answers_is_taken(
    opened: Open, nats_server: NatsServer
) -> None:
    place = nats_server.place()
    transport = await opened(place.replace("127.0.0.1", "127.0.0.1:1,127.0.0.1"))

    await transport.send([Outgoing(b"1", "a")])

    assert (await take(await opened(place))).id == "a"


@pytest.mark.parametrize(
    ("url", "remedy"),
    [
        ("nats://h?credits=x", "its options are"),
        ("nats://h/a.b", "namespace of letters"),
        ("nats://h?replicas=9", "replicas is a number"),
        ("nats://h:port", "its ports are numbers"),
        ("tls://me:secret@h?tls_ca=/nowhere", "certificates cannot be read"),
        ("nats://me:secret/secret@h/a", "percent-encode"),
        ("nats://me:secret#secret@h", "percent-encode"),
        ("nats://me:secret[secret@h", "percent-encode"),
        ("nats://me:secret?secret@h", "its options are"),
    ],
)
def test_a_url_that_cannot_be_meant_is_refused(url: str, remedy: str) -> None:
    with pytest.raises(InvalidOption, match=remedy) as refusal:
        location_of(url)

    assert "secret" not in str(refusal.value)


def test_every_text_has_a_name_of_its_own() -> None:
    texts = ["", "=", "a", "A", "a.b", "a=2Eb", "*", ">", " ", "é", "\ud800", "x" * 300, "y" * 300]

    assert len({token(text) for text in texts}) == len(texts)
    assert all(set(token(text)).isdisjoint(" .*>\n\0") for text in texts)
    assert all(0 < len(token(text)) <= 180 for text in texts)
    assert [from_header(to_header(text)) for text in texts] == texts


async def test_a_queue_brings_its_store(nats_server: NatsServer) -> None:
    story = Story()
    story.fails("third", 1)
    async with Queue("any name. *", nats_server.place()) as queue:
        job = await queue.enqueue(entry.create_signal(7), max_attempts=2, job_id="a job")

        await Worker(queue, story.chain(), results=[output]).run(until_idle=True)

        assert (await job.result(timeout=LONG))["results"] == [7]
        assert queue.store is not None
