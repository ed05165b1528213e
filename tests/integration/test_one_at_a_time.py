"""One job of a kind at a time, over processes: `enqueue(..., one_at_a_time=...)`."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from cnstra import CNS, JobFailed, Queue
from cnstra.durable.store import Saved
from cnstra.errors import InvalidOption, StoreRequired
from cnstra.jobs.broker import NewJob
from cnstra.jobs.incumbents import Incumbents
from cnstra.jobs.messages import SENDING, MessageBroker
from tests import mail
from tests.durables import (
    PATIENCE,
    StoreAround,
    Story,
    TravellingClock,
    drain,
    entry,
    output,
    working,
)
from tests.manual_clock import ManualClock
from tests.mortals import Death, Life, Mortal

KEEP = 100.0


def single(story: Story) -> CNS:
    return CNS([story.step("only", entry, output)])


async def test_who_joins_gets_the_result_of_the_one_that_runs(url: str) -> None:
    story = Story()
    inside = story.stands("only")
    async with Queue("q", url) as queue, working(queue, single(story)):
        first = await queue.enqueue(entry.create_signal(1), one_at_a_time="nightly")
        await inside.wait()
        joined = await queue.enqueue(entry.create_signal(2), one_at_a_time="nightly")
        assert (first.new, joined.new, joined.id) == (True, False, first.id)
        story.opens("only")
        assert await joined.result(timeout=PATIENCE) == {"results": [1]}
        after = await queue.enqueue(entry.create_signal(3), one_at_a_time="nightly")
        assert after.new
        assert await after.result(timeout=PATIENCE) == {"results": [3]}
        assert await first.result() == {"results": [1]}, "the old result is not touched"

    assert [payload for _, payload in story.log] == [1, 3]


async def test_one_that_waits_for_its_retry_is_joined_and_a_dead_one_is_not(url: str) -> None:
    story = Story()
    story.fails("only", 3)
    async with Queue("q", url) as queue:
        first = await queue.enqueue(
            entry.create_signal(1), one_at_a_time="nightly", max_attempts=2, backoff=0.3
        )
        async with working(queue, single(story)):
            async with asyncio.timeout(PATIENCE):
                while story.count("only") == 0 or await first.state() == "active":
                    await asyncio.sleep(0.005)
            again = await queue.enqueue(entry.create_signal(2), one_at_a_time="nightly")
            with pytest.raises(JobFailed):
                await again.result(timeout=PATIENCE)
            after = await queue.enqueue(
                entry.create_signal(3), one_at_a_time="nightly", max_attempts=2
            )
            assert await after.result(timeout=PATIENCE) == {"results": [3]}

    assert (again.id, again.new) == (first.id, False)
    assert (after.id == first.id, after.new) == (False, True)


async def test_one_that_was_removed_makes_room(url: str) -> None:
    async with Queue("q", url) as queue:
        first = await queue.enqueue(entry.create_signal(1), one_at_a_time="nightly")
        assert await queue.remove(first.id)
        after = await queue.enqueue(entry.create_signal(2), one_at_a_time="nightly")
        story = Story()
        await drain(queue, single(story))

        assert after.new
        assert [payload for _, payload in story.log] == [2]


async def test_one_that_has_expired_makes_room(url: str, clock: TravellingClock) -> None:
    async with Queue("q", url, keep_results=5.0, clock=clock) as queue:
        for number in (1, 2):
            added = await queue.enqueue(entry.create_signal(number), one_at_a_time="nightly")
            assert added.new
            await drain(queue, single(Story()))
            clock.travel(10.0)


async def test_queues_and_kinds_do_not_meet(url: str) -> None:
    async with Queue("q", url) as one, Queue("q2", url) as two:
        added = [
            await queue.enqueue(entry.create_signal(1), one_at_a_time=kind)
            for queue in (one, two)
            for kind in ("a", "b", "")
        ]

        assert len({job.id for job in added}) == len(added)
        assert all(job.new for job in added)


@pytest.mark.parametrize("rounds", [6])
async def test_of_many_that_come_at_once_one_adds_the_job(url: str, rounds: int) -> None:
    """Each on a connection and a thread of its own, again and again, and the job runs once."""
    story = Story()
    queues = [Queue("q", url) for _ in range(4)]
    try:
        for number in range(rounds):
            asked = [
                queue.enqueue(entry.create_signal(number), one_at_a_time="nightly")
                for queue in 3 * queues
            ]
            jobs = await asyncio.gather(*asked)
            assert len({job.id for job in jobs}) == 1
            assert [job.new for job in jobs].count(True) == 1
            await drain(queues[0], single(story), concurrency=4)
    finally:
        for queue in queues:
            await queue.close()

    assert [payload for _, payload in story.log] == list(range(rounds))


async def test_who_looked_before_another_was_appointed_does_not_appoint_over_it() -> None:
    """Else the queue would hold two of a kind."""
    world = World()
    overtaken: list[tuple[str, bool]] = []

    class Overtaken(StoreAround):
        async def peek(self, run: str) -> Saved | None:
            found = await super().peek(run)
            if "kind" in run and not overtaken:
                overtaken.append(await world.enqueue())
            return found

    broker = MessageBroker(
        mail.transport("q", world.url, world.clock), "q", world.clock, KEEP, world.store
    )
    await broker.open()
    late = Incumbents("q", broker, Overtaken(world.store), world.clock)

    job_id, is_new = await late.enqueue("nightly", NewJob("r", b'{"signal":{}}', "r"))

    assert overtaken == [(job_id, True)]
    assert not is_new
    assert len(world.sent) == 1


# --- deaths


class World:
    """A queue of messages and its store, which outlive the processes that use them."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.url = f"mail://{uuid4().hex}"
        self.store = mail.store(self.url, self.clock)
        self.numbers = 0

    async def process(self, life: Life) -> Incumbents:
        transport: Any = Mortal(mail.transport("q", self.url, self.clock), life)
        store: Any = Mortal(self.store, life)
        broker = MessageBroker(transport, "q", self.clock, KEEP, store)
        await broker.open()
        return Incumbents("q", broker, store, self.clock)

    async def enqueue(self, life: Life | None = None) -> tuple[str, bool]:
        process = await self.process(life or Life(10**9, makes_last=True))
        self.numbers += 1
        run = f"run {self.numbers}"
        return await process.enqueue("nightly", NewJob(run, b'{"signal":{}}', run))

    @property
    def sent(self) -> set[bytes]:
        """The jobs that there are messages of, repeats of one message taken for one."""
        return {one.id for one in mail.boxes_of(self.url, "q").letters}


