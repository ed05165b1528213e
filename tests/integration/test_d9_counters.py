"""D9: attempts and crashes are two counters; a shutdown costs neither."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from cnstra import (
    CNS,
    Context,
    DoNotRetry,
    JobFailed,
    Queue,
    RetryAfter,
    StimulationFailed,
    exponential,
    neuron,
    run_durably,
)
from cnstra.durable.entries import StartEntry
from cnstra.durable.io_thread import IOThread, Mailbox
from cnstra.durable.progress import Progress
from cnstra.durable.run import DurableOptions, DurableRun
from cnstra.durable.store import Patch, Saved, Ticket
from cnstra.errors import CrashLimitReached, LeaseLost
from cnstra.jobs.editing import redrive_branch
from cnstra.jobs.settlement import Requeued
from tests.durables import (
    PATIENCE,
    BrokerAround,
    StoreAround,
    Story,
    TravellingClock,
    around,
    drain,
    entry,
    later,
    middle,
    output,
    record_of,
    store_at,
    until,
    working,
)


async def test_an_attempt_is_used_up_by_a_failure(url: str) -> None:
    story = Story()
    story.fails("second", 99)
    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(7), max_attempts=4)
        await drain(queue, story.chain())
        dead = await record_of(queue, job.id)

        assert (dead.state, dead.attempts_made, story.count("second")) == ("dead", 4, 4)
        assert (dead.error["name"], dead.error["message"]) == ("Broken", "second")
        assert "raise Broken" in dead.error["stack"]
        with pytest.raises(JobFailed, match="Broken: second"):
            await job.result(timeout=PATIENCE)


async def test_a_handler_sees_which_attempt_it_is(url: str) -> None:
    attempts: list[int] = []

    def handler(payload: int, axon: Any, ctx: Any) -> None:
        attempts.append(ctx.attempt)
        raise RuntimeError

    async with Queue("q", url) as queue:
        await queue.enqueue(entry.create_signal(7), max_attempts=3)
        await drain(queue, CNS([neuron("n").dendrite(entry, handler)]), results=[])
    assert attempts == [1, 2, 3]


@pytest.mark.parametrize("durability", ["exit", "behind", "step"])
async def test_a_shutdown_costs_neither(url: str, durability: Any) -> None:
    story = Story()
    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(7), max_attempts=1)
        for _ in range(4):
            entered = story.stands("second")
            entered.clear()
            async with working(
                queue, story.chain(), durability=durability, grace=0.0, crash_limit=1
            ):
                await asyncio.wait_for(entered.wait(), PATIENCE)
            given_back = await record_of(queue, job.id)
            assert (given_back.state, given_back.attempts_made) == ("waiting", 0)
            progress = await queue.progress(job.id)
            assert progress is not None
            assert marks(progress) == {}
        story.opens("second")
        await drain(queue, story.chain(), durability=durability, crash_limit=1)
        assert await job.result(timeout=PATIENCE) == {"results": [7]}


async def test_what_fails_while_the_worker_stops_has_used_up_its_attempt(url: str) -> None:
    story = Story()
    story.fails("branch", 1)
    story.stands("leaf")
    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(7), max_attempts=3)
        async with working(queue, story.bush(2), grace=0.0):
            await until(lambda: story.count("leaf") == 1)
        record = await record_of(queue, job.id)
        assert (record.state, record.attempts_made) == ("waiting", 1)


# --- crashes: a worker that dies settles nothing, and its lease runs out


class Dying(BrokerAround):
    """Settles nothing any more once it is dead, as a killed worker does: its lease runs out."""

    dead = False

    async def settle(self, delivery: Any, settlement: Any, ticket: Any, *_: Any) -> None:
        if not self.dead:
            await self.inner.settle(delivery, settlement, ticket)


async def crash(
    url: str,
    clock: TravellingClock,
    cns: CNS,
    inside: asyncio.Event,
    *,
    when: Callable[[], Awaitable[bool]] | None = None,
    **options: Any,
) -> None:
    """Run a worker up to a point, then let all it does from there on be as if it were killed."""
    async with Queue("q", url, clock=clock) as queue:
        broker: Dying = around(queue, Dying)
        async with working(queue, cns, grace=0.0, **options) as worker:
            await asyncio.wait_for(inside.wait(), PATIENCE)
            if when is not None:
                await until(when)
            await _seen_running(queue)
            broker.dead = True
            for attempt in list(worker._tasks):
                attempt.lose(LeaseLost(job_id=attempt.delivery.job_id))
    clock.travel(100.0)


async def _seen_running(queue: Queue) -> None:
    """Give a write that is due the time to land."""
    for _ in range(3):
        await queue.counts()
        await asyncio.sleep(0.01)


def marks(progress: Progress) -> dict[str, int]:
    found = [(task.neuron, progress.start(key)) for key, task in progress.tasks()]
    return {neuron: mark.crashes for neuron, mark in found if mark is not None and mark.crashes}


@pytest.mark.parametrize("durability", ["behind", "step"])
async def test_the_activation_that_ran_at_each_death_is_parked_by_name(
    url: str, clock: TravellingClock, durability: Any
) -> None:
    story = Story()
    async with Queue("q", url, clock=clock) as queue:
        job = await queue.enqueue(entry.create_signal(7), max_attempts=1)
        for death in range(1, 4):
            entered = story.stands("second")
            entered.clear()
            await crash(url, clock, story.chain(), entered, durability=durability)
            record = await record_of(queue, job.id)
            assert record.attempts_made == 0
            assert story.count("second") == death

        await drain(queue, story.chain(), durability=durability, crash_limit=3)

        dead = await record_of(queue, job.id)
        assert (dead.state, dead.error["name"]) == ("dead", "CrashLimitReached")
        assert "neuron 'second'" in dead.error["message"]
        assert "3 times" in dead.error["message"]
        assert (story.count("first"), story.count("second")) == (1, 3)

        story.opens("second")
        assert await job.redrive()
        await drain(queue, story.chain(), durability=durability, crash_limit=3)
        assert await job.result(timeout=PATIENCE) == {"results": [7]}
        assert story.count("first") == 1


async def test_what_a_run_began_with_is_parked_by_name_too(
    url: str, clock: TravellingClock
) -> None:
    """Nothing of it was put down when the process died the first time."""
    story = Story()
    async with Queue("q", url, clock=clock) as queue:
        job = await queue.enqueue(entry.create_signal(7), max_attempts=1)
        for _ in range(3):
            entered = story.stands("first")
            entered.clear()
            await crash(url, clock, story.chain(), entered, durability="step")

        await drain(queue, story.chain(), durability="step", crash_limit=3)

        dead = await record_of(queue, job.id)
        assert (dead.state, dead.error["name"]) == ("dead", "CrashLimitReached")
        assert "neuron 'first'" in dead.error["message"]
        assert story.count("first") == 3


async def test_crashes_are_counted_in_a_row(url: str, clock: TravellingClock) -> None:
    """An activation that commits takes its count with it: the next starts from nought."""
    story = Story()
    async with Queue("q", url, clock=clock) as queue:
        job = await queue.enqueue(entry.create_signal(7))
        for name in ("first", "second", "third"):
            for _ in range(2):
                entered = story.stands(name)
                entered.clear()
                await crash(url, clock, story.chain(), entered, durability="step")
            story.opens(name)
        await drain(queue, story.chain(), durability="step", crash_limit=3)
        assert await job.result(timeout=PATIENCE) == {"results": [7]}


async def test_a_neighbour_that_was_not_running_is_not_charged_again(
    url: str, clock: TravellingClock
) -> None:
    """The first death may have been anybody's; from the second on, it is known who ran.

    The neighbour has failed by the time of each death: it is owed, but does not run.
    """
    story = Story()
    cns = CNS([story.step("killer", entry, middle), story.step("neighbour", entry, later)])
    story.fails("neighbour", 99)
    options: dict[str, Any] = {"durability": "step", "results": []}
    async with Queue("q", url, clock=clock) as queue:
        job = await queue.enqueue(entry.create_signal(7))

        async def the_neighbour_has_failed() -> bool:
            progress = await queue.progress(job.id)
            assert progress is not None
            found = {task.neuron: key for key, task in progress.tasks()}
            if not found or progress.error(found["neighbour"]) is None:
                return False
            mark = progress.start(found["neighbour"])
            return mark is None or not mark.running

        for _ in range(2):
            entered = story.stands("killer")
            entered.clear()
            await crash(url, clock, cns, entered, when=the_neighbour_has_failed, **options)
        await drain(queue, cns, crash_limit=2, **options)

        dead = await record_of(queue, job.id)
        assert dead.error["name"] == "CrashLimitReached"
        assert "'killer'" in dead.error["message"]
        assert "'neighbour'" not in dead.error["message"]


@pytest.mark.parametrize("settles", [False, True])
async def test_a_crash_in_a_branch_that_runs_alone_starts_and_charges_no_other(
    url: str, clock: TravellingClock, settles: bool
) -> None:
    """Its worker dies in the branch, or between its last write and the word to the broker."""
    story = Story()
    story.fails("leaf", 3)
    async with Queue("q", url, clock=clock) as queue:
        job = await queue.enqueue(entry.create_signal(0))
        await drain(queue, story.bush(3))
        first, chosen, last = await owed_keys(queue, job.id)
        assert await redrive_branch(queue, job.id, chosen)
        entered = story.stands("leaf")
        if settles:
            await die_before_settling(url, clock, story, entered)
        else:
            await crash(url, clock, story.bush(3), entered)
            story.opens("leaf")
        story.log.clear()
        await drain(queue, story.bush(3), crash_limit=2)

        assert story.log == ([] if settles else [("leaf", 1)])
        assert await owed_keys(queue, job.id) == [first, last]
        assert (await record_of(queue, job.id)).error["name"] == "HeldBack"
        progress = await queue.progress(job.id)
        assert progress is not None
        assert marks(progress) == {}


async def owed_keys(queue: Queue, job_id: str) -> list[str]:
    progress = await queue.progress(job_id)
    assert progress is not None
    return [key for key, _ in progress.tasks()]


async def die_before_settling(
    url: str, clock: TravellingClock, story: Story, entered: asyncio.Event
) -> None:
    async with Queue("q", url, clock=clock) as queue:
        broker: Dying = around(queue, Dying)
        broker.dead = True
        async with working(queue, story.bush(3)) as worker:
            await asyncio.wait_for(entered.wait(), PATIENCE)
            story.opens("leaf")
            await until(lambda: not worker._tasks)
    clock.travel(100.0)


async def test_the_start_of_a_sync_handler_that_may_have_killed_is_written_down_first() -> None:
    marked: list[StartEntry | None] = []
    suspect = neuron("suspect", {})

    @suspect.dendrite(entry)
    def look(payload: int, axon: Any, ctx: Context[Any]) -> None:
        marked.append(run.progress.start(ctx.idempotency_key))

    run = DurableRun(
        CNS([suspect]),
        "run",
        Saved(epoch=2, held=True),
        store=None,
        io=IOThread(),
        mailbox=Mailbox(asyncio.get_running_loop()),
        options=DurableOptions.of(durability="exit"),
    )
    await run.execute(entry.create_signal(7))

    assert marked == [StartEntry(crashes=1, running=True)]


async def test_without_a_crash_limit_a_job_is_tried_for_ever(
    url: str, clock: TravellingClock
) -> None:
    story = Story()
    async with Queue("q", url, clock=clock) as queue:
        job = await queue.enqueue(entry.create_signal(7))
        for _ in range(7):
            entered = story.stands("second")
            entered.clear()
            await crash(url, clock, story.chain(), entered, crash_limit=None)
        story.opens("second")
        await drain(queue, story.chain(), crash_limit=None)
        assert await job.result(timeout=PATIENCE) == {"results": [7]}


async def test_a_run_resumes_from_its_progress_whatever_the_broker_counts(url: str) -> None:
    """A job that was released without using an attempt is not started afresh."""
    story = Story()
    story.stands("second")
    async with Queue("q", url) as queue:
        around(queue, Requeuing)
        job = await queue.enqueue(entry.create_signal(7))
        async with working(queue, story.chain(), grace=0.0):
            await until(lambda: story.count("second") == 1)
        story.opens("second")
        await drain(queue, story.chain())
        assert story.count("first") == 1
        assert await job.result(timeout=PATIENCE) == {"results": [7]}


class Requeuing(BrokerAround):
    async def settle(self, delivery: Any, settlement: Any, ticket: Any, *_: Any) -> None:
        assert delivery.attempts_made == 0
        await self.inner.settle(delivery, settlement, ticket)


async def test_a_run_alone_counts_its_crashes_too(url: str) -> None:
    story = Story()
    story.fails("first", 9)

    class Dying(StoreAround):
        async def commit(self, ticket: Ticket, patch: Patch) -> None:
            if not patch.release:  # the last write of an attempt, which a dead process never makes
                await super().commit(ticket, patch)

    async def call() -> None:
        options: dict[str, Any] = {"key": "k", "results": [output], "crash_limit": 2}
        store = Dying(store_at(url))
        await run_durably(story.chain(), entry.create_signal(7), store=store, **options)

    for _ in range(2):
        with pytest.raises(StimulationFailed):
            await call()
    with pytest.raises(CrashLimitReached, match="'first'"):
        await call()
    assert story.count("first") == 2


# --- what a handler may ask for


async def test_do_not_retry_goes_to_the_dead_letters_at_once(url: str) -> None:
    def handler(payload: int) -> None:
        raise DoNotRetry("the customer is gone")

    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(7), max_attempts=9)
        await drain(queue, CNS([neuron("n").dendrite(entry, handler)]), results=[])
        dead = await record_of(queue, job.id)
    assert (dead.state, dead.attempts_made) == ("dead", 1)
    assert (dead.error["name"], dead.error["message"]) == ("DoNotRetry", "the customer is gone")


class CardRefused(DoNotRetry):
    """The bank said {code}."""


@pytest.mark.parametrize("details", [(), ("refused", 402)])
async def test_an_error_derived_from_do_not_retry_is_no_more_retried_than_that(
    url: str, details: tuple[object, ...]
) -> None:
    def handler(payload: int) -> None:
        raise CardRefused(*details)

    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(7), max_attempts=9)
        await drain(queue, CNS([neuron("n").dendrite(entry, handler)]), results=[])
        dead = await record_of(queue, job.id)
    assert (dead.state, dead.attempts_made) == ("dead", 1)
    assert dead.error["name"] == "CardRefused"


@pytest.mark.parametrize(
    ("asked", "pause"),
    [
        (40.0, 40.0),
        (timedelta(minutes=2), 120.0),
        (-5.0, 0.0),
        (float("nan"), 0.0),
        (1e300, 30 * 86400.0),
    ],
)
async def test_retry_after_says_when(url: str, asked: Any, pause: float) -> None:
    def handler(payload: int) -> None:
        raise RetryAfter(asked)

    settled: list[Any] = []

    class Keeping(BrokerAround):
        async def settle(
            self, delivery: Any, settlement: Any, ticket: Any, ahead: Any = None
        ) -> None:
            settled.append(settlement)
            await self.inner.settle(delivery, settlement, ticket)

    async with Queue("q", url) as queue:
        around(queue, Keeping)
        await queue.enqueue(entry.create_signal(7), max_attempts=2, backoff=exponential(7.0))
        async with working(queue, CNS([neuron("n").dendrite(entry, handler)]), results=[]):
            await until(lambda: settled)
    assert settled[0].delay == pause
    assert not isinstance(settled[0], Requeued)


async def test_the_longest_pause_that_was_asked_for_counts(
    url: str, clock: TravellingClock
) -> None:
    def handler(payload: int) -> None:
        raise RetryAfter(payload)

    fan = neuron("fan", {"middle": middle}).dendrite(
        entry, lambda _, axon: [axon.middle.create_signal(one) for one in (30, 90, 60)]
    )
    async with Queue("q", url, clock=clock) as queue:
        job = await queue.enqueue(entry.create_signal(7), max_attempts=2)
        cns = CNS([fan, neuron("n").dendrite(middle, handler)])
        async with working(queue, cns, results=[]):
            await until(lambda: _delayed(queue, job.id))
        record = await record_of(queue, job.id)
        assert 60 < record.run_at - clock.time() <= 90


async def _delayed(queue: Queue, job_id: str) -> bool:
    return (await record_of(queue, job_id)).state == "delayed"


@pytest.mark.parametrize(
    ("backoff", "pauses"),
    [
        (None, [0, 0, 0]),
        (10, [10, 10, 10]),
        (timedelta(minutes=1), [60, 60, 60]),
        (exponential(10.0), [10, 20, 40]),
        (exponential(10.0, factor=3, maximum=50), [10, 30, 50]),
        (exponential(100.0, jitter=0.5), [75, 150, 300]),
        (lambda failures: 5.0 * failures, [5, 10, 15]),
    ],
)
async def test_a_job_waits_as_its_backoff_says(
    url: str, clock: TravellingClock, backoff: Any, pauses: list[float]
) -> None:
    """By the injected clock, whose chance is one half."""
    story = Story()
    story.fails("first", 3)
    waited: list[float] = []
    settled: list[Any] = []

    class Keeping(BrokerAround):
        async def settle(
            self, delivery: Any, settlement: Any, ticket: Any, ahead: Any = None
        ) -> None:
            await self.inner.settle(delivery, settlement, ticket)
            settled.append(settlement)

    async with Queue("q", url, clock=clock) as queue:
        around(queue, Keeping)
        job = await queue.enqueue(entry.create_signal(7), max_attempts=4, backoff=backoff)
        cns = story.chain()
        cns.clock = clock
        async with working(queue, cns):
            for attempt in range(3):
                await until(lambda at=attempt: len(settled) > at)
                waited.append(settled[attempt].delay)
                clock.travel(settled[attempt].delay)
            assert await job.result(timeout=PATIENCE) == {"results": [7]}
    assert waited == pauses
