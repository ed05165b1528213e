"""Queue, Job and Worker, as their users meet them."""

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cnstra import CNS, Job, JobFailed, Queue, RateLimit, Worker, blocking, neuron, run_durably
from cnstra.errors import (
    BrokerUnavailable,
    InvalidOption,
    LoopIsRunning,
    MissingExtra,
    QueueClosed,
    StimulationFailed,
    UnknownScheme,
    Unsupported,
)
from tests.durables import (
    PATIENCE,
    StoreAround,
    Story,
    TravellingClock,
    drain,
    entry,
    output,
    record_of,
    store_at,
    until,
    working,
)


def single(story: Story, **options: Any) -> CNS:
    return CNS([story.step("only", entry, output, **options)])


async def test_a_signal_stops_every_worker_of_a_program() -> None:
    before = signal.getsignal(signal.SIGTERM)
    empty = CNS([neuron("idle", {})])

    async with Queue("first", "memory://both") as first, Queue("second", "memory://both") as second:
        workers = [Worker(queue, empty) for queue in (first, second)]
        running = [asyncio.ensure_future(worker.run()) for worker in workers]
        await until(lambda: signal.getsignal(signal.SIGTERM) != before)
        await asyncio.sleep(0.1)
        signal.raise_signal(signal.SIGTERM)
        await asyncio.wait_for(asyncio.gather(*running), 10)

    assert signal.getsignal(signal.SIGTERM) == before


async def test_the_end_of_one_worker_leaves_the_signals_to_the_others() -> None:
    before = signal.getsignal(signal.SIGTERM)
    empty = CNS([neuron("idle", {})])

    async with Queue("first", "memory://one") as first, Queue("second", "memory://one") as second:
        stays = asyncio.ensure_future(Worker(first, empty).run())
        await until(lambda: signal.getsignal(signal.SIGTERM) != before)
        await Worker(second, empty).run(until_idle=True)
        assert signal.getsignal(signal.SIGTERM) != before
        signal.raise_signal(signal.SIGTERM)
        await asyncio.wait_for(stays, 10)

    assert signal.getsignal(signal.SIGTERM) == before


async def test_a_worker_inside_a_server_leaves_the_signals_to_it() -> None:
    found: list[Any] = []
    looker = neuron("looker", {})
    looker.dendrite(entry, lambda payload, axon: found.append(signal.getsignal(signal.SIGTERM)))
    before = signal.getsignal(signal.SIGTERM)

    async with Queue("q", "memory://signals") as queue:
        for signals in (True, False):
            await queue.enqueue(entry.create_signal(1))
            await Worker(queue, CNS([looker])).run(until_idle=True, signals=signals)

    assert [handler == before for handler in found] == [False, True]
    assert signal.getsignal(signal.SIGTERM) == before


# --- enqueueing and looking


async def test_a_job_is_run_and_its_result_fetched(url: str) -> None:
    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(7))
        assert job.new
        assert await job.state() == "waiting"
        async with working(queue, single(Story())):
            assert await job.result(timeout=PATIENCE) == {"results": [7]}
        assert await job.state() == "completed"
        assert await queue.counts() == counts(queue, completed=1)
        found = await queue.get(job.id)
        assert isinstance(found, Job)
        assert await found.result() == {"results": [7]}


def counts(queue: Queue, **found: int) -> dict[str, int]:
    """What the queue should count; where completed jobs cannot be listed, they are not counted."""
    states = {"waiting": 0, "delayed": 0, "active": 0, "completed": 0, "dead": 0, **found}
    if "completed" not in queue.broker.capabilities.lists:
        del states["completed"]
    return states


async def test_a_result_that_takes_too_long_is_a_timeout(url: str) -> None:
    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(7))
        with pytest.raises(TimeoutError, match=r"no result after 0\.05 s"):
            await job.result(timeout=0.05)
        with pytest.raises(TimeoutError):
            await job.result(timeout=timedelta(milliseconds=1))


