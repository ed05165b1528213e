"""Jobs that are added in a transaction are sent after it, and rows go when their run is over."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from cnstra import CNS, Context, Queue, StimulationFailed, Worker, neuron
from cnstra.effects import Ledger, Transaction, outbox
from cnstra.errors import BrokerUnavailable, InvalidOption
from cnstra.jobs.broker import Broker, NewJob
from tests.durables import Broken, BrokerAround, TravellingClock, around, until
from tests.ledgers import Books, attempt, booked, mail, new_books, order

Ctx = Context[Any]
Tx = Transaction[Any]


@pytest.fixture(params=["sqlite", "psycopg-async"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Books]:
    schema = None if request.param == "sqlite" else request.getfixturevalue("postgres_schema")
    with new_books(request.param, tmp_path, schema) as found:
        yield found


@pytest.fixture
def clock() -> TravellingClock:
    return TravellingClock()


@pytest.fixture
def mails() -> Queue:
    return Queue("mails", f"memory://{uuid4().hex}")


class Away(BrokerAround):
    """A broker that is away, or refuses some jobs, when they are added."""

    def __init__(self, inner: Broker) -> None:
        super().__init__(inner)
        self.away = False
        self.refuses = ""
        self.added: list[str] = []

    async def enqueue(self, jobs: Any) -> Any:
        if self.away:
            raise BrokerUnavailable(url="test://", reason="a test took it away")
        if any(self.refuses and self.refuses in one.id for one in jobs):
            raise ValueError("no")
        self.added += [one.id for one in jobs]
        return await self.inner.enqueue(jobs)


def clerk(place: Books, ledger: Ledger[Any], mails: Queue, *, fails: bool = False) -> CNS:
    """A clerk who books an order, and has two mails sent."""

    def send(n: int, axon: Any, ctx: Ctx, tx: Tx) -> None:
        for each in (n, -n):
            tx.enqueue(mails, mail.create_signal(each), job_id=f"named-{n}" if each < 0 else None)
        if fails:
            raise Broken

    async def awaited(*arguments: Any) -> None:
        send(*arguments)

    return place.cns(ledger, awaited if place.awaited else send)


async def payloads(queue: Queue) -> list[str]:
    return sorted(one.id for one in await queue.jobs())


async def test_they_are_sent_once_the_transaction_is_committed(place: Books, mails: Queue) -> None:
    async with mails, place.open(queues=[mails]) as ledger:
        await attempt(clerk(place, ledger, mails), 1)
        assert await mails.jobs() == []

        assert await ledger.drain() == 2

        first, second = await payloads(mails)
        assert (first.endswith("-0"), second) == (True, "named-1")
        assert await ledger.drain() == 0


async def test_they_are_not_sent_if_it_is_rolled_back(place: Books, mails: Queue) -> None:
    async with mails, place.open(queues=[mails]) as ledger:
        with pytest.raises(StimulationFailed):
            await attempt(clerk(place, ledger, mails, fails=True), 1)

        assert await ledger.drain() == 0


async def test_an_attempt_that_finds_it_done_adds_none(place: Books, mails: Queue) -> None:
    async with mails, place.open(queues=[mails]) as ledger:
        for _ in range(2):
            await attempt(clerk(place, ledger, mails), 1)

        assert await ledger.drain() == 2


async def test_a_worker_sends_them(place: Books, mails: Queue) -> None:
    queue = Queue("q", f"memory://{uuid4().hex}")
    async with mails, queue, place.open(queues=[mails]) as ledger:
        await queue.enqueue(order.create_signal(1))
        worker = Worker(queue, clerk(place, ledger, mails))
        working = asyncio.ensure_future(worker.run())

        await until(lambda: _has(mails, 2))

        worker.stop()
        await working
    assert place.execute("SELECT * FROM cnstra_outbox") == []


async def _has(queue: Queue, count: int) -> bool:
    return len(await queue.jobs()) == count


async def test_what_a_dead_process_had_claimed_is_sent_again_as_the_same_jobs(
    place: Books, mails: Queue, clock: TravellingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dies after the broker has them and before that is written down."""

    def die(name: str, posts: Any) -> Any:
        raise KeyboardInterrupt(name)

    async with mails, place.open(queues=[mails], clock=clock) as ledger:
        await attempt(clerk(place, ledger, mails), 1)
        with monkeypatch.context() as death:
            death.setattr(outbox, "_each", die)
            with pytest.raises(KeyboardInterrupt):
                await ledger.outbox._drain_to(mails)  # pyright: ignore[reportPrivateUsage]
        runs = {one.run for one in await mails.jobs()}
        assert await ledger.drain() == 0

        clock.travel(outbox.CLAIM + 1)
        assert await ledger.drain() == 2

        assert {one.run for one in await mails.jobs()} == runs
        assert len(runs) == 2


async def test_a_broker_that_is_away_gets_them_later(place: Books, mails: Queue) -> None:
    broker = around(mails, Away)
    async with mails, place.open(queues=[mails]) as ledger:
        await attempt(clerk(place, ledger, mails), 1)
        broker.away = True
        with pytest.raises(BrokerUnavailable):
            await ledger.drain()

        broker.away = False
        assert await ledger.drain() == 2


