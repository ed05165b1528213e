"""What every broker that is its own store promises, held against each adapter."""

import asyncio
import contextlib
from collections.abc import Sequence

import pytest

from cnstra.durable.store import Patch, ProgressStore, Saved, Ticket
from cnstra.errors import BrokerUnavailable, Fenced, LeaseLost
from cnstra.jobs.broker import Broker, JobRecord, NewJob
from cnstra.jobs.limits import RateLimit
from cnstra.jobs.settlement import (
    Completed,
    DeadLettered,
    Delivery,
    Lost,
    Requeued,
    Retry,
    Settlement,
)
from tests.integration.conftest import KEEP_RESULTS, Place
from tests.manual_clock import EPOCH, settled

ERROR = {"message": "no", "name": "ValueError", "stack": "Traceback ..."}
DONE = Completed(b'{"results":[]}')
AGAIN = Retry(delay=10.0, progress=None, error=ERROR)
OVER = DeadLettered(error=ERROR, progress=None)
BACK = Requeued(progress=None)


@pytest.fixture
async def broker(place: Place) -> Broker:
    return await place.broker()


def job(job_id: str, *, priority: int = 0, run_at: float | None = None) -> NewJob:
    return NewJob(
        job_id,
        b'{"signal":"%s"}' % job_id.encode("utf-8", "surrogatepass"),
        f"run of {job_id}",
        max_attempts=3,
        backoff={"kind": "fixed", "delay": 1.5},
        run_at=run_at,
        priority=priority,
    )


async def take(
    broker: Broker, limit: int = 10, *, wait: float = 0.0, rate: RateLimit | None = None
) -> Sequence[Delivery]:
    return await broker.receive(limit, lease=30.0, wait=wait, rate=rate)


async def take_one(broker: Broker) -> Delivery:
    (delivery,) = await take(broker, 1)
    return delivery


def ids(deliveries: Sequence[Delivery] | Sequence[JobRecord]) -> list[str]:
    return [each.job_id if isinstance(each, Delivery) else each.id for each in deliveries]


def ticket(delivery: Delivery, step: int = 1) -> Ticket:
    assert delivery.saved is not None
    return Ticket(delivery.run, delivery.saved.epoch, delivery.saved.seq + step)


async def settle(broker: Broker, delivery: Delivery, settlement: Settlement) -> None:
    await broker.settle(delivery, settlement, ticket(delivery))


async def record(broker: Broker, job_id: str) -> JobRecord:
    found = await broker.get(job_id)
    assert found is not None
    return found


def store_of(broker: Broker) -> ProgressStore:
    assert broker.store is not None
    return broker.store


# --- enqueueing


def name_in(place: Place) -> str:
    """BullMQ's jobs have names, and ours are all called the same."""
    return "cnstra" if place.scheme == "bullmq" else ""


async def test_an_enqueued_job_is_delivered_as_it_was(place: Place, broker: Broker) -> None:
    assert await broker.enqueue([job("a", priority=7)]) == [True]

    (delivery,) = await take(broker)

    assert delivery == Delivery(
        job_id="a",
        data=b'{"signal":"a"}',
        token=delivery.token,
        run="run of a",
        attempts_made=0,
        max_attempts=3,
        backoff={"kind": "fixed", "delay": 1.5},
        created_at=place.clock.time(),
        priority=7,
        saved=Saved(epoch=1),
        name=name_in(place),
    )
    assert await take(broker) == []


async def test_an_id_that_the_queue_holds_is_not_accepted_again(broker: Broker) -> None:
    assert await broker.enqueue([job("a"), job("b"), job("a")]) == [True, True, False]
    first = await take_one(broker)

    again = NewJob("a", b"other", "other run")

    assert await broker.enqueue([again]) == [False]  # active
    await settle(broker, first, DONE)
    assert await broker.enqueue([again]) == [False]  # completed
    assert (await record(broker, "a")).data == first.data