async def test_a_dead_or_missing_job_has_no_result(url: str) -> None:
    story = Story()
    story.fails("only", 1)
    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(7))
        await drain(queue, single(story))
        with pytest.raises(JobFailed, match="Broken: only") as caught:
            await job.result()
        assert caught.value.context["error"]["name"] == "Broken"
        assert await queue.get("nobody") is None
        assert await Job(queue, "nobody").state() is None
        with pytest.raises(JobFailed, match="removed, or has expired"):
            await Job(queue, "nobody").result()


async def test_who_waits_for_a_result_hears_of_it_at_once(url: str) -> None:
    """Not when the next look is due: the queue tells."""
    story = Story()
    entered = story.stands("only")
    async with Queue("q", url) as queue, Queue("q", url) as other:
        job = await queue.enqueue(entry.create_signal(7))
        async with working(other, single(story)):
            waiting = asyncio.create_task(job.result(timeout=PATIENCE))
            await asyncio.wait_for(entered.wait(), PATIENCE)
            story.opens("only")
            assert await asyncio.wait_for(waiting, 4.0) == {"results": [7]}


async def test_an_id_is_enqueued_once(url: str) -> None:
    story = Story()
    async with Queue("q", url) as queue:
        first = await queue.enqueue(entry.create_signal(1), job_id="user-42")
        second = await queue.enqueue(entry.create_signal(2), job_id="user-42")
        assert (first.id, first.new, second.id, second.new) == ("user-42", True, "user-42", False)
        await drain(queue, single(story))
        third = await queue.enqueue(entry.create_signal(3), job_id="user-42")
        assert not third.new
        assert await third.result() == {"results": [1]}
        await queue.remove("user-42")
        assert (await queue.enqueue(entry.create_signal(4), job_id="user-42")).new


async def test_many_are_enqueued_in_one_step(url: str) -> None:
    story = Story()
    async with Queue("q", url) as queue:
        jobs = await queue.enqueue_many(map(entry.create_signal, range(50)), max_attempts=2)
        assert len({job.id for job in jobs}) == 50
        assert all(job.new for job in jobs)
        assert await queue.enqueue_many([]) == []
        await drain(queue, single(story))
        assert [payload for _, payload in story.log] == list(range(50))
        if "completed" not in queue.broker.capabilities.lists:
            with pytest.raises(Unsupported, match="listing completed jobs: list the state"):
                await queue.jobs("completed", limit=10)
            return
        records = await queue.jobs("completed", limit=10)
        assert [record.id for record in records] == [job.id for job in jobs[:-11:-1]]


@pytest.mark.parametrize("how", ["seconds", "timedelta", "run_at", "datetime"])
async def test_a_delayed_job_waits_for_its_time(url: str, clock: TravellingClock, how: str) -> None:
    story = Story()
    options: dict[str, dict[str, Any]] = {
        "seconds": {"delay": 60},
        "timedelta": {"delay": timedelta(minutes=1)},
        "run_at": {"run_at": clock.time() + 60},
        "datetime": {"run_at": datetime.now(UTC) + timedelta(minutes=1)},
    }
    async with Queue("q", url, clock=clock) as queue:
        late = await queue.enqueue(entry.create_signal(1), **options[how])
        soon = await queue.enqueue(entry.create_signal(2))
        async with working(queue, single(story)):
            await soon.result(timeout=PATIENCE)
            record = await record_of(queue, late.id)
            assert (record.state, round(record.run_at - clock.time(), -1)) == ("delayed", 60)
            clock.travel(61)
            await late.result(timeout=PATIENCE)


async def test_the_larger_priority_goes_first(url: str) -> None:
    story = Story()
    async with Queue("q", url) as queue:
        if not queue.broker.capabilities.priorities:
            with pytest.raises(InvalidOption, match="no priorities: use a queue for each"):
                await queue.enqueue(entry.create_signal(1), priority=1)
            return
        for priority in (0, 5, -3, 9):
            await queue.enqueue(entry.create_signal(priority), priority=priority)
        await drain(queue, single(story))
    assert [payload for _, payload in story.log] == [9, 5, 0, -3]


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"max_attempts": 0}, "max_attempts=0"),
        ({"delay": 1, "run_at": 1.0}, "not both"),
        ({"delay": -1}, "delay=-1"),
        ({"delay": float("nan")}, "delay=nan"),
        ({"run_at": float("inf")}, "run_at=inf"),
        ({"run_at": datetime(2030, 1, 1)}, "aware"),
        ({"backoff": "soon"}, "backoff='soon'"),
    ],
)
async def test_nonsense_is_not_enqueued(url: str, options: Any, part: str) -> None:
    async with Queue("q", url) as queue:
        with pytest.raises(InvalidOption, match=part):
            await queue.enqueue(entry.create_signal(1), **options)
        assert sum((await queue.counts()).values()) == 0