async def test_one_that_is_refused_stays_and_holds_up_no_other(
    place: Books, mails: Queue, clock: TravellingClock, caplog: pytest.LogCaptureFixture
) -> None:
    broker = around(mails, Away)
    broker.refuses = "named-1"
    async with mails, place.open(queues=[mails], clock=clock) as ledger:
        await attempt(clerk(place, ledger, mails), 1)

        assert await ledger.drain() == 1

        assert "'named-1' stays in the outbox" in caplog.text
        broker.refuses = ""
        clock.travel(outbox.CLAIM + 1)
        assert await ledger.drain() == 1


async def test_a_queue_that_is_away_holds_up_no_other(place: Books, mails: Queue) -> None:
    other = Queue("other", f"memory://{uuid4().hex}")
    around(other, Away).away = True
    async with mails, other, place.open(queues=[other, mails]) as ledger:
        await attempt(clerk(place, ledger, other), 1)
        await attempt(clerk(place, ledger, mails), 2, key="other")

        with pytest.raises(BrokerUnavailable):
            await ledger.drain()

        assert len(await mails.jobs()) == 2


async def test_a_queue_must_be_known_to_the_ledger(place: Books, mails: Queue) -> None:
    """Or nobody could send what a dead process has left."""
    async with mails, place.open() as ledger:
        with pytest.raises(StimulationFailed) as caught:
            await attempt(clerk(place, ledger, mails), 1)

    assert isinstance(caught.value.failed_tasks[0].error, InvalidOption)
    assert place.rows() == []


async def test_a_large_batch_is_sent_whole_and_in_order(tmp_path: Path, mails: Queue) -> None:
    place = Books("sqlite", tmp_path, None)

    def send(n: int, axon: Any, ctx: Ctx, tx: Tx) -> None:
        for each in range(250):
            tx.enqueue(mails, mail.create_signal(each))

    broker = around(mails, Away)
    async with mails, place.open(queues=[mails]) as ledger:
        await attempt(place.cns(ledger, send), 1)

        assert await ledger.drain() == 250

    positions = [int(one.rpartition("-")[2]) for one in broker.added]
    assert positions == list(range(250))


async def test_a_prepared_job_added_twice_is_one_job(mails: Queue) -> None:
    async with mails:
        job: NewJob = mails.prepare(mail.create_signal(1), job_id="one", max_attempts=3)

        added = [await mails.add([job]) for _ in range(2)]

        assert [one.new for (one,) in added] == [True, False]
        (record,) = await mails.jobs()
        assert (record.run, record.max_attempts) == (job.run, 3)


# --- the end of the rows


async def test_rows_outlive_their_run_by_a_while(place: Books, clock: TravellingClock) -> None:
    """A copy of the worker may have slept through its end."""
    async with Queue("q", f"memory://{uuid4().hex}") as queue:
        for number in (1, 2):
            async with place.open(keep=60, clock=clock) as ledger:
                await queue.enqueue(order.create_signal(number))
                await Worker(queue, place.cns(ledger)).run(until_idle=True)
            clock.travel(31)
        assert [ended_at is not None for (ended_at,) in place.entries("ended_at")] == [True, True]

        async with place.open(keep=60, clock=clock) as ledger:
            worker = Worker(queue, place.cns(ledger))
            working = asyncio.ensure_future(worker.run())
            await until(lambda: len(place.entries()) < 2)
            worker.stop()
            await working
        assert (len(place.entries()), len(place.rows())) == (1, 2)


async def test_rows_of_a_job_in_the_dead_letters_are_kept_for_its_redrive(
    place: Books,
) -> None:
    later = neuron("later", {})
    breaks = True

    @later.dendrite(booked)
    def on_booked(n: int) -> None:
        if breaks:
            raise Broken

    async with place.open(keep=0) as ledger, Queue("q", f"memory://{uuid4().hex}") as queue:
        cns = place.cns(ledger)
        whole = CNS([*cns.network.neurons.values(), later], resources=_given(cns))
        job = await queue.enqueue(order.create_signal(1))
        await Worker(queue, whole).run(until_idle=True)
        assert await job.state() == "dead"
        assert place.entries("ended_at") == [(None,)]

        breaks = False
        await queue.redrive(job.id)
        await Worker(queue, whole).run(until_idle=True)

    assert (place.rows(), place.calls) == ([1], 1)
    ((ended_at,),) = place.entries("ended_at")
    assert ended_at is not None


def _given(cns: CNS) -> Any:
    return list(cns._life._given.values())  # pyright: ignore[reportPrivateUsage]


async def test_what_nobody_ended_goes_by_its_age(place: Books, clock: TravellingClock) -> None:
    async with place.open(clock=clock) as ledger:
        await attempt(place.cns(ledger), 1)
        clock.travel(100)
        await attempt(place.cns(ledger), 2, key="younger")

        assert await ledger.prune(older_than=50) == 1

    assert place.entries("run") == [("younger",)]