async def test_an_id_is_free_again_once_its_result_has_expired(
    place: Place, broker: Broker
) -> None:
    await broker.enqueue([job("a")])
    await settle(broker, await take_one(broker), DONE)

    await place.clock.advance(KEEP_RESULTS)

    assert await broker.get("a") is None
    assert await broker.jobs() == await broker.jobs("completed") == []
    assert (await broker.counts())["completed"] == 0
    assert await broker.enqueue([NewJob("a", b"new", "new run")]) == [True]
    assert await store_of(broker).peek("run of a") is None


async def test_queues_of_one_place_are_apart(place: Place, broker: Broker) -> None:
    other = await place.broker("other")
    await broker.enqueue([job("a")])
    assert await other.enqueue([NewJob("a", b"", "another run")]) == [True]
    await other.pause()

    assert await take(other) == []
    assert (await take_one(broker)).run == "run of a"
    assert await other.jobs("active") == []


@pytest.mark.parametrize("name", ["", "ключ", "a\0b", "\0\0x", "\ud800", "a" * 5000])
async def test_any_text_is_a_job_id(broker: Broker, name: str) -> None:
    await broker.enqueue([job(name)])
    delivery = await take_one(broker)

    assert delivery.job_id == name
    assert await broker.renew([delivery], 30.0) == ["kept"]
    await settle(broker, delivery, OVER)
    assert (await record(broker, name)).id == name
    assert (await broker.events(0))[-1].job_id == name
    assert await broker.redrive(name)
    assert await broker.cancel(name)
    assert await broker.remove(name)


async def test_what_was_enqueued_is_there_after_closing(place: Place) -> None:
    broker = await place.broker()
    await broker.enqueue([job("a")])
    await broker.close()
    await broker.close()

    with pytest.raises(BrokerUnavailable):
        await broker.enqueue([job("b")])
    with pytest.raises(BrokerUnavailable):
        await broker.get("a")

    assert ids(await take(await place.broker())) == ["a"]


# --- receiving


async def test_the_oldest_of_the_highest_priority_comes_first(broker: Broker) -> None:
    await broker.enqueue([job("a"), job("b", priority=-1), job("c", priority=5), job("d")])
    await broker.enqueue([job("e", priority=5)])

    assert ids(await take(broker, 3)) == ["c", "e", "a"]
    assert ids(await take(broker)) == ["d", "b"]


async def test_a_delayed_job_waits_for_its_time(place: Place, broker: Broker) -> None:
    await broker.enqueue([job("later", run_at=place.clock.time() + 5), job("now", run_at=1.0)])
    assert (await record(broker, "later")).run_at == EPOCH + 5
    assert ids(await take(broker)) == ["now"]

    await place.clock.advance(4.9)
    assert await take(broker) == []
    assert await broker.counts() == counts(delayed=1, active=1)
    await place.clock.advance(0.2)

    assert (await record(broker, "later")).state == "waiting"
    assert ids(await broker.jobs("waiting")) == ["later"]
    assert await broker.jobs("delayed") == []
    assert await broker.counts() == counts(waiting=1, active=1)
    assert ids(await take(broker)) == ["later"]


async def test_a_receiver_wakes_for_a_new_job(broker: Broker) -> None:
    receiving = asyncio.create_task(take(broker, wait=60.0))
    await settled()
    assert not receiving.done()

    await broker.enqueue([job("a")])

    assert ids(await asyncio.wait_for(receiving, 1.0)) == ["a"]


async def test_a_receiver_wakes_for_a_job_of_another_broker(place: Place, broker: Broker) -> None:
    receiving = asyncio.create_task(take(broker, wait=60.0))
    await settled()

    await (await place.broker()).enqueue([job("a")])
    await place.clock.advance(0.02)

    assert ids(await asyncio.wait_for(receiving, 1.0)) == ["a"]


async def test_a_receiver_wakes_when_a_delay_is_over(place: Place, broker: Broker) -> None:
    await broker.enqueue([job("a", run_at=place.clock.time() + 5)])
    receiving = asyncio.create_task(take(broker, wait=60.0))
    await place.clock.asleep()
    await place.clock.advance(4.0)
    assert not receiving.done()

    await place.clock.advance(1.0)

    assert ids(await asyncio.wait_for(receiving, 1.0)) == ["a"]