@pytest.mark.parametrize("option", ["job_id", "ordering_key", "one_at_a_time"])
async def test_a_name_is_a_text_not_the_key_of_a_database(url: str, option: str) -> None:
    options: dict[str, Any] = {option: 42}
    async with Queue("q", url) as queue:
        with pytest.raises(InvalidOption, match=f"{option}=42 is not valid: give a text"):
            await queue.enqueue(entry.create_signal(1), **options)
        assert sum((await queue.counts()).values()) == 0


async def test_a_job_is_looked_up_and_steered_by_a_text(url: str) -> None:
    key: Any = 42
    async with Queue("q", url) as queue:
        for call in (queue.get, queue.record, queue.cancel, queue.redrive, queue.remove):
            with pytest.raises(InvalidOption, match="job_id=42 is not valid: give a text"):
                await call(key)


def test_a_queue_needs_a_name_and_a_known_scheme() -> None:
    with pytest.raises(InvalidOption, match="name the queue"):
        Queue("", "memory://x")
    with pytest.raises(UnknownScheme, match=r"carrier-pigeon.*Installed: .*memory"):
        Queue("q", "carrier-pigeon://x")
    with pytest.raises(InvalidOption, match="leave it out"):
        Queue("q", "memory://x", store="memory://y")
    assert issubclass(MissingExtra, ImportError)


async def test_a_closed_queue_says_so(url: str) -> None:
    queue = Queue("q", url)
    await queue.close()
    await queue.close()
    with pytest.raises(QueueClosed, match="'q'"):
        await queue.enqueue(entry.create_signal(1))


async def test_a_place_that_cannot_be_opened_is_an_error_at_once(tmp_path: Any) -> None:
    queue = Queue("q", f"sqlite:///{tmp_path}/no/such/folder/jobs.db")
    with pytest.raises(BrokerUnavailable, match="no directory"):
        await queue.enqueue(entry.create_signal(1))
    await queue.close()


# --- steering


async def test_a_paused_queue_hands_out_nothing_until_it_is_resumed(url: str) -> None:
    story = Story()
    async with Queue("q", url) as queue, Queue("q", url) as other:
        await queue.pause()
        assert await other.paused()
        job = await queue.enqueue(entry.create_signal(7))
        async with working(other, single(story)):
            await asyncio.sleep(0.1)
            assert story.log == []
            await queue.resume()
            assert await job.result(timeout=PATIENCE) == {"results": [7]}


async def test_until_idle_does_not_wait_for_a_paused_queue(url: str) -> None:
    async with Queue("q", url) as queue:
        await queue.enqueue(entry.create_signal(7))
        await queue.pause()
        await drain(queue, single(Story()))
        assert await queue.counts() == counts(queue, waiting=1)


async def test_until_idle_waits_for_what_is_delayed(url: str) -> None:
    story = Story()
    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(7), delay=0.2)
        await drain(queue, single(story))
        assert await job.state() == "completed"


async def test_a_waiting_job_is_cancelled_at_once(url: str) -> None:
    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(7))
        assert await job.cancel()
        assert not await job.cancel()
        with pytest.raises(JobFailed, match="JobCancelled: The job was cancelled"):
            await job.result()
        assert not await queue.cancel("nobody")


async def test_a_running_job_is_cancelled_when_its_worker_hears_of_it(url: str) -> None:
    story = Story()
    entered = story.stands("only")
    async with Queue("q", url) as queue, Queue("q", url) as other:
        job = await queue.enqueue(entry.create_signal(7), max_attempts=5)
        async with working(other, single(story), lease=0.6, grace=0.0):
            await asyncio.wait_for(entered.wait(), PATIENCE)
            assert await job.cancel()
            with pytest.raises(JobFailed, match="JobCancelled"):
                await job.result(timeout=PATIENCE)
        assert story.count("only") == 1
        assert await job.redrive()
        story.opens("only")
        await drain(queue, single(story))
        assert await job.result() == {"results": [7]}


