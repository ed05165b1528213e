"""What `MessageBroker` relies on, asked of each broker of messages on a real server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from importlib import import_module
from pathlib import Path
from time import monotonic, time

import pytest

from cnstra.errors import BrokerUnavailable
from cnstra.jobs.transport import Incoming, Outgoing, Transport
from tests import transports
from tests.transports.rig import Rig

LEASE = 30.0
LONG = 20.0
"""Seconds that only a transport which never delivers needs."""
SHORT = 0.3
"""Seconds in which nothing comes."""

RIGS = sorted(path.stem for path in Path(transports.__path__[0]).glob("*.py"))
RIGS = [name for name in RIGS if name not in ("rig", "__init__")]

Opener = Callable[[], Awaitable[Transport]]


@pytest.fixture(params=RIGS)
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rig]:
    module = import_module(f"tests.transports.{request.param}")
    made: Rig = module.rig(tmp_path)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
def opened(rig: Rig) -> Opener:
    async def open_another() -> Transport:
        transport = await rig.transport()
        await transport.open()
        return transport

    return open_another


@pytest.fixture
async def transport(opened: Opener) -> Transport:
    return await opened()


async def send(transport: Transport, *bodies: bytes, delay: float = 0.0) -> None:
    await transport.send([Outgoing(each, each.decode(), delay=delay) for each in bodies])


async def take(transport: Transport, limit: int = 1, *, wait: float = LONG) -> list[Incoming]:
    return list(await transport.take(limit, lease=LEASE, wait=wait))


async def take_one(transport: Transport) -> Incoming:
    (message,) = await take(transport)
    return message


async def take_all(transport: Transport, count: int) -> list[Incoming]:
    taken: list[Incoming] = []
    ends_at = monotonic() + LONG
    while len(taken) < count and monotonic() < ends_at:
        taken += await take(transport, count - len(taken), wait=1.0)
    return taken


def bodies(messages: Sequence[Incoming]) -> list[bytes]:
    return sorted(message.body for message in messages)


async def dead(transport: Transport) -> list[bytes]:
    """The dead letters, none of them removed."""
    seen: list[bytes] = []

    async def keep(body: bytes) -> bool:
        seen.append(body)
        return False

    await transport.sift(keep)
    return seen


async def until_it_answers(call: Callable[[], Awaitable[None]]) -> int:
    """Call until it does not raise `BrokerUnavailable`; how often it did."""
    refused = 0
    ends_at = monotonic() + LONG
    while True:
        try:
            await call()
        except BrokerUnavailable:
            refused += 1
            assert monotonic() < ends_at
            await asyncio.sleep(0.02)
        else:
            return refused


# --- there and back


async def test_what_is_sent_is_taken_and_gone_once_it_is_done(transport: Transport) -> None:
    before = time()
    await transport.send([Outgoing('{"a": "ä"}'.encode(), id="one")])

    message = await take_one(transport)
    await transport.done(message)

    assert (message.body, message.id) == ('{"a": "ä"}'.encode(), "one")
    assert message.sent_at == 0 or before - 2 < message.sent_at < time() + 2
    assert await take(transport, wait=SHORT) == []
    await transport.close()


async def test_what_is_done_does_not_come_back_to_another(
    transport: Transport, opened: Opener, rig: Rig
) -> None:
    await send(transport, b"1", b"2")
    for message in await take_all(transport, 2):
        await transport.done(message)
    await transport.close()

    assert await take(await opened(), wait=SHORT) == []


async def test_two_takers_share_what_there_is(transport: Transport, opened: Opener) -> None:
    other, sent = await opened(), [b"%03d" % number for number in range(100)]
    await send(transport, *sent)
    done: list[bytes] = []

    async def work(taker: Transport) -> None:
        while len(done) < len(sent):
            for message in await take(taker, 5, wait=0.1):
                done.append(message.body)
                await taker.done(message)

    await asyncio.wait_for(asyncio.gather(work(transport), work(other)), LONG)

    assert sorted(done) == sent


async def test_no_more_are_taken_than_asked_for(transport: Transport) -> None:
    await send(transport, b"1", b"2", b"3")

    first = await take(transport, 2)
    rest = await take_all(transport, 3 - len(first))

    assert 1 <= len(first) <= 2
    assert bodies([*first, *rest]) == [b"1", b"2", b"3"]


async def test_a_taker_waits_for_the_first_message(transport: Transport, opened: Opener) -> None:
    waiting = asyncio.ensure_future(take_one(transport))
    await asyncio.sleep(SHORT)

    await send(await opened(), b"late")

    assert (await waiting).body == b"late"


async def test_a_taker_that_does_not_wait_finds_what_is_there(transport: Transport) -> None:
    await send(transport, b"here")
    for _ in range(100):  # a broker of many servers may not find it at once
        if messages := await take(transport, wait=0.0):
            break

    assert bodies(messages) == [b"here"]
    assert await take(transport, wait=0.0) == []


async def test_a_taker_that_is_cancelled_takes_nothing(
    transport: Transport, opened: Opener
) -> None:
    leaving = asyncio.ensure_future(take(transport, 3))
    await asyncio.sleep(SHORT)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving

    await send(transport, b"1", b"2", b"3")

    assert bodies(await take_all(await opened(), 3)) == [b"1", b"2", b"3"]


@pytest.mark.parametrize(
    "name", ["ä € 猫", "a b", "with.dots*and>stars", "line\nbreak", "'quotes\"", "x" * 1000]
)
async def test_any_text_is_an_id(transport: Transport, name: str) -> None:
    await transport.send([Outgoing(b"1", id=name)])

    message = await take_one(transport)
    await transport.bury(message, b"dead")

    assert message.id == name
    assert await dead(transport) == [b"dead"]


async def test_a_large_body_arrives_whole(transport: Transport) -> None:
    largest = transport.limits.max_body
    size = 1_000_000 if largest is None else min(1_000_000, largest)
    body = b"x" * size
    await transport.send([Outgoing(body, id="large")])

    assert (await take_one(transport)).body == body


async def test_one_of_an_id_sent_twice_at_once_is_there_at_least(transport: Transport) -> None:
    await transport.send([Outgoing(b"1", id="same"), Outgoing(b"1", id="same")])

    assert (await take_one(transport)).id == "same"


async def test_messages_with_nothing_of_ours_have_an_id_that_stays(
    rig: Rig, transport: Transport, opened: Opener
) -> None:
    await rig.send_foreign(b"hello")
    await rig.send_foreign(b"hello")
    first = await take_all(transport, 2)
    await rig.die(transport)

    again = await take_all(await opened(), 2)

    assert bodies(first) == bodies(again) == [b"hello", b"hello"]
    assert len({message.id for message in first}) == 2
    assert {message.id for message in first} == {message.id for message in again}


# --- leases


async def test_what_is_held_stays_ours(transport: Transport, opened: Opener) -> None:
    await send(transport, b"1", b"2")
    held = await take_all(transport, 2)

    assert list(await transport.keep(held, LEASE)) == [True, True]
    assert await take(await opened(), wait=SHORT) == []


async def test_what_is_done_is_not_ours_any_more(transport: Transport) -> None:
    await send(transport, b"1", b"2")
    first, second = await take_all(transport, 2)
    await transport.done(first)

    assert (await transport.keep([second], LEASE))[0]
    await transport.done(first)
    assert (await transport.keep([second], LEASE))[0]


async def test_what_a_dead_process_held_comes_back(
    rig: Rig, transport: Transport, opened: Opener
) -> None:
    await send(transport, b"1")
    (first,) = await transport.take(1, lease=1.0, wait=LONG)
    await rig.die(transport)

    (again,) = await take(await opened(), wait=rig.comes_back_after)

    assert (again.id, again.body) == (first.id, first.body)


async def test_a_message_taken_over_is_lost_to_who_had_it(
    rig: Rig, transport: Transport, opened: Opener
) -> None:
    await send(transport, b"1")
    (lost,) = await transport.take(1, lease=1.0, wait=LONG)
    await rig.cut()
    other = await opened()
    await until_it_answers(lambda: send(other, b"2"))
    ours = await take_all(other, 2)
    assert bodies(ours) == [b"1", b"2"]

    assert list(await transport.keep([lost], LEASE)) == [False]
    await transport.done(lost)

    assert list(await other.keep(ours, LEASE)) == [True, True]


async def test_what_is_put_back_comes_again(transport: Transport, opened: Opener) -> None:
    longest = transport.limits.longest_put_back
    if longest is None:
        return
    await send(transport, b"1")
    message = await take_one(transport)

    await transport.put_back(message, min(longest, 1.0))
    await transport.put_back(message, 0.0)
    again = await take_one(await opened())

    assert (again.id, again.body) == (message.id, message.body)


async def test_what_a_closed_one_held_comes_back(transport: Transport, opened: Opener) -> None:
    if transport.limits.longest_put_back is None:
        return
    await send(transport, b"1")
    (message,) = await transport.take(1, lease=1.0, wait=LONG)

    await transport.close()
    await transport.close()

    assert (await take_one(await opened())).id == message.id


# --- later, sooner, in order


async def test_a_delayed_message_waits(transport: Transport) -> None:
    sent = monotonic()
    await transport.send([Outgoing(b"later", id="later", delay=1.0), Outgoing(b"now", id="now")])

    first = await take_one(transport)
    await transport.done(first)
    second = await take_one(transport)

    assert (first.body, second.body) == (b"now", b"later")
    assert monotonic() - sent > 0.95


async def test_a_long_wait_does_not_hold_up_a_short_one(transport: Transport) -> None:
    await send(transport, b"long", delay=min(60.0, transport.limits.longest_delay))
    await send(transport, b"short", delay=1.0)

    assert (await take_one(transport)).body == b"short"


async def test_a_larger_priority_comes_first(transport: Transport) -> None:
    if not transport.limits.priorities:
        return
    await transport.send([Outgoing(b"low", id="low"), Outgoing(b"high", id="high", priority=5)])

    assert (await take_one(transport)).body == b"high"


async def test_messages_of_one_key_come_one_after_the_other(
    transport: Transport, opened: Opener
) -> None:
    if not transport.limits.ordering:
        return
    other = await opened()
    for number in (b"1", b"2"):
        await transport.send([Outgoing(number, id=number.decode(), ordering_key="k")])

    first = await take_one(transport)
    meanwhile = await take(other, wait=SHORT)
    await transport.done(first)

    assert (first.body, bodies(meanwhile)) == (b"1", [])
    assert (await take_one(other)).body == b"2"


# --- dead letters


async def bury(transport: Transport, *bodies: bytes) -> None:
    for body in bodies:
        await send(transport, body)
        await transport.bury(await take_one(transport), body)


async def test_a_buried_message_is_a_dead_letter_and_no_message(
    transport: Transport, opened: Opener
) -> None:
    await send(transport, b"1")
    await transport.bury(await take_one(transport), b"why")
    other = await opened()

    assert await dead(other) == [b"why"]
    assert await take(other, wait=SHORT) == []


async def test_dead_letters_are_sifted_oldest_first_and_stay(
    transport: Transport, opened: Opener
) -> None:
    await bury(transport, b"1", b"2", b"3", b"4")
    seen: list[bytes] = []

    async def judge(body: bytes) -> bool:
        seen.append(body)
        return body in (b"1", b"3")

    await transport.sift(judge, limit=3)

    assert seen == [b"1", b"2", b"3"]
    assert await dead(await opened()) == [b"2", b"4"]
    assert await dead(transport) == [b"2", b"4"]


async def test_a_dead_letter_stays_if_its_judge_fails(transport: Transport) -> None:
    await bury(transport, b"1", b"2")

    async def fail(body: bytes) -> bool:
        if body == b"2":
            raise LookupError("no verdict")
        return True

    with pytest.raises(LookupError, match="no verdict"):
        await transport.sift(fail)

    assert await dead(transport) in ([b"2"], [b"1", b"2"])


async def test_dead_letters_can_be_sent_again_while_they_are_sifted(transport: Transport) -> None:
    await bury(transport, b"1", b"2")

    async def again(body: bytes) -> bool:
        await send(transport, body)
        return True

    await transport.sift(again)

    assert bodies(await take_all(transport, 2)) == [b"1", b"2"]
    assert await dead(transport) == []


async def test_sizes_are_told_as_far_as_known(transport: Transport) -> None:
    await send(transport, b"dead")
    await transport.bury(await take_one(transport), b"dead")
    await send(transport, b"1", b"2")
    await send(transport, b"later", delay=min(60.0, transport.limits.longest_delay))
    expected = {"waiting": 2, "delayed": 1, "active": 0, "dead": 1}
    ends_at = monotonic() + LONG
    while True:
        sizes = await transport.sizes()
        if all(expected[state] == count for state, count in sizes.items()):
            break
        assert monotonic() < ends_at, sizes
        await asyncio.sleep(0.05)

    assert {"waiting", "dead"} <= sizes.keys()


# --- a bad day


async def test_a_server_that_is_not_there_is_named_without_its_password(rig: Rig) -> None:
    transport = await rig.unreachable()

    with pytest.raises(BrokerUnavailable) as caught:
        await transport.open()
    with pytest.raises(BrokerUnavailable):
        await send(transport, b"1")

    assert "secret" not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)
    await transport.close()


async def test_many_may_open_a_new_queue_at_once(rig: Rig) -> None:
    transports = [await rig.transport() for _ in range(4)]

    await asyncio.gather(*(transport.open() for transport in transports))
    await send(transports[0], b"1")

    assert (await take_one(transports[3])).body == b"1"


async def test_a_cut_connection_loses_nothing(rig: Rig, transport: Transport) -> None:
    sent = [b"%03d" % number for number in range(60)]
    done: set[bytes] = set()

    async def produce() -> None:
        for number, body in enumerate(sent):
            if number % 15 == 10:
                await rig.cut()
            await until_it_answers(lambda body=body: send(transport, body))

    async def one() -> None:
        for message in await transport.take(3, lease=1.0, wait=0.1):
            done.add(message.body)
            await transport.done(message)

    async def consume() -> None:
        while len(done) < len(sent):
            await until_it_answers(one)

    await asyncio.wait_for(asyncio.gather(produce(), consume()), 3 * LONG)

    assert sorted(done) == sent


async def test_a_taker_that_waits_goes_on_after_a_cut(
    rig: Rig, transport: Transport, opened: Opener
) -> None:
    taken: list[Incoming] = []

    async def take_it() -> None:
        while not taken:
            taken.extend(await take(transport, wait=2.0))

    waiting = asyncio.ensure_future(until_it_answers(take_it))
    await asyncio.sleep(SHORT)
    await rig.cut()
    other = await opened()
    await until_it_answers(lambda: send(other, b"1"))

    await asyncio.wait_for(waiting, LONG)
    assert bodies(taken) == [b"1"]


async def test_dead_letters_survive_a_cut(rig: Rig, transport: Transport) -> None:
    await bury(transport, b"1", b"2")
    await rig.cut()
    found: list[bytes] = []

    async def look() -> None:
        found[:] = await dead(transport)

    await until_it_answers(look)

    assert found == [b"1", b"2"]