async def test_a_receiver_wakes_when_a_lease_runs_out(place: Place, broker: Broker) -> None:
    await broker.enqueue([job("a")])
    await take(broker)
    receiving = asyncio.create_task(take(broker, wait=60.0))
    await place.clock.asleep()

    await place.clock.advance(30.0)

    assert ids(await asyncio.wait_for(receiving, 1.0)) == ["a"]


async def test_a_receiver_that_waits_in_vain_returns_in_time(place: Place, broker: Broker) -> None:
    receiving = asyncio.create_task(take(broker, wait=60.0))
    await place.clock.asleep()
    await place.clock.advance(59.0)
    assert not receiving.done()

    await place.clock.advance(1.0)

    assert await asyncio.wait_for(receiving, 1.0) == []


async def test_closing_ends_a_wait(broker: Broker) -> None:
    receiving = asyncio.create_task(take(broker, wait=60.0))
    watching = asyncio.create_task(broker.watch(60.0))
    await settled()

    await broker.close()
    await settled()

    with pytest.raises(BrokerUnavailable, match="closed"):
        await asyncio.wait_for(receiving, 1.0)
    await asyncio.wait_for(watching, 1.0)


async def test_a_cancelled_receiver_keeps_no_job(broker: Broker) -> None:
    for turns in range(8):
        await broker.enqueue([job(f"j{turns}")])
        receiving = asyncio.create_task(take(broker, 1))
        for _ in range(turns):
            await asyncio.sleep(0)
        receiving.cancel()

        with contextlib.suppress(asyncio.CancelledError):
            await settle(broker, (await receiving)[0], DONE)

        await settled()
        delivered = await take(broker, 1)
        assert not any(each.saved and each.saved.held for each in delivered)
        for each in delivered:
            await settle(broker, each, DONE)
        assert await broker.counts() == counts(completed=turns + 1)


async def test_a_paused_queue_hands_out_nothing(place: Place, broker: Broker) -> None:
    other = await place.broker()
    await broker.enqueue([job("a")])
    await broker.pause()
    assert await other.paused()
    assert await take(other) == []
    receiving = asyncio.create_task(take(other, wait=60.0))
    await settled()

    await broker.resume()
    await place.clock.advance(0.02)

    assert ids(await asyncio.wait_for(receiving, 1.0)) == ["a"]
    assert not await broker.paused()


async def test_a_job_goes_to_one_receiver_only(place: Place) -> None:
    brokers = [await place.broker() for _ in range(4)]
    await brokers[0].enqueue([job(f"j{n}") for n in range(40)])

    taken = await asyncio.gather(*(take(each, 3) for each in brokers * 5))

    received = [job_id for deliveries in taken for job_id in ids(deliveries)]
    assert sorted(received) == sorted(f"j{n}" for n in range(40))


# --- leases


async def test_a_lease_that_ran_out_is_due_again(place: Place, broker: Broker) -> None:
    await broker.enqueue([job("a")])
    zombie = await take_one(broker)
    await store_of(broker).commit(ticket(zombie), Patch({"k": b"1"}))
    await place.clock.advance(30.0)

    heir = await take_one(broker)

    assert heir.attempts_made == 0
    assert heir.saved == Saved(epoch=2, seq=1, entries={"k": b"1"}, held=True)
    assert (await kinds(broker))[-2:] == ["stalled", "started"]
    assert await broker.renew([zombie, heir], 30.0) == ["lost", "kept"]
    with pytest.raises(Fenced):
        await store_of(broker).commit(ticket(zombie, 2), Patch({"k": b"2"}))
    with pytest.raises(LeaseLost):
        await broker.settle(zombie, DONE, ticket(zombie, 2))
    await broker.settle(zombie, Lost(), None)
    await settle(broker, heir, DONE)


async def test_a_lease_that_ran_out_is_lost_even_if_nobody_has_the_job_yet(
    place: Place, broker: Broker
) -> None:
    await broker.enqueue([job("a")])
    zombie = await take_one(broker)
    await broker.enqueue([job("urgent", priority=1)])
    await place.clock.advance(30.0)
    assert ids(await take(broker, 1)) == ["urgent"]

    assert await broker.renew([zombie], 30.0) == ["lost"]
    with pytest.raises(LeaseLost):
        await settle(broker, zombie, DONE)

    assert (await record(broker, "a")).state == "waiting"