@pytest.mark.parametrize("makes_last", [False, True])
async def test_a_death_between_any_two_calls_closes_no_kind(makes_last: bool) -> None:
    """Who comes after finds the one job, or adds it; and there is never a second."""
    calls = deaths = 0
    while True:
        calls += 1
        world = World()
        try:
            await world.enqueue(Life(calls, makes_last=makes_last))
        except Death:
            deaths += 1
        else:
            break
        await world.clock.advance(SENDING)
        job_id, _ = await world.enqueue()
        assert len(world.sent) == 1, f"after a death at call {calls}"
        assert (job_id, False) == await world.enqueue()
    assert deaths > 4


async def test_who_comes_while_another_is_about_to_send_the_job_waits_for_it() -> None:
    """Else a copy of the message would make a second run of it."""
    world = World()
    sending = asyncio.Event()
    transport: Any = mail.transport("q", world.url, world.clock)
    send = transport.send

    async def slowly(messages: Any) -> None:
        await sending.wait()
        await send(messages)

    transport.send = slowly
    slow = MessageBroker(transport, "q", world.clock, KEEP, world.store)
    await slow.open()
    first = Incumbents("q", slow, world.store, world.clock)
    job = NewJob("r", b'{"signal":{}}', "r")
    adding = asyncio.ensure_future(first.enqueue("nightly", job))
    await world.clock.advance(0.0)
    joining = asyncio.ensure_future(world.enqueue())
    await world.clock.advance(SENDING / 2)
    assert not joining.done()
    sending.set()
    job_id, is_new = await adding
    await world.clock.advance(0.1)

    assert is_new
    assert await joining == (job_id, False)
    assert len(mail.boxes_of(world.url, "q").letters) == 1


# --- what is refused


async def test_what_does_not_go_with_it_is_refused() -> None:
    async with Queue("q", f"memory://{uuid4().hex}") as queue:
        for options in ({"job_id": "mine"}, {"connection": object()}):
            with pytest.raises(InvalidOption, match="job_id= and connection="):
                await queue.enqueue(
                    entry.create_signal(1),
                    one_at_a_time="nightly",
                    **options,  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
                )
        assert (await queue.counts())["waiting"] == 0


async def test_without_a_store_it_is_refused() -> None:
    async with Queue("q", f"mail://{uuid4().hex}?store=no") as queue:
        with pytest.raises(StoreRequired, match="one_at_a_time="):
            await queue.enqueue(entry.create_signal(1), one_at_a_time="nightly")