async def test_only_the_dead_are_redriven(url: str) -> None:
    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(7))
        assert not await job.redrive()
        await drain(queue, single(Story()))
        assert not await job.redrive()
        assert not await queue.redrive("nobody")


async def test_events_tell_the_life_of_a_job(url: str) -> None:
    story = Story()
    story.fails("only", 1)
    kinds: list[tuple[str, str | None]] = []
    async with Queue("q", url) as queue, Queue("q", url) as other:
        if not queue.broker.capabilities.events:
            with pytest.raises(Unsupported, match="does not support events"):
                await anext(queue.events())
            return
        before = await queue.enqueue(entry.create_signal(0))
        await queue.cancel(before.id)
        listening = asyncio.Event()

        async def listen() -> None:
            events = other.events()
            listening.set()
            async for event in events:
                kinds.append((event.kind, event.job_id))
                if event.kind == "completed":
                    return

        listener = asyncio.create_task(listen())
        await listening.wait()
        await asyncio.sleep(0.1)
        await queue.enqueue(entry.create_signal(7), job_id="j", max_attempts=2)
        await drain(queue, single(story))
        await asyncio.wait_for(listener, PATIENCE)
        every = [event.kind async for event in _until_completed(queue)]
    assert kinds == [
        ("enqueued", "j"), ("started", "j"), ("retried", "j"), ("started", "j"), ("completed", "j"),
    ]  # fmt: skip
    assert every == ["enqueued", "cancelled", "dead", *(kind for kind, _ in kinds)]


async def _until_completed(queue: Queue) -> Any:
    async for event in queue.events(after=0):
        yield event
        if event.kind == "completed":
            return


# --- the worker


async def test_so_many_jobs_run_at_once(url: str) -> None:
    story = Story()
    story.stands("only")
    async with Queue("q", url) as queue:
        jobs = await queue.enqueue_many(map(entry.create_signal, range(10)))
        async with working(queue, single(story), concurrency=4):
            await until(lambda: story.count("only") == 4)
            await asyncio.sleep(0.05)
            assert story.count("only") == 4
            assert (await queue.counts())["active"] == 4
            story.opens("only")
            await until(lambda: _done(jobs))


async def _done(jobs: Sequence[Job]) -> bool:
    return all([await job.state() == "completed" for job in jobs])


async def test_a_rate_limit_that_is_not_shared_is_told_when_a_worker_starts(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with Queue("q", url) as queue:
        shared = queue.broker.capabilities.shared_rate_limit
        for limit in (None, RateLimit(100)):
            await drain(queue, single(Story()), rate_limit=limit)

    told = [line for line in caplog.messages if "holds for this process alone" in line]
    assert len(told) == (0 if shared else 1)
    assert all("RateLimit(jobs=100, per=1.0)" in line for line in told)


async def test_what_is_not_counted_or_told_of_a_queue_is_what_its_broker_says(url: str) -> None:
    async with Queue("q", url) as queue:
        able, counts = queue.broker.capabilities, await queue.counts()
        assert ("completed" in counts) == ("completed" in able.lists)
        if not able.events:
            with pytest.raises(Unsupported, match="events"):
                await anext(queue.events())


async def test_a_rate_limit_holds_over_all_workers(url: str, clock: TravellingClock) -> None:
    """Three a minute, by the clock that both of them ask; each of them, where none is shared."""
    story = Story()
    async with Queue("q", url, clock=clock) as one, Queue("q", url, clock=clock) as two:
        await one.enqueue_many(map(entry.create_signal, range(7)))
        options: dict[str, Any] = {"rate_limit": RateLimit(3, per=60), "concurrency": 5}
        async with (
            working(one, single(story), **options),
            working(two, single(story), **options),
        ):
            shared = one.broker.capabilities.shared_rate_limit
            for due in (3, 6, 7) if shared else (6, 7):
                await until(lambda at=due: story.count("only") >= at)
                await asyncio.sleep(0.1)
                assert story.count("only") == due
                clock.travel(61)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"concurrency": 0}, "concurrency=0"),
        ({"lease": 0}, "lease=0"),
        ({"rate_limit": 100}, "rate_limit=100 is not valid: give a RateLimit"),
        ({"crash_limit": 0}, "crash_limit=0"),
    ],
)
async def test_a_worker_checks_its_options(url: str, options: Any, part: str) -> None:
    async with Queue("q", url) as queue:
        with pytest.raises(InvalidOption, match=part):
            Worker(queue, single(Story()), **options)