async def test_a_renewed_lease_lasts(place: Place, broker: Broker) -> None:
    await broker.enqueue([job("a")])
    delivery = await take_one(broker)
    for _ in range(4):
        await place.clock.advance(20.0)
        assert await broker.renew([delivery, delivery], 30.0) == ["kept", "kept"]

    assert await take(broker) == []
    await place.clock.advance(30.0)
    assert ids(await take(broker)) == ["a"]


async def test_a_late_owner_whom_nobody_followed_still_owns(place: Place, broker: Broker) -> None:
    await broker.enqueue([job("a"), job("b")])
    renewed, settled_late = await take(broker)
    await place.clock.advance(31.0)

    assert await broker.renew([renewed], 30.0) == ["kept"]
    await settle(broker, settled_late, DONE)


async def test_a_job_that_is_gone_is_lost(broker: Broker) -> None:
    stranger = Delivery("never", b"", "token", "run", saved=Saved(1))

    assert await broker.renew([stranger], 30.0) == ["lost"]
    with pytest.raises(LeaseLost):
        await settle(broker, stranger, DONE)


async def test_a_job_of_the_same_id_is_another_job(broker: Broker) -> None:
    await broker.enqueue([job("a")])
    old = await take_one(broker)
    await settle(broker, old, OVER)
    await broker.remove("a")
    await broker.enqueue([NewJob("a", b"new", "new run")])
    await take_one(broker)

    assert await broker.renew([old], 30.0) == ["lost"]
    with pytest.raises(LeaseLost):
        await broker.settle(old, DONE, Ticket(old.run, 1, 5))


# --- settling


async def test_a_completed_job_leaves_its_result_and_nothing_else(
    place: Place, broker: Broker
) -> None:
    await broker.enqueue([job("a")])
    delivery = await take_one(broker)
    await store_of(broker).commit(ticket(delivery), Patch({"k": b"1"}))

    await broker.settle(delivery, DONE, ticket(delivery, 2))

    assert await record(broker, "a") == JobRecord(
        id="a",
        state="completed",
        data=b'{"signal":"a"}',
        run="run of a",
        attempts_made=0,
        max_attempts=3,
        created_at=EPOCH,
        backoff={"kind": "fixed", "delay": 1.5},
        finished_at=EPOCH,
        result=DONE.result,
        name=name_in(place),
    )
    saved = await store_of(broker).peek("run of a")
    assert saved in (None, Saved(epoch=1, seq=2, result=DONE.result))  # the job may hold it alone
    await place.clock.advance(1000.0)
    assert await take(broker) == []


async def test_a_failed_attempt_is_retried_after_its_delay(place: Place, broker: Broker) -> None:
    await broker.enqueue([job("a")])
    delivery = await take_one(broker)
    await store_of(broker).commit(ticket(delivery), Patch({"k": b"1"}))

    await broker.settle(delivery, AGAIN, ticket(delivery, 2))

    waiting = await record(broker, "a")
    assert (waiting.state, waiting.attempts_made, waiting.run_at) == ("delayed", 1, EPOCH + 10)
    assert waiting.error == ERROR
    assert await take(broker) == []
    await place.clock.advance(10.0)
    (again,) = await take(broker)
    assert again.attempts_made == 1
    assert again.saved == Saved(epoch=2, seq=2, entries={"k": b"1"})


async def test_a_requeued_job_uses_no_attempt(place: Place, broker: Broker) -> None:
    await broker.enqueue([job("a")])
    await settle(broker, await take_one(broker), BACK)

    again = await take_one(broker)

    assert again.attempts_made == 0
    assert again.saved in (Saved(epoch=2, seq=1), Saved(epoch=2))
    await settle(broker, again, Requeued(None, delay=5.0))
    assert (await record(broker, "a")).state == "delayed"
    await place.clock.advance(5.0)
    assert (await take_one(broker)).attempts_made == 0


