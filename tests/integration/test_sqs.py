"""SQS: standard and FIFO queues, on moto's server."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest

from cnstra import CNS, Queue, Signal, Worker, collateral, neuron
from cnstra.adapters import sqs
from cnstra.adapters.sqs import batches, receiver
from cnstra.adapters.sqs.client import Client
from cnstra.adapters.sqs.letters import entry_of
from cnstra.adapters.sqs.location import LONGEST_LEASE, location_of
from cnstra.adapters.sqs.names import names_of
from cnstra.adapters.sqs.transport import SQSTransport
from cnstra.clock import SYSTEM_CLOCK, Clock, SystemClock
from cnstra.errors import (
    BrokerRefused,
    BrokerUnavailable,
    InvalidOption,
    MessageTooLarge,
    StoreError,
)
from cnstra.jobs.transport import Incoming, Outgoing
from tests.proxy import Proxy
from tests.sqs_server import REGION, SQSServer, url_at

LEASE = 30.0
SOON = 5.0
DAY = 24 * 3600.0

Opener = Callable[..., Any]


class LaterClock(SystemClock):
    """The machine's own, with the date moved."""

    def __init__(self) -> None:
        self.later = 0.0

    def time(self) -> float:
        return super().time() + self.later


class QuickClock(SystemClock):
    """The machine's own, whose pauses are short."""

    async def sleep(self, duration: float) -> None:
        await super().sleep(duration / 100)


@pytest.fixture
def name() -> str:
    return f"test-{uuid4().hex[:12]}"


@pytest.fixture
async def opened(sqs_server: SQSServer, name: str) -> AsyncIterator[Opener]:
    """Opens transports of the test's own queue; all are closed at its end."""
    async with AsyncExitStack() as stack:

        async def open_one(
            *options: str, port: int | None = None, clock: Clock = SYSTEM_CLOCK
        ) -> Any:
            place = location_of(url_at(port or sqs_server.port, *options))
            transport = SQSTransport(name, place, clock)
            await transport.open()
            stack.push_async_callback(transport.close)
            return transport

        yield open_one


@pytest.fixture(params=["standard", "fifo"])
async def transport(request: pytest.FixtureRequest, opened: Opener) -> Any:
    return await opened(f"fifo={'true' if request.param == 'fifo' else 'false'}")


@pytest.fixture
def aws(sqs_server: SQSServer) -> Any:
    """SQS as a bystander sees it."""
    return boto3.client("sqs", region_name=REGION, endpoint_url=sqs_server.endpoint)


def letter(number: int, **more: Any) -> Outgoing:
    return Outgoing(b'{"number":%d}' % number, f"id-{number}", **more)


def ids(messages: Sequence[Incoming]) -> list[str]:
    return [one.id for one in messages]


async def take(transport: Any, limit: int = 1, wait: float = SOON, lease: float = LEASE) -> Any:
    return await transport.take(limit, lease=lease, wait=wait)


async def take_all(transport: Any, count: int) -> list[Incoming]:
    found: list[Incoming] = []
    while len(found) < count:
        more = await take(transport, count - len(found))
        assert more, found
        found += more
    return found


async def dead_letters(transport: Any) -> list[bytes]:
    found: list[bytes] = []

    async def look(body: bytes) -> bool:
        found.append(body)
        return False

    await transport.sift(look)
    return found


# --- sent, taken, kept, acknowledged


async def test_what_is_sent_is_taken_once_and_gone_when_done(transport: Any) -> None:
    before = time.time()
    await transport.send([letter(1), letter(2)])

    taken = await take_all(transport, 2)

    assert sorted(ids(taken)) == ["id-1", "id-2"]
    assert {one.body for one in taken} == {b'{"number":1}', b'{"number":2}'}
    assert all(before - 1 <= one.sent_at <= time.time() + 1 for one in taken)
    assert (await transport.sizes())["active"] == 2
    for one in taken:
        await transport.done(one)
    assert set((await transport.sizes()).values()) == {0}
    assert await take(transport, wait=0) == ()