async def test_a_worker_may_be_run_again(url: str) -> None:
    story = Story()
    async with Queue("q", url) as queue:
        worker = Worker(queue, single(story))
        for number in range(3):
            await queue.enqueue(entry.create_signal(number))
            await asyncio.wait_for(worker.run(until_idle=True), PATIENCE)
        assert story.count("only") == 3


async def test_a_worker_that_is_cancelled_drains(url: str) -> None:
    """Running handlers have their grace, and end the job if they make it."""
    story = Story()
    entered = story.stands("only")
    async with Queue("q", url) as queue:
        job, other = await queue.enqueue_many(map(entry.create_signal, range(2)))
        running = asyncio.create_task(Worker(queue, single(story), results=[output]).run())
        await asyncio.wait_for(entered.wait(), PATIENCE)
        running.cancel()
        await asyncio.sleep(0.05)
        assert not running.done()
        story.opens("only")
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(running, PATIENCE)
        assert await job.result(timeout=0) == {"results": [0]}
        assert await other.state() == "waiting"


@pytest.mark.parametrize("how", ["cancel", "stop"])
async def test_to_stop_it_again_is_faster_and_loses_nothing(url: str, how: str) -> None:
    story = Story()
    entered = story.stands("only")
    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(7))
        worker = Worker(queue, single(story), grace=1000.0, results=[output])
        running = asyncio.create_task(worker.run())
        await asyncio.wait_for(entered.wait(), PATIENCE)
        for _ in range(2):
            if how == "cancel":
                running.cancel()
            else:
                worker.stop()
            await asyncio.sleep(0.05)
        await asyncio.wait({running}, timeout=PATIENCE)
        assert running.done()
        assert running.cancelled() == (how == "cancel")
        record = await record_of(queue, job.id)
        assert (record.state, record.attempts_made) == ("waiting", 0)


async def test_sigterm_drains_and_handlers_of_before_are_put_back(url: str) -> None:
    story = Story()
    entered = story.stands("only")
    before = signal.getsignal(signal.SIGTERM)
    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(7))
        running = asyncio.create_task(Worker(queue, single(story), grace=0.0).run())
        await asyncio.wait_for(entered.wait(), PATIENCE)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(running, PATIENCE)
        assert await job.state() == "waiting"
    assert signal.getsignal(signal.SIGTERM) is before


async def test_a_worker_runs_in_a_thread_too(url: str) -> None:
    """There no signal reaches it: it is stopped from its own loop."""
    story = Story()
    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(7))

        def work() -> None:
            asyncio.run(Worker(queue, single(story), results=[output]).run(until_idle=True))

        thread = threading.Thread(target=work)
        thread.start()
        assert await job.result(timeout=PATIENCE) == {"results": [7]}
        await asyncio.to_thread(thread.join)


async def test_logs_say_what_happens_next(url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "cnstra.jobs")
    story = Story()
    story.fails("only", 2)
    async with Queue("q", url) as queue:
        await queue.enqueue(entry.create_signal(7), job_id="j", max_attempts=2, backoff=0.01)
        await drain(queue, single(story))
        await queue.redrive("j")
        await drain(queue, single(story))
    assert [one.getMessage() for one in caplog.records if "'j'" in one.getMessage()] == [
        "Job 'j' failed, attempt 1 of 2 (only): it runs again in 0.01 s from 'only'.",
        "Job 'j' is dead-lettered, attempt 2 of 2 (only): redrive it to go on from 'only'.",
        "Job 'j' is completed.",
    ]