async def test_a_job_that_is_put_back_keeps_its_place(broker: Broker) -> None:
    await broker.enqueue([job("a"), job("b")])
    await settle(broker, await take_one(broker), BACK)

    assert ids(await take(broker)) == ["a", "b"]


async def test_a_requeue_keeps_the_error_of_an_earlier_attempt(
    place: Place, broker: Broker
) -> None:
    await broker.enqueue([job("a")])
    await settle(broker, await take_one(broker), AGAIN)
    await place.clock.advance(10.0)

    await settle(broker, await take_one(broker), BACK)

    assert (await record(broker, "a")).error == ERROR
    await settle(broker, await take_one(broker), DONE)
    assert (await record(broker, "a")).error is None


async def test_a_dead_job_keeps_its_error_and_progress(place: Place, broker: Broker) -> None:
    await broker.enqueue([job("a")])
    delivery = await take_one(broker)
    await store_of(broker).commit(ticket(delivery), Patch({"k": b"1"}))

    await broker.settle(delivery, OVER, ticket(delivery, 2))
    await place.clock.advance(1_000_000.0)

    dead = await record(broker, "a")
    assert (dead.state, dead.error, dead.attempts_made) == ("dead", ERROR, 1)
    assert dead.finished_at == EPOCH
    saved = await store_of(broker).peek("run of a")
    assert saved == Saved(epoch=1, seq=2, entries={"k": b"1"})
    assert await take(broker) == []


@pytest.mark.parametrize("settlement", [DONE, AGAIN, OVER, BACK], ids=lambda s: type(s).__name__)
async def test_a_repeated_settlement_changes_nothing(
    broker: Broker, settlement: Settlement
) -> None:
    await broker.enqueue([job("a")])
    delivery = await take_one(broker)
    await settle(broker, delivery, settlement)
    before = await record(broker, "a"), await kinds(broker)

    await settle(broker, delivery, settlement)

    assert (await record(broker, "a"), await kinds(broker)) == before


async def test_a_second_settlement_that_differs_is_refused(broker: Broker) -> None:
    await broker.enqueue([job("a")])
    delivery = await take_one(broker)
    await settle(broker, delivery, OVER)

    for other in (DONE, AGAIN, BACK):
        with pytest.raises(LeaseLost):
            await settle(broker, delivery, other)

    assert (await record(broker, "a")).state == "dead"


async def test_a_settlement_whose_run_is_fenced_changes_nothing(broker: Broker) -> None:
    await broker.enqueue([job("a")])
    delivery = await take_one(broker)
    await store_of(broker).load("run of a")

    for settlement in (DONE, AGAIN, OVER, BACK):
        with pytest.raises(Fenced):
            await settle(broker, delivery, settlement)

    assert (await record(broker, "a")).state == "active"
    assert await broker.renew([delivery], 30.0) == ["kept"]
    assert await kinds(broker) == ["enqueued", "started"]


async def test_a_lost_lease_settles_no_run(place: Place, broker: Broker) -> None:
    await broker.enqueue([job("a")])
    zombie = await take_one(broker)
    await place.clock.advance(30.0)
    await broker.pause()
    await broker.resume()
    heir = await take_one(broker)
    assert heir.saved is not None

    with pytest.raises(LeaseLost):
        await broker.settle(zombie, DONE, Ticket(zombie.run, heir.saved.epoch, 9))

    saved = await store_of(broker).peek("run of a")
    assert saved in (None, Saved(epoch=2, held=True))  # before its first write it may be no run


async def test_a_job_whose_run_is_elsewhere_keeps_its_result_itself(broker: Broker) -> None:
    await broker.enqueue([job("a")])

    await broker.settle(await take_one(broker), DONE, None)

    assert (await record(broker, "a")).result == DONE.result


async def test_settlements_that_overlap_are_refused_alone(place: Place, broker: Broker) -> None:
    await broker.enqueue([job(f"j{n}") for n in range(20)])
    deliveries = await take(broker, 20)
    for delivery in deliveries[::2]:
        await store_of(broker).load(delivery.run)

    outcomes = await asyncio.gather(
        *(settle(broker, each, DONE) for each in deliveries), return_exceptions=True
    )

    assert [type(outcome) for outcome in outcomes] == [Fenced, type(None)] * 10
    assert await broker.counts() == counts(active=10, completed=10)


