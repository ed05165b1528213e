"""Brokers of messages: what deaths and copies leave, and what is refused."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any, cast
from uuid import uuid4

import pytest

from cnstra import Queue, Worker
from cnstra.durable.store import Patch, Ticket
from cnstra.engine.payloads import decode_json, encode_json
from cnstra.errors import (
    BrokerUnavailable,
    InvalidOption,
    LeaseLost,
    MessageTooLarge,
    StoreRequired,
)
from cnstra.jobs.broker import JobRecord, NewJob
from cnstra.jobs.messages import SENDING, MessageBroker
from cnstra.jobs.settlement import (
    Completed,
    DeadLettered,
    Delivery,
    Lost,
    Requeued,
    Retry,
    Settlement,
)
from cnstra.jobs.transport import Incoming, Judge, Outgoing
from tests import mail
from tests.durables import PATIENCE, Story, entry, output, until, working
from tests.manual_clock import ManualClock
from tests.mortals import Death, Life, Mortal

ERROR = {"message": "no", "name": "ValueError", "stack": "Traceback ..."}
RESULT = b'{"results":[]}'
LEASE, LONG = 30.0, 1800.0
KINDS = {
    "in place": f"?longest_lease={LONG}",
    "copies": f"?put_back=no&delay=100&longest_lease={LONG}",
}
AS_ON_RABBITMQ = f"?put_back=now&delay=100&longest_lease={LONG}"


class World:
    """A queue that outlives the processes that use it."""

    def __init__(self, options: str = "") -> None:
        self.clock = ManualClock()
        self.url = f"mail://{uuid4().hex}{options}"
        self.store = mail.store(self.url, self.clock)

    @property
    def boxes(self) -> mail.Boxes:
        return mail.boxes_of(self.url, "q")

    async def process(self, life: Life | None = None, *, has_store: bool = True) -> "Process":
        life = life or Life(10**9, makes_last=True)
        transport = mail.transport("q", self.url, self.clock)
        store: Any = Mortal(self.store, life) if has_store else None
        broker = MessageBroker(Mortal(transport, life), "q", self.clock, 10**6, store)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
        await broker.open()
        return Process(self, broker, store)


class Process:
    """What producers, workers and people do, in one process."""

    def __init__(self, world: World, broker: MessageBroker, store: Any) -> None:
        self.world = world
        self.broker = broker
        self.store = store

    async def enqueue(self, job_id: str = "j", **options: Any) -> bool:
        run = f"run of {job_id}"
        job = NewJob(job_id, b'{"signal":{"a":1},"cnstra":{"run":"r"}}', run, 3, **options)
        return (await self.broker.enqueue([job]))[0]

    async def take(self) -> Delivery | None:
        found = await self.broker.receive(1, lease=LEASE, wait=0.0, rate=None)
        return found[0] if found else None

    async def need(self) -> Delivery:
        found = await self.take()
        assert found is not None
        return found

    async def settle(self, delivery: Delivery, settlement: Settlement) -> None:
        """As a worker does: the run's last write first."""
        if isinstance(settlement, Completed):
            saved = await self.store.load(delivery.run)
            if saved.result is None:
                ticket = Ticket(delivery.run, saved.epoch, saved.seq + 1)
                await self.store.finish(ticket, settlement.result, None)
        await self.broker.settle(delivery, settlement, None)

    async def record(self, job_id: str = "j") -> JobRecord:
        found = await self.broker.get(job_id)
        assert found is not None
        return found


Life_of = Callable[[Process, ManualClock], Awaitable[None]]


async def completed(process: Process, clock: ManualClock) -> None:
    await process.enqueue()
    await process.settle(await process.need(), Completed(RESULT))


async def retried(process: Process, clock: ManualClock) -> None:
    await process.enqueue()
    await process.settle(await process.need(), Retry(250.0, None, ERROR))
    for _ in range(4):  # a copy that can be held back for 100 s alone is sent again on the way
        await clock.advance(70.0)
        again = await process.take()
    assert again is not None
    assert again.attempts_made == 1
    await process.settle(again, Completed(RESULT))