async def test_a_dead_letter_is_a_warning(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Python's logging shows it without being set up; what goes its way is told at info."""
    caplog.set_level(logging.INFO, "cnstra.jobs")
    story = Story()
    story.fails("only", 2)
    async with Queue("q", url) as queue:
        await queue.enqueue(entry.create_signal(7), job_id="j", max_attempts=2)
        await drain(queue, single(story))
        await queue.redrive("j")
        await drain(queue, single(story))
    told = [one.levelname for one in caplog.records if "'j'" in one.getMessage()]
    assert told == ["INFO", "WARNING", "INFO"]


# --- without a loop, and without a queue


def test_blocking_is_the_bridge_for_callers_without_a_loop(url: str) -> None:
    queue = Queue("q", url)
    job = blocking(queue.enqueue(entry.create_signal(7)))
    worker = Worker(queue, single(Story()), results=[output])
    blocking(worker.run(until_idle=True))
    assert blocking(job.result(timeout=PATIENCE)) == {"results": [7]}
    with pytest.raises(JobFailed):
        blocking(Job(queue, "nobody").result())
    blocking(queue.close())


async def test_blocking_inside_a_loop_is_an_error() -> None:
    async def nothing() -> None:
        pass

    with pytest.raises(LoopIsRunning, match=r"blocking\(\)"):
        blocking(nothing())


async def test_a_run_alone_goes_on_where_a_call_before_it_stopped(url: str) -> None:
    story = Story()
    story.fails("third", 1)
    options: dict[str, Any] = {"key": "task 1", "store": url, "results": [output]}
    with pytest.raises(StimulationFailed, match="third") as caught:
        await run_durably(story.chain(), entry.create_signal(7), **options)
    assert [one.task.neuron_id for one in caught.value.failed_tasks] == ["third"]

    assert await run_durably(story.chain(), entry.create_signal(7), **options) == {"results": [7]}
    assert await run_durably(story.chain(), entry.create_signal(7), **options) == {"results": [7]}
    assert [name for name, _ in story.log] == ["first", "second", "third", "third"]


async def test_a_run_alone_may_be_aborted_and_cancelled(url: str) -> None:
    from cnstra import AbortController

    story = Story()
    entered = story.stands("second")
    options: dict[str, Any] = {"key": "k", "store": url, "results": [output], "grace": timedelta(0)}
    controller = AbortController()
    first = asyncio.create_task(
        run_durably(
            story.chain(), entry.create_signal(7), abort_signal=controller.signal, **options
        )
    )
    await asyncio.wait_for(entered.wait(), PATIENCE)
    controller.abort("enough")
    with pytest.raises(StimulationFailed):
        await asyncio.wait_for(first, PATIENCE)

    entered.clear()
    second = asyncio.create_task(run_durably(story.chain(), entry.create_signal(7), **options))
    await asyncio.wait_for(entered.wait(), PATIENCE)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(second, PATIENCE)

    story.opens("second")
    assert await run_durably(story.chain(), entry.create_signal(7), crash_limit=1, **options) == {
        "results": [7]
    }
    assert [name for name, _ in story.log] == ["first", "second", "second", "second", "third"]


async def test_a_run_alone_takes_several_signals_and_a_store_of_its_callers(url: str) -> None:
    story = Story()
    store = StoreAround(store_at(url))
    heard: list[Any] = []
    found = await run_durably(
        single(story),
        [entry.create_signal(1), {"collateralName": "entry", "payload": 2}],
        key="k",
        store=store,
        results=["output"],
        durability="step",
        on_response=heard.append,
    )
    assert found == {"results": [1, 2]}
    assert len(heard) == 4


async def test_a_run_alone_whose_store_cannot_be_opened_leaves_no_thread(tmp_path: Any) -> None:
    before = threading.active_count()
    with pytest.raises(Exception, match="no directory"):
        await run_durably(
            single(Story()), entry.create_signal(1), key="k", store=f"sqlite:///{tmp_path}/x/y.db"
        )
    assert threading.active_count() == before


async def test_a_graph_of_sync_handlers_is_a_job_too(url: str) -> None:
    cns = CNS(
        [
            neuron("n", {"output": output}).dendrite(
                entry, lambda payload, axon: axon.output.create_signal(payload + 1)
            )
        ]
    )
    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(7))
        await drain(queue, cns)
        assert await job.result() == {"results": [8]}