async def test_many_are_sent_and_taken_in_batches_at_once(opened: Opener) -> None:
    transport = await opened()
    await transport.send([letter(number) for number in range(43)])

    taken = await take(transport, 43)

    assert sorted(ids(taken)) == sorted(f"id-{number}" for number in range(43))
    assert await transport.keep(taken, LEASE) == [True] * 43
    await asyncio.gather(*(transport.done(one) for one in taken))
    assert (await transport.sizes())["active"] == 0


async def test_one_who_waits_gets_what_comes(transport: Any) -> None:
    taking = asyncio.ensure_future(take(transport, wait=60))
    await asyncio.sleep(0)

    await transport.send([letter(1)])

    assert ids(await taking) == ["id-1"]


async def test_a_message_is_held_back(opened: Opener) -> None:
    transport = await opened()
    before = time.monotonic()
    await transport.send([letter(1, delay=1.2)])
    assert (await transport.sizes())["delayed"] == 1

    taken = await take(transport)

    assert ids(taken) == ["id-1"]
    assert time.monotonic() - before >= 1.2


async def test_a_message_that_is_put_back_is_there_again_never_early(transport: Any) -> None:
    await transport.send([letter(1)])
    (first,) = await take(transport)

    before = time.monotonic()
    await transport.put_back(first, 1.2)

    (second,) = await take(transport)
    assert time.monotonic() - before >= 1.2
    assert second.id == "id-1"
    await transport.put_back(second, 0)
    assert ids(await take(transport)) == ["id-1"]


async def test_a_lease_that_runs_out_gives_the_message_to_others(transport: Any) -> None:
    await transport.send([letter(1)])
    (lapsed,) = await take(transport, lease=1)

    (again,) = await take(transport)

    assert again.id == "id-1"
    assert await transport.keep([lapsed, again], LEASE) == [False, True]
    await transport.done(lapsed)
    await transport.put_back(lapsed, 0)
    await transport.bury(lapsed, b"{}")
    sizes = await transport.sizes()
    assert (sizes["active"], sizes["dead"]) == (1, 0)


async def test_a_lease_counts_from_before_its_answer(opened: Opener, sqs_server: SQSServer) -> None:
    """Or one whose answer is slow would seem ours when another may have it."""
    async with Proxy(sqs_server.port) as proxy:
        transport = await opened(port=proxy.port)
        await transport.send([letter(1)])
        proxy.lag = 1.5

        (taken,) = await take(transport, lease=1)

        proxy.lag = 0
        assert await transport.keep([taken], LEASE) == [False]


async def test_a_lease_is_kept(transport: Any) -> None:
    await transport.send([letter(1)])
    (taken,) = await take(transport, lease=1)

    assert await transport.keep([taken], LEASE) == [True]

    assert await take(transport, wait=1.5) == ()


async def test_a_message_that_was_let_go_is_no_longer_kept(transport: Any) -> None:
    await transport.send([letter(1), letter(2)])
    first, second = await take_all(transport, 2)
    await transport.done(first)
    await transport.put_back(second, 60)

    for lease in (1, 2 * LEASE):
        assert await transport.keep([first, second], lease) == [False, False]


async def test_a_lapsed_message_is_not_asked_for(opened: Opener, sqs_server: SQSServer) -> None:
    """SQS may take an old receipt for a good one, and another holds the message by now."""
    async with Proxy(sqs_server.port) as proxy:
        transport = await opened(port=proxy.port)
        await transport.send([letter(1)])
        (taken,) = await take(transport, lease=1)
        await asyncio.sleep(1.1)
        proxy.refuse = b"ChangeMessageVisibility"

        assert await transport.keep([taken], LEASE) == [False]

        assert proxy.cuts == 0


async def test_a_message_is_not_held_longer_than_the_longest_lease(opened: Opener) -> None:
    transport = await opened("longest_lease=2")
    await transport.send([letter(1)])
    before = time.monotonic()
    (taken,) = await take(transport)
    assert await transport.keep([taken], LEASE) == [True]

    assert ids(await take(transport)) == ["id-1"]
    assert time.monotonic() - before >= 1
    assert await transport.keep([taken], LEASE) == [False]


