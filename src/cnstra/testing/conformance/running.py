"""Jobs that run without a fault: results, times, order, limits."""

import asyncio
from collections.abc import Sequence
from time import time
from typing import Any, cast

import pytest

from cnstra import Job, RateLimit
from cnstra.errors import InvalidOption, JobFailed
from cnstra.jobs.broker import Broker, NewJob
from cnstra.testing.conformance.behaviour import behaviour
from cnstra.testing.conformance.stage import Stage
from cnstra.testing.flow import STEPS, job

RATE = RateLimit(2, per=0.6)
CLOCKS_DIFFER = 0.02
"""Seconds by which a broker's clock may be ahead of this one, and its roundings."""


class Running:
    """Without faults."""

    @behaviour
    async def test_run_and_result(self, stage: Stage) -> None:
        """Each step has its effect once, and the result is there for whoever asks."""
        added = await stage.queue.enqueue(job("a"))
        async with stage.working():
            found = await stage.result(added)

        assert [one["job"] for one in found["results"]] == ["a"]
        assert [stage.effects.count(step) for step in STEPS] == [1, 1, 1]
        assert await added.state() == "completed"
        async with stage.new_queue() as other:
            same = await other.get(added.id)
            assert same is not None
            assert await same.result(timeout=stage.rig.patience) == found

    @behaviour
    async def test_many_jobs(self, stage: Stage) -> None:
        """What was enqueued at once is all run, and results are not mixed up."""
        added = await stage.queue.enqueue_many(job(str(number)) for number in range(12))
        async with stage.working(concurrency=4):
            found = [await stage.result(one) for one in added]

        assert [one["results"][0]["job"] for one in found] == [str(one) for one in range(12)]

    @behaviour
    async def test_delay(self, stage: Stage) -> None:
        """A delayed job runs when it is due and never early; others run meanwhile."""
        begin = time()
        late = await stage.queue.enqueue(job("late"), delay=1.5)
        at = await stage.queue.enqueue(job("at"), run_at=begin + 1.0)
        soon = await stage.queue.enqueue(job("soon"))
        async with stage.working():
            for one in (soon, at, late):
                await stage.result(one)

        starts = {one.job: one.at for one in stage.effects.all("start", step="first")}
        assert starts["late"] >= begin + 1.5 - CLOCKS_DIFFER, "the delayed job ran early"
        assert starts["at"] >= begin + 1.0 - CLOCKS_DIFFER, "the job with a time ran early"
        assert starts["soon"] < starts["at"] < starts["late"]

    @behaviour
    async def test_dedup(self, stage: Stage) -> None:
        """An id that the queue holds is not added again, waiting or completed."""
        first = await stage.queue.enqueue(job("a"), job_id="order/7 ключ")
        again = await stage.queue.enqueue(job("a"), job_id="order/7 ключ")
        assert (first.new, again.new) == (True, False)
        async with stage.working():
            await stage.result(again)
            late = await stage.queue.enqueue(job("a"), job_id="order/7 ключ")
            await stage.result(await stage.queue.enqueue(job("b")))

        assert not late.new
        assert stage.effects.count("first", "a") == 1

    @behaviour
    async def test_one_at_a_time(self, stage: Stage) -> None:
        """While a job of a kind waits or runs, to enqueue another is to join it; then no more."""
        hangs = job("hangs", middle={"hang": True})
        async with stage.new_queue() as other:
            asked = [
                queue.enqueue(hangs, one_at_a_time="night/ly ключ")
                for queue in 4 * (stage.queue, other)
            ]
            at_once = await asyncio.gather(*asked)
            assert len({one.id for one in at_once}) == 1
            assert [one.new for one in at_once].count(True) == 1
            assert (await other.enqueue(job("b"), one_at_a_time="daily")).new
            async with stage.working(lease=stage.rig.lease, concurrency=2):
                await stage.until(lambda: stage.effects.starts("middle", "hangs") != [])
                late = await other.enqueue(job("late"), one_at_a_time="night/ly ключ")
                assert (late.id, late.new) == (at_once[0].id, False)
                await late.cancel()
                await stage.until_state(late, "dead")
                after = await other.enqueue(job("after"), one_at_a_time="night/ly ключ")
                await stage.result(after)

        assert (after.new, after.id == late.id) == (True, False)
        assert stage.effects.starts("first", "late") == []
        assert len(stage.effects.starts("first", "hangs")) == 1

    @behaviour
    async def test_a_death_closes_no_kind(self, stage: Stage) -> None:
        """Who dies when their job has its turn and is not sent yet does not keep others out."""
        async with stage.new_queue() as other:
            other.broker = cast(Broker, _Dying(other.broker))
            with pytest.raises(_Died):
                await other.enqueue(job("dies"), one_at_a_time="nightly")
        added = await stage.queue.enqueue(job("a"), one_at_a_time="nightly")
        async with stage.working():
            await stage.result(added)

        assert added.new
        assert [one.job for one in stage.effects.all("start", step="first")] == ["a"]

    @behaviour
    async def test_priority(self, stage: Stage) -> None:
        """Larger priorities run first; a broker without any says so when one is asked for."""
        if not stage.able.priorities:
            with stage.refused(InvalidOption, "priorities"):
                await stage.queue.enqueue(job("a"), priority=1)
            return
        await stage.queue.open()
        added = [
            await stage.queue.enqueue(job(name), priority=priority)
            for name, priority in (("low", -1), ("plain", 0), ("high", 5))
        ]
        async with stage.working():
            for one in added:
                await stage.result(one)

        order = [one.job for one in stage.effects.all("end", step="first")]
        assert order == ["high", "plain", "low"]

    @behaviour
    async def test_concurrency(self, stage: Stage) -> None:
        """A worker runs as many jobs at once as it may, and no more."""
        names = [str(number) for number in range(6)]
        signals = [job(name, middle={"meet": 3}) for name in names]
        added = await stage.queue.enqueue_many(signals)
        async with stage.working(concurrency=3):
            for one in added:
                await stage.result(one)

        inside = most = 0
        moments = [(one.at, 1) for one in stage.effects.all("start", step="middle")]
        moments += [(one.at, -1) for one in stage.effects.all("end", step="middle")]
        for _, step in sorted(moments):
            inside += step
            most = max(most, inside)
        assert most == 3, f"{most} jobs ran at once, not 3"

    @behaviour
    async def test_rate_limit(self, stage: Stage) -> None:
        """No window starts more jobs than the limit: over all workers, where the broker can."""
        added = await stage.queue.enqueue_many(job(str(number)) for number in range(5))
        begin = time()
        async with stage.new_queue() as other, stage.working(concurrency=5, rate_limit=RATE):
            if stage.able.shared_rate_limit:
                async with stage.working(queue=other, concurrency=5, rate_limit=RATE):
                    await _all_done(stage, added)
            else:
                stage.remark = "per worker, as shared_rate_limit=False declares"
                await _all_done(stage, added)

        starts = sorted(stage.effects.starts("first"))
        assert starts[2] >= begin + RATE.per - CLOCKS_DIFFER, "three jobs in the first window"
        assert starts[4] >= begin + 2 * RATE.per - CLOCKS_DIFFER, "five jobs in two windows"

    @behaviour
    async def test_two_workers_share_without_a_repeat(self, stage: Stage) -> None:
        """With two workers and no fault, each effect happens once."""
        added = await stage.queue.enqueue_many(job(str(number)) for number in range(20))
        async with (
            stage.new_queue() as other,
            stage.working(concurrency=3),
            stage.working(queue=other, concurrency=3),
        ):
            await _all_done(stage, added)

        assert [stage.effects.count(step) for step in STEPS] == [20, 20, 20]

    @behaviour
    async def test_a_long_handler_keeps_its_lease(self, stage: Stage) -> None:
        """A handler that blocks the event loop for three leases is not run by another worker."""
        blocked = 3 * stage.rig.lease
        added = await stage.queue.enqueue(job("a", middle={"block": blocked}))
        stop = asyncio.Event()
        threads = [
            asyncio.ensure_future(stage.work_in_thread(stop, lease=stage.rig.lease))
            for _ in range(2)
        ]
        try:
            await stage.result(added)
        finally:
            stop.set()
            await asyncio.gather(*threads)

        assert len(stage.effects.starts("middle")) == 1
        record = await added.record()
        assert record is not None
        assert (record.state, record.attempts_made) == ("completed", 0)

    @behaviour
    async def test_pause_and_resume(self, stage: Stage) -> None:
        """A paused queue hands out nothing, on any worker, until it is resumed."""
        await stage.queue.pause()
        added = await stage.queue.enqueue(job("a"))
        async with stage.working():
            await asyncio.sleep(0.5)
            assert stage.effects.all("start") == []
            assert await stage.queue.paused()
            await stage.queue.resume()
            await stage.result(added)

    @behaviour
    async def test_cancel(self, stage: Stage) -> None:
        """A cancelled job is dead-lettered as such: at once, or when its worker hears of it."""
        waits = await stage.queue.enqueue(job("waits"))
        assert await waits.cancel()
        runs = await stage.queue.enqueue(job("runs", middle={"hang": True}))
        async with stage.working(lease=stage.rig.lease):
            await stage.until(lambda: stage.effects.starts("middle", "runs") != [])
            assert await runs.cancel()
            for one in (waits, runs):
                record = await stage.until_state(one, "dead")
                assert record.error is not None
                assert record.error["name"] == "JobCancelled"

        assert stage.effects.starts("first", "waits") == []
        assert stage.effects.starts("last", "runs") == []

    @behaviour
    async def test_remove(self, stage: Stage) -> None:
        """A removed job is gone, and whoever waits for its result is told."""
        added = await stage.queue.enqueue(job("a"))
        assert await stage.queue.remove(added.id)
        assert await added.record() is None
        try:
            await added.result(timeout=stage.rig.patience)
        except JobFailed:
            return
        raise AssertionError("a removed job has a result")


class _Died(Exception):
    """The process is gone."""


class _Dying:
    """A broker whose process dies before it has sent a job."""

    def __init__(self, inner: Broker) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def enqueue(self, jobs: Sequence[NewJob]) -> Sequence[bool]:
        raise _Died(jobs)


async def _all_done(stage: Stage, jobs: list[Job]) -> None:
    for one in jobs:
        await stage.result(one)