# --- rates


async def test_a_rate_holds_across_brokers(place: Place, broker: Broker) -> None:
    rate = RateLimit(3, per=10.0)
    other = await place.broker()
    await broker.enqueue([job(f"j{n}") for n in range(10)])

    assert ids(await take(broker, 2, rate=rate)) == ["j0", "j1"]
    await place.clock.advance(5.0)
    assert ids(await take(other, 5, rate=rate)) == ["j2"]
    assert await take(broker, rate=rate) == []
    receiving = asyncio.create_task(take(broker, 5, wait=60.0, rate=rate))
    await place.clock.asleep()
    await place.clock.advance(4.0)
    assert not receiving.done()
    await place.clock.advance(1.0)

    assert ids(await asyncio.wait_for(receiving, 1.0)) == ["j3", "j4", "j5"]


async def test_a_rate_window_opens_with_its_first_job(place: Place, broker: Broker) -> None:
    rate = RateLimit(1, per=10.0)
    assert await take(broker, rate=rate) == []
    await place.clock.advance(9.0)
    await broker.enqueue([job("a"), job("b")])

    assert ids(await take(broker, rate=rate)) == ["a"]
    await place.clock.advance(9.0)
    assert await take(broker, rate=rate) == []
    await place.clock.advance(1.0)
    assert ids(await take(broker, rate=rate)) == ["b"]


# --- looking after a queue


def counts(**some: int) -> dict[str, int]:
    return dict.fromkeys(("waiting", "delayed", "active", "completed", "dead"), 0) | some


async def kinds(broker: Broker) -> list[str]:
    return [event.kind for event in await broker.events(0)]


async def test_jobs_are_listed_newest_first(place: Place, broker: Broker) -> None:
    await broker.enqueue([job("a", priority=3), job("b"), job("c", run_at=place.clock.time() + 9)])
    await settle(broker, await take_one(broker), OVER)
    await broker.enqueue([job("d", priority=-1)])

    assert ids(await broker.jobs()) == ["d", "c", "b", "a"]
    assert ids(await broker.jobs(limit=2, offset=1)) == ["c", "b"]
    assert ids(await broker.jobs("waiting")) == ["d", "b"]
    assert ids(await broker.jobs("waiting", limit=1, offset=1)) == ["b"]
    assert ids(await broker.jobs("delayed")) == ["c"]
    assert ids(await broker.jobs("dead")) == ["a"]
    assert await broker.counts() == counts(waiting=2, delayed=1, dead=1)


async def test_the_pages_of_a_list_hold_each_job_once_in_its_order(
    place: Place, broker: Broker
) -> None:
    """Three jobs of each moment, some of which are dead, delayed, or wait."""
    for moment in range(6):
        names = [f"{moment}{letter}" for letter in "abc"]
        later = place.clock.time() + 900
        await broker.enqueue([job(names[0]), job(names[1]), job(names[2], run_at=later)])
        await settle(broker, await take_one(broker), OVER)
        await place.clock.advance(1.0)
    whole = ids(await broker.jobs())

    assert whole == [f"{moment}{letter}" for moment in reversed(range(6)) for letter in "cba"]
    for size in (1, 2, 5, 18):
        pages = [ids(await broker.jobs(limit=size, offset=at)) for at in range(0, 20, size)]
        assert [one for page in pages for one in page] == whole


async def test_an_unknown_job_is_none(broker: Broker) -> None:
    assert await broker.get("never") is None
    assert not await broker.cancel("never")
    assert not await broker.redrive("never")
    assert not await broker.remove("never")


async def test_a_cancelled_job_that_nobody_runs_is_dead_at_once(
    place: Place, broker: Broker
) -> None:
    await broker.enqueue([job("now"), job("later", run_at=place.clock.time() + 5)])

    assert await broker.cancel("now")
    assert await broker.cancel("later")
    await place.clock.advance(10.0)

    assert await take(broker) == []
    dead = await record(broker, "now")
    assert dead.error is not None
    assert (dead.state, dead.error["name"], dead.attempts_made) == ("dead", "JobCancelled", 0)
    assert (await kinds(broker))[-4:] == ["cancelled", "dead", "cancelled", "dead"]
    assert not await broker.cancel("now")