async def test_who_closes_and_comes_back_finds_all(opened: Opener, transport: Any) -> None:
    await transport.send([letter(1)])
    await transport.close()
    await transport.close()
    with pytest.raises(BrokerUnavailable, match="closed"):
        await transport.send([letter(2)])

    await transport.open()

    assert ids(await take(transport)) == ["id-1"]


# --- nothing goes astray


async def test_who_is_cancelled_takes_nothing(opened: Opener, sqs_server: SQSServer) -> None:
    """What SQS has leased him already, and is about to tell him, is given back."""
    other = await opened()
    async with Proxy(sqs_server.port) as proxy:
        transport = await opened(port=proxy.port)
        await transport.send([letter(1)])
        proxy.lag = 0.5
        taking = asyncio.ensure_future(take(transport))
        while not (await other.sizes())["active"]:
            await asyncio.sleep(0.02)

        taking.cancel()

        with pytest.raises(asyncio.CancelledError):
            await taking
        assert ids(await take(other)) == ["id-1"]


async def test_what_a_poll_brings_is_for_the_next_who_takes(transport: Any) -> None:
    assert await take(transport, wait=0.05) == ()
    await transport.send([letter(1)])
    while not (await transport.sizes())["active"]:
        await asyncio.sleep(0.02)

    assert ids(await take(transport, wait=0.5)) == ["id-1"]


async def test_what_a_poll_brings_and_nobody_takes_is_given_back(
    opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiver, "UNCLAIMED", 0.2)
    idle, other = await opened(), await opened()
    assert await take(idle, wait=0.05) == ()
    await other.send([letter(1)])
    while not (await other.sizes())["active"]:
        await asyncio.sleep(0.02)

    assert ids(await take(other)) == ["id-1"]


async def test_what_a_poll_brings_at_the_end_is_given_back(opened: Opener) -> None:
    ending, other = await opened(), await opened()
    assert await take(ending, wait=0.05) == ()
    closing = asyncio.ensure_future(ending.close())
    await asyncio.sleep(0.05)
    assert not closing.done()
    await other.send([letter(1)])

    await closing

    assert ids(await take(other)) == ["id-1"]


async def test_a_poll_for_another_lease_is_not_used(transport: Any) -> None:
    assert await take(transport, wait=0.05, lease=1) == ()
    await transport.send([letter(1)])

    (taken,) = await take(transport, lease=60)

    await asyncio.sleep(1.2)
    assert await take(transport, wait=0) == ()
    await transport.done(taken)
    assert set((await transport.sizes()).values()) == {0}


async def test_more_than_asked_for_by_now_is_given_back(opened: Opener) -> None:
    transport = await opened()
    assert await take(transport, limit=10, wait=0.05) == ()
    await transport.send([letter(1), letter(2), letter(3)])

    found = await take_all(transport, 1)
    found += await take_all(transport, 1)
    found += await take_all(transport, 1)

    assert sorted(ids(found)) == ["id-1", "id-2", "id-3"]


async def test_a_message_too_old_to_be_put_back_is_sent_again(
    aws: Any, opened: Opener, name: str
) -> None:
    aws.create_queue(QueueName=name, Attributes={"MessageRetentionPeriod": "60"})
    clock = LaterClock()
    transport = await opened(clock=clock)
    await transport.send([letter(1)])
    (old,) = await take(transport)
    clock.later = 55

    await transport.put_back(old, 1)

    (copy,) = await take(transport)
    assert (copy.id, copy.body) == (old.id, old.body)
    assert copy.sent_at > old.sent_at
    assert (await transport.sizes())["active"] == 1


# --- dead letters


async def test_the_dead_are_looked_through_and_those_that_are_judged_go(transport: Any) -> None:
    await transport.send([letter(number) for number in range(12)])
    for one in await take_all(transport, 12):
        await transport.bury(one, one.body.replace(b"number", b"dead"))
    sizes = await transport.sizes()
    assert (sizes["active"], sizes["dead"]) == (0, 12)
    seen: list[bytes] = []

    async def judge(body: bytes) -> bool:
        seen.append(body)
        return body in (b'{"dead":3}', b'{"dead":11}')

    await transport.sift(judge)

    everything = {b'{"dead":%d}' % number for number in range(12)}
    assert set(seen) == everything
    assert len(seen) == 12
    left = await dead_letters(transport)
    assert set(left) == everything - {b'{"dead":3}', b'{"dead":11}'}
    assert len(left) == 10