async def requeued(process: Process, clock: ManualClock) -> None:
    await process.enqueue()
    await process.settle(await process.need(), Requeued(None))
    await process.settle(await process.need(), Completed(RESULT))


async def delayed(process: Process, clock: ManualClock) -> None:
    await process.enqueue(run_at=clock.time() + 150.0)
    await clock.advance(101.0)
    assert await process.take() is None
    await clock.advance(51.0)
    await process.settle(await process.need(), Completed(RESULT))


async def redriven(process: Process, clock: ManualClock) -> None:
    await process.enqueue()
    await process.settle(await process.need(), DeadLettered(ERROR, None))
    assert await process.broker.redrive("j")
    await process.settle(await process.need(), Completed(RESULT))


async def cancelled_and_redriven(process: Process, clock: ManualClock) -> None:
    await process.enqueue()
    assert await process.broker.cancel("j")
    assert await process.take() is None
    assert await process.broker.redrive("j")
    await process.settle(await process.need(), Completed(RESULT))


async def handed_over(process: Process, clock: ManualClock) -> None:
    await process.enqueue()
    long = await process.need()
    await process.broker.hand_over(long, LEASE)
    await clock.advance(20.0)
    assert await process.broker.renew([long], LEASE) == ["kept"]
    await clock.advance(20.0)
    assert await process.take() is None, "its guard waits as long as the store's lease is renewed"
    await process.settle(long, Completed(RESULT))


async def doubled(process: Process, clock: ManualClock) -> None:
    await process.enqueue()
    held = await process.need()
    _double(process.world)
    for _ in range(5):
        assert await process.broker.renew([held], LEASE) == ["kept"]
        assert await process.take() is None, "a copy waits as long as the lease is renewed"
        await clock.advance(LEASE / 3)
    await process.settle(held, Completed(RESULT))


def _double(world: World) -> None:
    """Have the broker deliver its first message once more."""
    first = world.boxes.letters[0]
    world.boxes.letters.append(mail.Letter(first.body, first.id, first.sent_at, 0.0))