async def test_the_worker_of_a_cancelled_job_hears_of_it(broker: Broker) -> None:
    await broker.enqueue([job("a")])
    delivery = await take_one(broker)

    assert await broker.cancel("a")
    assert await broker.cancel("a")

    assert await broker.renew([delivery], 30.0) == ["cancelled"]
    await settle(broker, delivery, OVER)
    assert await kinds(broker) == ["enqueued", "started", "cancelled", "dead"]
    assert not await broker.cancel("a")


@pytest.mark.parametrize("settlement", [AGAIN, BACK], ids=lambda s: type(s).__name__)
async def test_a_cancelled_job_is_not_put_back(broker: Broker, settlement: Settlement) -> None:
    await broker.enqueue([job("a")])
    delivery = await take_one(broker)
    await broker.cancel("a")

    await settle(broker, delivery, settlement)
    await settle(broker, delivery, settlement)

    dead = await record(broker, "a")
    assert dead.error is not None
    assert (dead.state, dead.error["name"]) == ("dead", "JobCancelled")


async def test_a_job_that_completes_before_it_is_cancelled_is_completed(broker: Broker) -> None:
    await broker.enqueue([job("a")])
    delivery = await take_one(broker)
    await broker.cancel("a")

    await settle(broker, delivery, DONE)

    assert (await record(broker, "a")).state == "completed"


async def test_a_cancelled_job_whose_worker_died_is_dead_and_fenced(
    place: Place, broker: Broker
) -> None:
    await broker.enqueue([job("a")])
    zombie = await take_one(broker)
    await broker.cancel("a")
    await place.clock.advance(30.0)

    assert await take(broker) == []

    assert (await record(broker, "a")).state == "dead"
    with pytest.raises(Fenced):
        await store_of(broker).commit(ticket(zombie), Patch({"k": b"1"}))
    with pytest.raises(LeaseLost):
        await settle(broker, zombie, DONE)
    assert await broker.redrive("a")
    (again,) = await take(broker)
    assert again.saved in (Saved(epoch=2), Saved(epoch=3))


async def test_a_redriven_job_has_all_attempts_and_its_progress(broker: Broker) -> None:
    await broker.enqueue([job("a")])
    delivery = await take_one(broker)
    progress = {"s/crashes": b"5", "s": b"1", "s0": b"2", "r/s/": b"3", "t/": b"4"}
    await store_of(broker).commit(ticket(delivery), Patch(dict(progress)))
    await broker.settle(delivery, OVER, ticket(delivery, 2))

    assert await broker.redrive("a")
    assert not await broker.redrive("a")

    waiting = await record(broker, "a")
    assert (waiting.state, waiting.attempts_made, waiting.error) == ("waiting", 0, None)
    assert waiting.finished_at is None
    with pytest.raises(LeaseLost):
        await settle(broker, delivery, OVER)
    again = await take_one(broker)
    del progress["s/crashes"]
    assert again.saved == Saved(epoch=2, seq=2, entries=progress)
    with pytest.raises(LeaseLost):
        await settle(broker, delivery, OVER)


async def test_a_cancelled_job_can_be_redriven(broker: Broker) -> None:
    await broker.enqueue([job("a")])
    delivery = await take_one(broker)
    await broker.cancel("a")
    await settle(broker, delivery, OVER)

    assert await broker.redrive("a")

    assert await broker.renew([await take_one(broker)], 30.0) == ["kept"]


async def test_a_removed_job_takes_its_progress_along(broker: Broker) -> None:
    await broker.enqueue([job("a"), job("b")])
    delivery = await take_one(broker)
    await store_of(broker).commit(ticket(delivery), Patch({"k": b"1"}))
    assert not await broker.remove("a")
    await broker.settle(delivery, OVER, ticket(delivery, 2))

    assert await broker.remove("a")
    assert await broker.remove("b")

    assert await broker.jobs() == []
    assert await store_of(broker).peek("run of a") is None
    assert await take(broker) == []