async def test_only_so_many_of_the_dead_are_shown(transport: Any) -> None:
    await transport.send([letter(number) for number in range(3)])
    for one in await take_all(transport, 3):
        await transport.bury(one, one.body)
    seen: list[bytes] = []

    async def judge(body: bytes) -> bool:
        seen.append(body)
        return False

    await transport.sift(judge, 2)

    assert len(seen) == 2
    assert len(await dead_letters(transport)) == 3


async def test_the_dead_stay_when_the_judge_fails(transport: Any) -> None:
    await transport.send([letter(1)])
    (taken,) = await take(transport)
    await transport.bury(taken, taken.body)

    async def judge(body: bytes) -> bool:
        raise ZeroDivisionError(body)

    with pytest.raises(ZeroDivisionError):
        await transport.sift(judge)

    assert await dead_letters(transport) == [b'{"number":1}']


async def test_a_job_may_die_twice(transport: Any) -> None:
    await transport.send([letter(1)])
    (taken,) = await take(transport)
    await transport.bury(taken, b'{"death":1}')
    await transport.send([Outgoing(b"{}", "id-1")])
    (again,) = await take(transport)
    await transport.bury(again, b'{"death":2}')

    assert sorted(await dead_letters(transport)) == [b'{"death":1}', b'{"death":2}']


# --- FIFO


async def test_the_messages_of_one_key_are_taken_one_after_the_other(opened: Opener) -> None:
    transport = await opened("fifo=true")
    await transport.send([letter(number, ordering_key="one") for number in range(4)])
    order: list[str] = []

    while len(order) < 4:
        (taken,) = await take(transport, limit=10)
        assert await take(transport, limit=10, wait=0.05) == ()
        if len(order) == 1 and taken.id not in order:
            await transport.put_back(taken, 1)
            (again,) = await take(transport)
            assert again.id == taken.id
            taken = again
        order.append(taken.id)
        await transport.done(taken)

    assert order == [f"id-{number}" for number in range(4)]


async def test_different_keys_are_taken_together(opened: Opener) -> None:
    transport = await opened("fifo=true")
    keys = ("a", "a", "ключ", "x" * 200, None, None)
    await transport.send([letter(n, ordering_key=key) for n, key in enumerate(keys)])

    assert sorted(ids(await take(transport, limit=10))) == [f"id-{n}" for n in (0, 2, 3, 4, 5)]


async def test_a_repeat_is_dropped_and_another_generation_is_not(opened: Opener) -> None:
    transport = await opened("fifo=true")
    await transport.send([Outgoing(b"{}", "run#0")])
    await transport.send([Outgoing(b"{}", "run#0")])
    await transport.send([Outgoing(b"{}", "run#1"), Outgoing(b"{}", "🙂" * 40)])

    taken = await take(transport, limit=10)

    assert sorted(ids(taken)) == ["run#0", "run#1", "🙂" * 40]


async def test_a_queue_by_its_name_is_fifo(aws: Any, sqs_server: SQSServer, name: str) -> None:
    transport = SQSTransport(f"{name}.fifo", location_of(sqs_server.url()), SYSTEM_CLOCK)
    await transport.open()
    await transport.close()

    assert transport.limits.ordering
    assert transport.limits.longest_delay == 0
    found = aws.list_queues(QueueNamePrefix=name)["QueueUrls"]
    assert sorted(url.rpartition("/")[2] for url in found) == [f"{name}-dead.fifo", f"{name}.fifo"]