LIVES = [
    completed,
    retried,
    requeued,
    delayed,
    redriven,
    cancelled_and_redriven,
    handed_over,
    doubled,
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("makes_last", [False, True])
@pytest.mark.parametrize("life_of", LIVES)
async def test_a_death_between_any_two_calls_loses_nothing_and_leaves_nothing(
    life_of: Life_of, kind: str, makes_last: bool
) -> None:
    calls = 0
    while True:
        calls += 1
        world = World(KINDS[kind])
        process = await world.process(Life(calls, makes_last=makes_last))
        try:
            await life_of(process, world.clock)
        except Death:
            await _see_through(world)
        else:
            await _see_through(world)
            break
    assert calls > 5


async def _see_through(world: World) -> None:
    """Another process comes, and whoever enqueued without an answer asks again."""
    process = await world.process()
    await world.clock.advance(SENDING)
    await process.enqueue()
    for _ in range(12):
        await world.clock.advance(60.0)
        if (await process.record()).state == "dead":
            assert await process.broker.redrive("j")
        while (delivery := await process.take()) is not None:
            await process.settle(delivery, Completed(RESULT))
    record = await process.record()
    assert (record.state, record.result) == ("completed", RESULT)
    assert world.boxes.letters == [], "no copy stays behind"
    assert await process.broker.jobs("dead") == []


async def test_a_guard_takes_over_from_a_holder_that_died() -> None:
    world = World(KINDS["copies"])
    process = await world.process()
    await process.enqueue()
    long = await process.need()
    await process.broker.hand_over(long, LEASE)
    assert (await process.record()).state == "active"
    other = await world.process()
    await world.clock.advance(LEASE + 1)

    taken = await other.need()

    assert taken.job_id == "j"
    assert await process.broker.renew([long], LEASE) == ["lost"]
    await other.settle(taken, Completed(RESULT))
    assert world.boxes.letters == []


@pytest.mark.parametrize("kind", KINDS)
async def test_a_copy_of_a_job_does_no_harm(kind: str) -> None:
    """Delivered twice, out of order, and after its end."""
    world = World(KINDS[kind])
    process = await world.process()
    await process.enqueue()
    first = world.boxes.letters[0]
    copy = mail.Letter(first.body, first.id, first.sent_at, first.due_at)
    await process.settle(await process.need(), Retry(10.0, None, ERROR))
    await world.clock.advance(11.0)
    again = await process.need()
    world.boxes.letters.insert(0, copy)
    if kind == "copies":
        assert await process.take() is None, "it was outgrown"
    await process.settle(again, Completed(RESULT))
    late = mail.Letter(first.body, first.id, first.sent_at, 0.0)
    world.boxes.letters.append(late)
    assert await process.take() is None
    assert await process.take() is None
    assert world.boxes.letters == []


@pytest.mark.parametrize("kind", KINDS)
async def test_a_copy_takes_over_from_a_worker_that_died_once_its_lease_has_passed(
    kind: str,
) -> None:
    world = World(KINDS[kind])
    dead, other = await world.process(), await world.process()
    await dead.enqueue()
    held = await dead.need()
    await world.clock.advance(LEASE / 3)
    assert await dead.broker.renew([held], LEASE) == ["kept"]
    _double(world)
    assert await other.take() is None
    await world.clock.advance(LEASE - 1)
    assert await other.take() is None, "its worker may live"

    await world.clock.advance(1)

    taken = await other.need()
    await other.settle(taken, Completed(RESULT))
    await world.clock.advance(LEASE)
    assert await other.take() is None
    assert world.boxes.letters == []


class Slow:
    """A store that lets others go first at each call, and longer at each write."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        async def call(*given: Any) -> Any:
            for _ in range(4 if name == "commit" else 1):
                await asyncio.sleep(0)
            return await getattr(self._inner, name)(*given)

        return call


@pytest.mark.parametrize("head_start", range(-2, 8))
async def test_a_renewal_under_way_holds_up_no_job_that_is_given_back(head_start: int) -> None:
    world = World()
    world.store = cast(Any, Slow(world.store))
    process = await world.process()
    await process.enqueue()
    held = await process.need()

    async def after(turns: int, then: Awaitable[Any]) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        await then

    await asyncio.gather(
        after(-head_start, process.broker.renew([held], LEASE)),
        after(head_start, process.settle(held, Requeued(None))),
    )
    assert (await process.need()).job_id == "j"


async def test_a_job_that_was_lost_comes_back_after_a_lease() -> None:
    """Whoever has it now shall end it in peace."""
    world = World(KINDS["in place"])
    process = await world.process()
    await process.enqueue()
    await process.settle(await process.need(), Lost())
    assert await process.take() is None
    await world.clock.advance(LEASE)
    assert await process.take() is not None


@pytest.mark.parametrize("has_store", [False, True])
async def test_a_message_that_was_lost_with_its_connection_is_not_sent_again(
    has_store: bool,
) -> None:
    """The broker has put it back itself: without a store, a copy would be a second job."""
    world = World(AS_ON_RABBITMQ)
    process = await world.process(has_store=has_store)
    job = NewJob("run", b'{"signal":{"a":1},"cnstra":{"run":"run"}}', "run", 3)
    await process.broker.enqueue([job])
    held = await process.need()
    letter = world.boxes.letters[0]
    letter.token, letter.due_at = "", 0.0

    await process.broker.settle(held, Lost(), None)

    assert world.boxes.letters == [letter]
    assert (await process.need()).job_id == "run"


@pytest.mark.parametrize(
    "settlement",
    [
        Retry(0.0, None, {"message": "boom"}),
        Requeued(None),
        DeadLettered({"message": "boom"}, None),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
async def test_without_a_store_what_was_lost_is_no_more_put_in_another_place(
    kind: str, settlement: Settlement
) -> None:
    """The broker has put it back itself, so that what is sent would be a second job."""
    world = World(KINDS[kind])
    process = await world.process(has_store=False)
    job = NewJob("run", b'{"signal":{"a":1},"cnstra":{"run":"run"}}', "run", 3)
    await process.broker.enqueue([job])
    held = await process.need()
    letter = world.boxes.letters[0]
    letter.token, letter.due_at = "", 0.0

    with pytest.raises(LeaseLost):
        await process.broker.settle(held, settlement, None)
    await process.broker.settle(held, Lost(), None)

    assert (world.boxes.letters, world.boxes.dead) == ([letter], [])
    assert (await process.need()).job_id == "run"


@pytest.mark.parametrize(("has_store", "comes_back_after"), [(False, 0.0), (True, LEASE)])
async def test_a_message_that_is_ours_still_is_there_again_for_others(
    has_store: bool, comes_back_after: float
) -> None:
    world = World(AS_ON_RABBITMQ)
    process = await world.process(has_store=has_store)
    job = NewJob("run", b'{"signal":{"a":1},"cnstra":{"run":"run"}}', "run", 3)
    await process.broker.enqueue([job])

    await process.broker.settle(await process.need(), Lost(), None)

    assert [one.due_at - world.clock.time() for one in world.boxes.letters] == [comes_back_after]


async def test_a_settlement_needs_the_job_in_hand() -> None:
    world = World()
    process = await world.process()
    await process.enqueue()
    delivery = await process.need()
    await process.settle(delivery, Completed(RESULT))
    with pytest.raises(LeaseLost):
        await process.broker.settle(delivery, Requeued(None), None)


# --- messages of others


@pytest.mark.parametrize("body", [b"\xff\xfe", b"[1]", b'"text"', b"", b'{"cnstra": 7}'])
async def test_what_is_no_job_of_ours_is_delivered_whole_and_dead_lettered_whole(
    body: bytes,
) -> None:
    world = World()
    process = await world.process()
    world.boxes.letters.append(mail.Letter(body, "foreign", 5.0, 0.0))
    delivery = await process.need()
    assert (delivery.job_id, delivery.data, delivery.max_attempts) == ("foreign", body, 1)
    await process.settle(delivery, DeadLettered(ERROR, None))
    (dead,) = await process.broker.jobs("dead")
    assert (dead.id, dead.data, dead.error) == ("foreign", body, ERROR)
    assert await process.broker.redrive("foreign")
    assert (await process.need()).data == body


async def test_a_signal_of_others_is_a_job() -> None:
    world = World()
    process = await world.process()
    body = encode_json({"signal": {"collateralName": "entry", "payload": 1}})
    world.boxes.letters.append(mail.Letter(body, "m-1", 5.0, 0.0))
    delivery = await process.need()
    assert (delivery.job_id, delivery.data, delivery.run) == ("m-1", body, "q/m-1/5.000")
    assert (await process.record("m-1")).state == "waiting"


# --- without a store


@pytest.fixture
async def bare() -> AsyncIterator[Queue]:
    async with Queue("q", f"mail://{uuid4().hex}?store=no&max_body=6000") as queue:
        yield queue


async def test_without_a_store_the_message_carries_the_progress(bare: Queue) -> None:
    story = Story()
    story.fails("second", 1)
    ended = story.stands("third")
    await bare.enqueue(entry.create_signal(7), max_attempts=2)
    async with working(bare, story.chain(), results=[], durability="exit"):
        await asyncio.wait_for(ended.wait(), PATIENCE)
        story.opens("third")
    assert [name for name, _ in story.log] == ["first", "second", "second", "third"]


async def test_without_a_store_a_dead_letter_is_redriven_where_it_stood(bare: Queue) -> None:
    story = Story()
    story.fails("second", 1)
    job = await bare.enqueue(entry.create_signal(7))
    async with working(bare, story.chain(), results=[], durability="exit"):
        await until(lambda: _dead(bare))
        (dead,) = await bare.jobs("dead")
        assert (dead.id, dead.error and dead.error["name"]) == (job.id, "Broken")
        assert dead.progress is not None
        assert not await bare.redrive("unknown")
        assert await bare.redrive(job.id)
        await until(lambda: story.count("third"))
    assert story.count("first") == 1


async def _dead(queue: Queue) -> bool:
    return bool(await queue.jobs("dead"))


@pytest.mark.parametrize(
    ("ask", "what"),
    [
        (lambda queue: queue.enqueue(entry.create_signal(1), job_id="mine"), "job_id="),
        (lambda queue: queue.get("j"), "looking up a job"),
        (lambda queue: queue.cancel("j"), "cancelling a job"),
        (lambda queue: queue.remove("j"), "removing a job"),
        (lambda queue: queue.pause(), "pausing a queue"),
    ],
)
async def test_what_needs_a_store_says_so(bare: Queue, ask: Any, what: str) -> None:
    with pytest.raises(StoreRequired, match=what):
        await ask(bare)


async def test_a_worker_without_a_store_says_what_needs_one(bare: Queue) -> None:
    with pytest.raises(StoreRequired, match="durability='behind'"):
        Worker(bare, Story().chain())
    with pytest.raises(StoreRequired, match="results="):
        Worker(bare, Story().chain(), durability="exit", results=[output])


async def test_a_job_too_large_for_a_message_is_refused_and_others_go_on(bare: Queue) -> None:
    with pytest.raises(MessageTooLarge, match="a message of mail holds 6000: give the queue"):
        await bare.enqueue(entry.create_signal("x" * 6000))  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


async def test_a_progress_too_large_for_a_message_is_dead_lettered_with_the_reason() -> None:
    async with Queue("q", f"mail://{uuid4().hex}?store=no&max_body=3000") as queue:
        story = Story()
        story.fails("leaf", 100)
        await queue.enqueue(entry.create_signal(1), max_attempts=3)
        async with working(queue, story.bush(50), results=[], durability="exit"):
            await until(lambda: _dead(queue))
        (dead,) = await queue.jobs("dead")
        assert dead.error is not None
        assert dead.error["name"] == "MessageTooLarge"


@pytest.mark.parametrize("size", [2950, 3000])
async def test_a_body_of_others_too_large_to_be_told_of_is_dead_lettered_as_it_came(
    size: int,
) -> None:
    url = f"mail://{uuid4().hex}?store=no&max_body=3000"
    boxes, body = mail.boxes_of(url, "q"), b"\xff" * size
    boxes.letters.append(mail.Letter(body, "foreign", 5.0, 0.0))
    async with Queue("q", url) as queue:
        async with working(queue, Story().chain(), results=[], durability="exit"):
            await until(lambda: boxes.dead)
        assert boxes.dead == [body]
        assert boxes.letters == []


async def test_a_letter_that_the_server_does_not_take_is_dead_as_it_came() -> None:
    """Given a server that takes less than its client thinks."""
    world = World("?takes=2000")
    process = await world.process()
    for job_id in "ab":
        await process.enqueue(job_id)
    first, second = await process.broker.receive(2, lease=LEASE, wait=0.0, rate=None)

    await process.settle(first, DeadLettered({**ERROR, "stack": "frame " * 900}, None))
    await process.settle(second, Completed(RESULT))

    (dead,) = await process.broker.jobs("dead")
    assert dead.id == first.job_id
    assert (await process.record(dead.id)).error == {**ERROR, "stack": "frame " * 900}
    assert world.boxes.letters == []


async def test_a_message_that_cannot_be_buried_holds_up_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    process = await world.process()
    for job_id in "ab":
        await process.enqueue(job_id)
    turns = process.broker._turns
    job_of = turns.job_of

    async def unreadable(message: Any, incoming: Incoming) -> Any:
        if message.header.id == "a":
            raise ValueError("no record")
        return await job_of(message, incoming)

    async def away(self: Any, message: Incoming, body: bytes) -> None:
        raise BrokerUnavailable(url="mail:", reason="cut")

    monkeypatch.setattr(turns, "job_of", unreadable)
    monkeypatch.setattr(mail.MemoryTransport, "bury", away)

    found = await process.broker.receive(2, lease=LEASE, wait=0.0, rate=None)

    assert [one.job_id for one in found] == ["b"]


# --- what is too large, kept in the store


async def test_a_job_too_large_for_a_message_is_kept_in_the_store() -> None:
    world = World("?max_body=4000")
    process = await world.process()
    data = encode_json({"signal": {"collateralName": "entry", "payload": "x" * 9000}})
    await process.broker.enqueue([NewJob("j", data, "r")])
    assert len(world.boxes.letters[0].body) < 1000
    delivery = await process.need()
    assert decode_json(delivery.data) == decode_json(data)
    error = {**ERROR, "stack": "frame " * 9000}
    await process.settle(delivery, DeadLettered(error, None))
    (dead,) = await process.broker.jobs("dead")
    assert dead.error is not None
    assert dead.error["message"] == "no"
    assert (await process.record()).error == error, "the record has all of it"


# --- people


async def test_a_removed_job_is_dropped_when_its_message_comes() -> None:
    world = World()
    process = await world.process()
    await process.enqueue()
    assert await process.broker.remove("j")
    assert not await process.broker.remove("j")
    assert await process.broker.get("j") is None
    assert await process.take() is None
    assert world.boxes.letters == []


@pytest.mark.parametrize("makes_last", [False, True])
async def test_a_death_while_a_job_is_removed_leaves_a_job_or_nothing(makes_last: bool) -> None:
    for calls in range(1, 30):
        world = World()
        process = await world.process()
        await process.enqueue()
        delivery = await process.need()
        saved = await world.store.load(delivery.run)
        progress = Patch({"m": b"{}"}, release=True)
        await world.store.commit(Ticket(delivery.run, saved.epoch, saved.seq + 1), progress)
        await process.settle(delivery, DeadLettered(ERROR, None))
        dying = await world.process(Life(calls, makes_last=makes_last))
        with contextlib.suppress(Death):
            await dying.broker.remove("j")
            break

        if await process.broker.get("j") is not None:
            assert await process.broker.remove("j")
        assert await process.broker.get("j") is None
        assert await process.broker.jobs("dead") == []
        assert world.boxes.dead == []
        assert await world.store.peek("run of j") is None
    assert calls > 3


async def test_a_job_whose_redrive_died_once_it_was_sent_is_redriven() -> None:
    """The newer message is proof enough, though the record still calls the job dead."""
    world = World()
    process = await world.process()
    await process.enqueue()
    await process.settle(await process.need(), DeadLettered(ERROR, None))
    calls = 0
    while not world.boxes.letters:
        calls += 1
        dying = await world.process(Life(calls, makes_last=True))
        with contextlib.suppress(Death):
            await dying.broker.redrive("j")
    assert (await process.record()).state == "dead"

    delivery = await process.need()

    assert delivery.attempts_made == 0
    record = await process.record()
    assert (record.state, record.error) == ("waiting", None)


async def test_a_leftover_of_a_job_that_was_redriven_is_swept_out() -> None:
    world = World()
    process = await world.process()
    await process.enqueue()
    await process.settle(await process.need(), DeadLettered(ERROR, None))
    letter = world.boxes.dead[0]
    assert await process.broker.redrive("j")
    world.boxes.dead.append(letter)

    assert await process.broker.jobs("dead") == []
    assert world.boxes.dead == []


@pytest.fixture
def sifting(monkeypatch: pytest.MonkeyPatch) -> Iterator[asyncio.Event]:
    """Nobody can look through dead letters until this is set, or the test is over."""
    is_free = asyncio.Event()
    sift = mail.MemoryTransport.sift

    async def sift_late(transport: mail.MemoryTransport, judge: Judge) -> None:
        await is_free.wait()
        await sift(transport, judge)

    monkeypatch.setattr(mail.MemoryTransport, "sift", sift_late)
    yield is_free
    is_free.set()


async def test_one_pass_sweeps_out_the_letters_of_all_that_were_redriven_meanwhile(
    sifting: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World()
    process = await world.process()
    ids = [f"j{number}" for number in range(20)]
    for each in ids:
        await process.enqueue(each)
        await process.settle(await process.need(), DeadLettered(ERROR, None))
    passes, sift = list[Judge](), mail.MemoryTransport.sift

    async def count_and_sift(transport: mail.MemoryTransport, judge: Judge) -> None:
        passes.append(judge)
        await sift(transport, judge)

    monkeypatch.setattr(mail.MemoryTransport, "sift", count_and_sift)

    async with asyncio.timeout(PATIENCE):
        assert all([await process.broker.redrive(each) for each in ids])
    sifting.set()

    assert (await process.broker.counts())["dead"] == 0
    assert len(passes) == 2


async def test_a_job_that_dies_again_before_its_letter_is_swept_out_keeps_the_new_one(
    sifting: asyncio.Event,
) -> None:
    world = World()
    process = await world.process()
    await process.enqueue()
    await process.settle(await process.need(), DeadLettered(ERROR, None))
    old = world.boxes.dead[0]
    async with asyncio.timeout(PATIENCE):
        assert await process.broker.redrive("j")
    again = {**ERROR, "message": "again"}
    await process.settle(await process.need(), DeadLettered(again, None))
    sifting.set()

    assert (await process.broker.counts())["dead"] == 1
    world.boxes.dead.append(old)  # as a death before the sweep would have left it
    (dead,) = await process.broker.jobs("dead")
    assert dead.error is not None
    assert dead.error["message"] == "again"
    assert len(world.boxes.dead) == 1


async def test_a_broker_that_is_away_when_letters_are_swept_out_leaves_them_to_whoever_lists(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    process = await world.process()
    await process.enqueue()
    await process.settle(await process.need(), DeadLettered(ERROR, None))
    with monkeypatch.context() as patched:

        async def be_away(*_: object) -> None:
            raise BrokerUnavailable(url="mail://", reason="away")

        patched.setattr(mail.MemoryTransport, "sift", be_away)
        assert await process.broker.redrive("j")
        assert (await process.broker.counts())["dead"] == 1

    assert await process.broker.jobs("dead") == []
    assert world.boxes.dead == []


async def test_a_job_that_died_again_before_its_redrive_was_written_down_stays_dead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever redrives sends first: a worker may have ended the job by then."""
    world = World()
    process, worker = await world.process(), await world.process()
    await process.enqueue()
    await process.settle(await process.need(), DeadLettered(ERROR, None))
    send = mail.MemoryTransport.send

    async def send_and_run(transport: mail.MemoryTransport, messages: Sequence[Outgoing]) -> None:
        await send(transport, messages)
        await worker.settle(await worker.need(), DeadLettered(ERROR, None))

    with monkeypatch.context() as patched:
        patched.setattr(mail.MemoryTransport, "send", send_and_run)
        assert await process.broker.redrive("j")

    assert (await process.record()).state == "dead"
    assert [one.id for one in await process.broker.jobs("dead")] == ["j"]
    assert await process.broker.redrive("j")
    assert (await process.need()).job_id == "j"


async def test_the_worker_of_a_cancelled_job_hears_of_it() -> None:
    world = World()
    process = await world.process()
    await process.enqueue()
    delivery = await process.need()
    await world.store.load(delivery.run)
    assert await process.broker.cancel("j")
    assert await process.broker.renew([delivery], LEASE) == ["cancelled"]
    await process.settle(delivery, DeadLettered(ERROR, None))
    assert (await process.record()).state == "dead"


async def test_an_order_is_kept_only_where_a_broker_can() -> None:
    async with Queue("q", f"mail://{uuid4().hex}") as queue:
        with pytest.raises(InvalidOption, match="keeps no order by key"):
            await queue.enqueue(entry.create_signal(1), ordering_key="user 1")


class Refusing:
    """What the broker does with messages: nothing, or it takes them and its answer is lost."""

    def __init__(self, queue: Queue, *, takes: bool) -> None:
        self._transport = cast(Any, queue.broker)._transport
        self._send = self._transport.send
        self._takes = takes
        self._transport.send = self.send

    async def send(self, messages: Any) -> None:
        if self._takes:
            await self._send(messages)
        raise BrokerUnavailable(url="mail://", reason="no answer")

    def ends(self) -> None:
        self._transport.send = self._send


@pytest.mark.parametrize("takes", [False, True])
async def test_an_enqueue_that_is_refused_leaves_no_record(takes: bool) -> None:
    """If its message has arrived all the same, the job runs, and is known from then on."""
    story = Story()
    async with Queue("q", f"mail://{uuid4().hex}") as queue:
        job = queue.prepare(entry.create_signal(7))
        refusing = Refusing(queue, takes=takes)
        with pytest.raises(BrokerUnavailable):
            await queue.add([job])
        assert await queue.get(job.id) is None

        refusing.ends()
        worker = Worker(queue, story.chain(), results=[output])
        await asyncio.wait_for(worker.run(until_idle=True), PATIENCE)
        record = await queue.record(job.id)
    assert (record is not None, story.count("third")) == (takes, int(takes))


@pytest.mark.parametrize("takes", [False, True])
@pytest.mark.parametrize("large", [False, True])
async def test_a_job_that_was_refused_is_added_again_and_runs_once(
    takes: bool, large: bool
) -> None:
    """Whoever prepared it tries again, with the same job. Data that no message holds stays."""
    story = Story()
    async with Queue("q", f"mail://{uuid4().hex}" + "?max_body=155" * large) as queue:
        job = queue.prepare(entry.create_signal(7))
        refusing = Refusing(queue, takes=takes)
        with pytest.raises(BrokerUnavailable):
            await queue.add([job])
        refusing.ends()
        assert (await queue.get(job.id) is not None) == large

        (added,) = await queue.add([job])
        worker = Worker(queue, story.chain(), results=[output])
        await asyncio.wait_for(worker.run(until_idle=True), PATIENCE)
        assert await added.result(timeout=PATIENCE) == {"results": [7]}
        await queue.add([job])
        await asyncio.wait_for(worker.run(until_idle=True), PATIENCE)
    assert story.count("third") == 1


async def test_a_job_whose_producer_died_before_it_was_sent_is_sent_by_who_adds_it_again() -> None:
    job = NewJob("minted", b'{"signal":{"a":1}}', "minted")
    steps, died = 0, True
    while died:
        steps += 1
        for makes_last in (False, True):
            world = World()
            process = await world.process(Life(steps, makes_last=makes_last))
            died = False
            try:
                await process.broker.enqueue([job])
            except Death:
                died = True
            heir = await world.process()
            await heir.broker.enqueue([job])
            await heir.settle(await heir.need(), Completed(RESULT))
            assert await heir.take() is None
            await heir.broker.enqueue([job])
            assert await heir.take() is None, "it is over"
            assert (await heir.record("minted")).state == "completed"
    assert steps > 2


async def test_a_job_that_a_worker_has_begun_is_not_dropped() -> None:
    """Given an answer that comes when the job is under way, and is an error."""
    story = Story()
    entered = story.stands("second")
    async with Queue("q", f"mail://{uuid4().hex}") as queue:
        transport = cast(Any, queue.broker)._transport
        send, loop = transport.send, asyncio.get_running_loop()

        async def send_and_fail(messages: Any) -> None:
            transport.send = send
            await send(messages)
            waited = asyncio.run_coroutine_threadsafe(entered.wait(), loop)  # type: ignore[arg-type]
            await asyncio.wrap_future(waited)
            raise BrokerUnavailable(url="mail://", reason="no answer")

        job = queue.prepare(entry.create_signal(7))
        async with working(queue, story.chain()):
            transport.send = send_and_fail
            with pytest.raises(BrokerUnavailable):
                await queue.add([job])
            assert await queue.get(job.id) is not None
            story.opens("second")
            await until(lambda: story.count("third"))
    assert story.count("second") == 1