async def test_results_are_dropped_when_their_time_is_over(place: Place) -> None:
    broker = await place.broker(keep=10.0)
    await broker.enqueue([job(f"j{n}") for n in range(20)])
    for delivery in await take(broker, 20):
        await settle(broker, delivery, DONE)
    await place.clock.advance(10.0)

    for _ in range(10):
        await take(broker)

    assert [await store_of(broker).peek(f"run of j{n}") for n in range(20)] == [None] * 20


# --- following a queue


async def test_events_tell_what_happened_in_its_order(place: Place, broker: Broker) -> None:
    assert await broker.events(None) == []
    await broker.enqueue([job("a")])
    await settle(broker, await take_one(broker), AGAIN)
    await place.clock.advance(10.0)
    await settle(broker, await take_one(broker), Requeued(None, delay=0.0))
    await settle(broker, await take_one(broker), OVER)
    await broker.redrive("a")
    (newest,) = await broker.events(None)
    await settle(broker, await take_one(broker), DONE)
    await broker.pause()
    await broker.pause()
    await broker.resume()
    await broker.resume()

    events = await broker.events(0)

    assert [event.kind for event in events] == [
        "enqueued", "started", "retried", "started", "requeued", "started", "dead", "redriven",
        "started", "completed", "paused", "resumed",
    ]  # fmt: skip
    assert [event.id for event in events] == sorted({event.id for event in events})
    assert [event.job_id for event in events] == ["a"] * 10 + [None] * 2
    assert events[2].detail == {"delay": 10.0, "error": {"name": "ValueError", "message": "no"}}
    if not place.has_its_own_time:
        assert (events[2].at, events[3].at) == (EPOCH, EPOCH + 10.0)
        assert events[3].detail == {"attempt": 2}
    assert newest == events[7]
    assert await broker.events(newest.id) == events[8:]
    assert await broker.events(newest.id, limit=1) == events[8:9]


async def test_events_of_other_queues_are_not_told(place: Place, broker: Broker) -> None:
    other = await place.broker("other")
    await broker.enqueue([job("a")])

    assert await other.events(0) == await other.events(None) == []


async def test_only_the_newest_events_are_kept(place: Place, broker: Broker) -> None:
    for batch in range(25):
        await broker.enqueue([job(f"{batch}-{n}") for n in range(500)])
    await broker.enqueue([job("last")])

    kept = await broker.events(0, limit=20_000)

    told_by_each = 2 if place.has_its_own_time else 1
    assert 10_000 <= len(kept) * told_by_each <= 10_500
    assert kept[-1].job_id == "last"


async def test_a_watcher_wakes_for_a_change(place: Place, broker: Broker) -> None:
    other = await place.broker()
    await settled()
    for change in (broker.enqueue([job("a")]), other.pause(), other.cancel("a")):
        watching = asyncio.create_task(broker.watch(60.0))
        await settled()
        assert not watching.done()

        await change
        await place.clock.advance(0.02)

        await asyncio.wait_for(watching, 1.0)


async def test_a_watcher_misses_nothing_that_changed_while_it_looked(
    place: Place, broker: Broker
) -> None:
    other = await place.broker()
    await broker.enqueue([job("a")])
    await settled()
    mark = await asyncio.wait_for(broker.watch(60.0, since=0), 1.0)
    assert (await record(broker, "a")).state == "waiting"

    await other.cancel("a")

    assert await asyncio.wait_for(broker.watch(60.0, since=mark), 1.0) > mark


async def test_a_watcher_of_a_quiet_queue_returns_in_time(place: Place, broker: Broker) -> None:
    await settled()
    watching = asyncio.create_task(broker.watch(5.0))
    await place.clock.asleep()
    await place.clock.advance(4.9)
    assert not watching.done()

    await place.clock.advance(0.2)

    await asyncio.wait_for(watching, 1.0)


async def test_the_capabilities_are_all_there(broker: Broker) -> None:
    able = broker.capabilities

    assert able.atomic_settlement
    assert able.own_store
    assert able.shared_rate_limit
    assert able.priorities