async def test_a_failed_message_keeps_its_place_in_its_group(
    opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = await opened("fifo=true", clock=QuickClock())
    fail_once(monkeypatch, "SendMessageBatch", "0")

    await transport.send([letter(number, ordering_key="one") for number in range(3)])

    order: list[str] = []
    for _ in range(3):
        (taken,) = await take(transport)
        order.append(taken.id)
        await transport.done(taken)
    assert order == ["id-0", "id-1", "id-2"]


# --- faults


def fail_once(
    monkeypatch: pytest.MonkeyPatch, action: str, *entries: str, times: int = 1, ours: bool = False
) -> list[int]:
    """Have SQS fail these entries of a batch, so many times. Returns how many entries came in."""
    call, calls = Client.call, list[int]()

    async def failing(self: Client, asked: str, **parameters: Any) -> Any:
        if asked != action or len(calls) >= times:
            if asked == action:
                calls.append(len(parameters["Entries"]))
            return await call(self, asked, **parameters)
        calls.append(len(parameters["Entries"]))
        passed = [one for one in parameters["Entries"] if one["Id"] not in entries]
        answer: dict[str, Any] = {}
        if passed:
            answer = await call(self, asked, **{**parameters, "Entries": passed})
        failed = {"Code": "InternalError", "Message": "try again", "SenderFault": ours}
        return {**answer, "Failed": [{"Id": one, **failed} for one in entries]}

    monkeypatch.setattr(Client, "call", failing)
    return calls


async def test_what_failed_of_a_batch_is_sent_again_and_nothing_else(
    opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = await opened(clock=QuickClock())
    calls = fail_once(monkeypatch, "SendMessageBatch", "1", "3")

    await transport.send([letter(number) for number in range(5)])

    assert calls == [5, 2]
    assert sorted(ids(await take(transport, 10))) == [f"id-{number}" for number in range(5)]


async def test_a_message_that_keeps_failing_is_not_called_safe(
    opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = await opened(clock=QuickClock())
    fail_once(monkeypatch, "SendMessageBatch", "0", times=batches.TRIES)

    with pytest.raises(BrokerUnavailable, match="InternalError"):
        await transport.send([letter(0)])


async def test_a_message_that_sqs_will_not_have_is_told_of(
    opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = await opened()
    fail_once(monkeypatch, "SendMessageBatch", "0", ours=True)

    with pytest.raises(BrokerRefused, match="try again"):
        await transport.send([letter(0)])


@pytest.mark.parametrize("ending", ["done", "put_back"])
async def test_what_failed_of_those_done_is_done_again(
    opened: Opener, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    transport = await opened(clock=QuickClock())
    await transport.send([letter(0), letter(1), letter(2)])
    taken = await take_all(transport, 3)
    is_done = ending == "done"
    action = "DeleteMessageBatch" if is_done else "ChangeMessageVisibilityBatch"
    calls = fail_once(monkeypatch, action, "2")

    await asyncio.gather(
        *(transport.done(one) if is_done else transport.put_back(one, 0) for one in taken)
    )

    assert calls == [3, 1]
    sizes = await transport.sizes()
    assert (sizes["active"], sizes["waiting"]) == (0, 0 if is_done else 3)


async def test_an_answer_that_is_lost_loses_nothing(opened: Opener, sqs_server: SQSServer) -> None:
    async with Proxy(sqs_server.port) as proxy:
        transport = await opened("fifo=true", port=proxy.port)
        proxy.swallow = b"AmazonSQS.SendMessageBatch"
        await transport.send([letter(1)])
        assert proxy.cuts == 1

        (taken,) = await take(transport)
        proxy.swallow = b"AmazonSQS.DeleteMessageBatch"
        await transport.done(taken)

        assert proxy.cuts == 2
        assert set((await transport.sizes()).values()) == {0}


async def test_connections_that_are_cut_are_made_again(
    opened: Opener, sqs_server: SQSServer
) -> None:
    async with Proxy(sqs_server.port) as proxy:
        transport = await opened(port=proxy.port)
        taking = asyncio.ensure_future(take(transport, wait=60, lease=1))
        await asyncio.sleep(0.3)

        proxy.cut()
        await transport.send([letter(1)])

        assert ids(await taking) == ["id-1"]


async def test_a_server_that_is_away_is_said_to_be_away(
    opened: Opener, sqs_server: SQSServer
) -> None:
    async with Proxy(sqs_server.port) as proxy:
        transport = await opened(port=proxy.port)
        await transport.send([letter(1)])
        (taken,) = await take(transport)

    for call in (
        transport.send([letter(2)]),
        take(transport),
        transport.keep([taken], LEASE),
        transport.done(taken),
        transport.put_back(taken, 0),
        transport.bury(taken, b"{}"),
        transport.sizes(),
    ):
        with pytest.raises(BrokerUnavailable, match=f"sqs://{REGION}"):
            await call


async def test_a_server_that_does_not_answer_is_said_to_be_away(
    opened: Opener, sqs_server: SQSServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Proxy(sqs_server.port) as proxy:
        transport = await opened(port=proxy.port)
        monkeypatch.setattr("cnstra.adapters.sqs.client.PATIENCE", 0.2)
        proxy.delay = 2

        with pytest.raises(BrokerUnavailable, match=r"no answer within 0\.2 s"):
            await transport.sizes()


async def refusing(status: int, code: str) -> asyncio.Server:
    """A server that answers everything with that error."""
    body = f'{{"__type":"com.amazonaws.sqs#{code}","message":"so it is"}}'.encode()
    kind = "Content-Type: application/x-amz-json-1.0\r\nConnection: close\r\n"
    head = f"HTTP/1.1 {status} No\r\n{kind}Content-Length: {len(body)}\r\n\r\n".encode()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head + body)
        await writer.drain()
        writer.close()

    return await asyncio.start_server(answer, "127.0.0.1", 0)


@pytest.mark.parametrize(
    ("status", "code", "kind", "told"),
    [
        (400, "AccessDeniedException", BrokerRefused, "allow sqs:GetQueueUrl"),
        (403, "AccessDenied", BrokerRefused, "allow sqs:GetQueueUrl"),
        (403, "InvalidClientTokenId", BrokerRefused, "give other credentials"),
        (400, "InvalidAddress", BrokerRefused, "InvalidAddress: so it is"),
        (400, "ThrottlingException", BrokerUnavailable, "ThrottlingException: so it is"),
        (400, "RequestThrottled", BrokerUnavailable, "RequestThrottled"),
        (400, "OverLimit", BrokerUnavailable, "OverLimit"),
        (400, "ExpiredToken", BrokerUnavailable, "ExpiredToken"),
        (500, "InternalFailure", BrokerUnavailable, "InternalFailure"),
        (503, "Whatever", BrokerUnavailable, "Whatever"),
    ],
)
async def test_what_sqs_says_is_told_in_our_words(
    opened: Opener, status: int, code: str, kind: type[Exception], told: str
) -> None:
    async with await refusing(status, code) as server:
        with pytest.raises(kind, match=told):
            await opened(port=server.sockets[0].getsockname()[1])


async def test_a_queue_that_is_deleted_is_told_of(aws: Any, opened: Opener, name: str) -> None:
    transport = await opened()
    aws.delete_queue(QueueUrl=aws.get_queue_url(QueueName=name)["QueueUrl"])

    with pytest.raises(BrokerUnavailable, match=f"queue {name} is not there"):
        await transport.send([letter(1)])


# --- bodies


@pytest.mark.parametrize("text", ["two words", "\N{SNOWMAN}", "x" * 129])
def test_a_text_that_sqs_refuses_as_an_id_is_replaced(text: str) -> None:
    """moto takes any; SQS takes 128 of these characters."""
    entry, same, other = (
        entry_of(Outgoing(b"{}", one, ordering_key=one), is_fifo=True, max_size=10_000)
        for one in (text, text, text[::-1] + "!")
    )

    for id in (entry["MessageGroupId"], entry["MessageDeduplicationId"]):
        assert re.fullmatch(r"[A-Za-z0-9!-/:-@\[-`{-~]{1,128}", id)
        assert id in same.values()
        assert id not in other.values()


async def test_every_character_comes_through(transport: Any) -> None:
    body = '{"text":"\ufffe\uffff \U0001ffff 🙂 \x7f \\u0000 \u2028"}'.encode()
    await transport.send([Outgoing(body, "id-1")])

    (taken,) = await take(transport)

    assert taken.body == body.replace("\ufffe".encode(), rb"\ufffe").replace(
        "\uffff".encode(), rb"\uffff"
    )


async def test_what_others_put_there_comes_through_as_it_is(
    aws: Any, opened: Opener, name: str
) -> None:
    transport = await opened()
    url = aws.get_queue_url(QueueName=name)["QueueUrl"]
    envelope = '{"Type" : "Notification",\n "Message" : "{\\"signal\\": 1}"}'
    sent = aws.send_message(QueueUrl=url, MessageBody=envelope)

    (taken,) = await take(transport)

    assert (taken.body, taken.id) == (envelope.encode(), sent["MessageId"])
    await transport.put_back(taken, 0)
    (again,) = await take(transport)
    assert again.id == taken.id


async def test_the_queues_own_limit_is_read(aws: Any, opened: Opener, name: str) -> None:
    aws.create_queue(QueueName=name, Attributes={"MaximumMessageSize": "2048"})
    transport = await opened()
    largest = transport.limits.max_body
    assert 1024 <= largest < 2048

    await transport.send([Outgoing(b'"%s"' % (b"x" * (largest - 2)), "id-1")])

    assert len((await take(transport))[0].body) == largest
    with pytest.raises(MessageTooLarge, match="2048"):
        await transport.send([Outgoing(b'"%s"' % (b"x" * 2048), "id-2")])


async def test_large_messages_are_sent_in_batches_that_sqs_takes(opened: Opener) -> None:
    transport = await opened()
    large = b'"%s"' % (b"x" * 400_000)

    await transport.send([Outgoing(large, f"id-{number}") for number in range(4)])

    assert len(await take(transport, 10)) == 4


# --- the URL, the queues, who we are


@pytest.mark.parametrize(
    "url",
    [
        "sqs://eu-central-1?no-such-option=1",
        "sqs://eu-central-1/queue",
        "sqs://eu-central-1?fifo=yes",
        "sqs://eu-central-1?poll=21",
        "sqs://eu-central-1?longest_lease=soon",
    ],
)
def test_an_url_that_is_not_understood_is_refused(url: str) -> None:
    with pytest.raises(InvalidOption):
        location_of(url)


def test_an_url_says_where_the_queues_are() -> None:
    place = location_of(
        "sqs://eu-west-3?account=123456789012&prefix=prod-&profile=ops&create=false"
    )

    assert (place.region, place.account, place.profile) == ("eu-west-3", "123456789012", "ops")
    assert (place.creates, place.longest_lease) == (False, LONGEST_LEASE)
    assert names_of("mail", place) == ("prod-mail", "prod-mail-dead")


@pytest.mark.parametrize("queue", ["two words", "точка", "a.b", "x" * 76, ".fifo"])
def test_a_name_that_sqs_does_not_take_is_refused(queue: str) -> None:
    with pytest.raises(InvalidOption, match="SQS takes 7"):
        names_of(queue, location_of("sqs://eu-central-1"))


async def test_queues_are_used_as_they_are(aws: Any, opened: Opener, name: str) -> None:
    own = {"VisibilityTimeout": "7", "MessageRetentionPeriod": "3600", "DelaySeconds": "0"}
    url = aws.create_queue(QueueName=name, Attributes=own)["QueueUrl"]

    await opened()

    found = aws.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert {key: found[key] for key in own} == own
    dead = aws.get_queue_url(QueueName=f"{name}-dead")["QueueUrl"]
    found = aws.get_queue_attributes(QueueUrl=dead, AttributeNames=["All"])["Attributes"]
    assert float(found["MessageRetentionPeriod"]) == 14 * DAY
    assert "RedrivePolicy" not in found


async def test_queues_that_may_not_be_made_are_asked_for(opened: Opener, name: str) -> None:
    with pytest.raises(BrokerRefused, match=f"queue {name} .*create=false"):
        await opened("create=false")


async def test_without_a_region_one_is_asked_for(
    sqs_server: SQSServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(variable, raising=False)
    transport = SQSTransport("name", location_of("sqs://"), SYSTEM_CLOCK)

    with pytest.raises(InvalidOption, match="AWS_DEFAULT_REGION"):
        await transport.open()


async def test_without_credentials_they_are_asked_for(
    sqs_server: SQSServer, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")

    with pytest.raises(BrokerRefused, match="give credentials"):
        await opened()


async def test_a_profile_that_is_not_there_is_asked_for(opened: Opener) -> None:
    with pytest.raises(InvalidOption, match="profile='nobody'"):
        await opened("profile=nobody")


def test_sqs_keeps_no_progress() -> None:
    with pytest.raises(StoreError, match="sqs://eu-central-1"):
        sqs.store("sqs://eu-central-1", SYSTEM_CLOCK)


# --- jobs


request, output = collateral("request", int), collateral("output", int)


def slow_graph(starts: list[int], seconds: float) -> CNS:
    slow = neuron("slow", {"output": output})

    @slow.dendrite(request)
    async def sleep(left: int, axon: Any) -> Signal[int]:
        starts.append(left)
        await asyncio.sleep(seconds)
        signal: Signal[int] = axon.output.create_signal(left)
        return signal

    return CNS([slow])


@pytest.mark.parametrize("kind", ["standard", "fifo"])
async def test_a_handler_longer_than_the_longest_lease_is_handed_over(
    sqs_server: SQSServer, name: str, tmp_path: Path, kind: str
) -> None:
    """Its message is acknowledged in time, and the guard that was sent instead ends quietly."""
    starts: list[int] = []
    url = sqs_server.url("longest_lease=4", f"fifo={'true' if kind == 'fifo' else 'false'}")
    async with Queue(name, url, store=f"sqlite:///{tmp_path}/progress.db") as queue:
        job = await queue.enqueue(request.create_signal(7))
        worker = Worker(queue, slow_graph(starts, 6.0), results=[output], lease=2.0)
        running = asyncio.ensure_future(worker.run())

        assert await job.result(timeout=60) == {"results": [7]}

        worker.stop()
        await running
    assert starts == [7]


@pytest.mark.parametrize("kind", ["standard", "fifo"])
async def test_the_guard_of_a_handler_takes_over(
    sqs_server: SQSServer, name: str, tmp_path: Path, kind: str
) -> None:
    """FIFO queues drop repeats of a message: the guard must not be one."""
    url = sqs_server.url(f"fifo={'true' if kind == 'fifo' else 'false'}")
    async with Queue(name, url, store=f"sqlite:///{tmp_path}/progress.db") as queue:
        job = await queue.enqueue(request.create_signal(7))
        broker: Any = queue.broker

        async def hand_over() -> None:
            (delivery,) = await broker.receive(1, lease=LEASE, wait=SOON, rate=None)
            await broker.hand_over(delivery, 1.0)

        await queue.io.call(hand_over)
        await Worker(queue, slow_graph([], 0), results=[output]).run(until_idle=True)

        assert await job.result(timeout=60) == {"results": [7]}


@pytest.mark.parametrize("kind", ["standard", "fifo"])
async def test_without_a_store_progress_travels_in_the_message(
    sqs_server: SQSServer, name: str, kind: str
) -> None:
    starts: list[str] = []
    between = collateral("between", int)
    first = neuron("first", {"between": between})
    second = neuron("second", {"output": output})
    over = asyncio.Event()

    @first.dendrite(request, max_duration=60)
    async def begin(left: int, axon: Any) -> Signal[int]:
        starts.append("first")
        signal: Signal[int] = axon.between.create_signal(left)
        return signal

    @second.dendrite(between, max_duration=60)
    async def end(left: int, axon: Any) -> None:
        starts.append("second")
        if starts.count("second") == 1:
            raise ConnectionError("not yet")
        over.set()

    url = sqs_server.url(f"fifo={'true' if kind == 'fifo' else 'false'}")
    async with Queue(name, url) as queue:
        await queue.enqueue(request.create_signal(7), max_attempts=2)
        worker = Worker(queue, CNS([first, second]), durability="exit")
        running = asyncio.ensure_future(worker.run())
        await asyncio.wait_for(over.wait(), 60)
        worker.stop()
        await running
    assert starts == ["first", "second", "second"]
