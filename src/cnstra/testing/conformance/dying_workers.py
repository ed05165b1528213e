"""Workers that are told to end, killed and stopped."""

import asyncio
import signal

from cnstra.testing.conformance.behaviour import behaviour
from cnstra.testing.conformance.stage import Stage
from cnstra.testing.dying import COMMIT_POINTS, FINISH_POINTS, SETTLE_POINTS
from cnstra.testing.flow import STEPS, Mishap, job


class DyingWorkers:
    """With workers that do not see their jobs through."""

    @behaviour
    async def test_an_abort_releases_without_an_attempt(self, stage: Stage) -> None:
        """A worker that is stopped gives its job back where it stands."""
        added = await stage.queue.enqueue(job("a", middle={"hang": True}), max_attempts=1)
        async with stage.working():
            await stage.until(lambda: stage.effects.starts("middle") != [])
        record = await stage.until_state(added, "waiting")
        assert record.attempts_made == 0
        async with stage.working():
            await stage.result(added)

        assert [stage.effects.count(step) for step in STEPS] == [1, 1, 1]
        assert [one.attempt for one in stage.effects.all("start", step="middle")] == [1, 1]

    @behaviour
    async def test_sigterm_releases_without_an_attempt(self, stage: Stage) -> None:
        """A process that is told to end gives its job back and ends with status 0."""
        added = await stage.queue.enqueue(job("a", middle={"hang": True}), max_attempts=1)
        async with stage.process() as told:
            await stage.until(lambda: stage.effects.starts("middle") != [])
            told.send(signal.SIGTERM)
            assert await told.ended() == 0, told.said
        record = await stage.until_state(added, "waiting")
        assert record.attempts_made == 0
        async with stage.working():
            await stage.result(added)

        assert [stage.effects.count(step) for step in STEPS] == [1, 1, 1]

    @behaviour
    async def test_sigkill_at_each_commit_point(self, stage: Stage) -> None:
        """Killed between any two lines of a commit, the job is resumed, and costs no attempt."""
        stage.require_durable()
        points = [*COMMIT_POINTS, *SETTLE_POINTS]
        if not stage.able.atomic_settlement:
            points += FINISH_POINTS
        await asyncio.gather(*(_die_at(stage, point) for point in points))

    @behaviour
    async def test_sigkill_while_a_retry_is_settled(self, stage: Stage) -> None:
        """Killed around the settlement of a failed attempt, the job is tried again all the same."""
        stage.require_durable()
        await asyncio.gather(*(_die_at(stage, point, fails=True) for point in SETTLE_POINTS))

    @behaviour
    async def test_a_finished_job_is_not_run_again(self, stage: Stage) -> None:
        """A job that is delivered again after its end settles with the result that was stored."""
        await _die_at(stage, "settled" if stage.able.atomic_settlement else "finished")

    @behaviour
    async def test_the_crash_limit_names_the_neuron(self, stage: Stage) -> None:
        """A step that kills its process time and again is parked, by name; redriven, it resumes."""
        times = 2
        added = await stage.queue.enqueue(job("a", middle={"die": True, "times": times}))
        for _ in range(times):
            async with stage.process(durability="step", crash_limit=times) as killed:
                assert await killed.ended() == -signal.SIGKILL, killed.said
        async with stage.working(crash_limit=times):
            record = await stage.until_state(added, "dead")
            assert record.error is not None
            assert record.error["name"] == "CrashLimitReached"
            assert "'middle'" in record.error["message"]
            await stage.result(await stage.queue.enqueue(job("b")))
        async with stage.working(crash_limit=times):
            assert await added.redrive()
            await stage.result(added)

        assert [stage.effects.count(step, "a") for step in STEPS] == [1, 1, 1]

    @behaviour
    async def test_a_zombie_is_fenced(self, stage: Stage) -> None:
        """A process that was stopped for longer than its lease cannot write when it comes back."""
        added = await stage.queue.enqueue(job("a", middle={"sleep": 1.5 * stage.rig.lease}))
        async with stage.process(durability="step") as zombie:
            await stage.until(lambda: stage.effects.starts("middle") != [])
            zombie.send(signal.SIGSTOP)
            async with stage.working():
                found = await stage.result(added)
                record = await stage.until_state(added, "completed")
                zombie.send(signal.SIGCONT)
                await zombie.says("is out of our hands")
                zombie.send(signal.SIGTERM)
                assert await zombie.ended() == 0, zombie.said
            assert await added.record() == record, "the zombie has changed the job"
            assert await stage.result(added) == found

        assert stage.effects.count("last") == 1


async def _die_at(stage: Stage, point: str, *, fails: bool = False) -> None:
    """Have a worker process killed there, and see that another worker ends the job rightly."""
    async with stage.another() as own:
        number = 2 if point in COMMIT_POINTS else 1
        mishaps: dict[str, Mishap] = {"last": {"fail": True}} if fails else {}
        added = await own.queue.enqueue(job(point, "", **mishaps), max_attempts=1 + fails)
        async with own.process(die=(point, number), durability="step") as killed:
            assert await killed.ended() == -signal.SIGKILL, f"at {point!r}: {killed.said}"
        async with own.working(durability="step"):
            found = await own.result(added)
            record = await own.until_state(added, "completed")

        assert [one["job"] for one in found["results"]] == [point]
        assert record.attempts_made <= fails, f"to be killed at {point!r} cost an attempt"
        counts = [own.effects.count(step) for step in STEPS]
        ending = SETTLE_POINTS if own.able.atomic_settlement else FINISH_POINTS
        may_repeat = {*STEPS} if point in COMMIT_POINTS else set[str]()
        if point in ending[:2] and not fails:  # the end of the job is its last step's checkpoint
            may_repeat = {STEPS[-1]}
        for step, count in zip(STEPS, counts, strict=True):
            assert 1 <= count <= 1 + (step in may_repeat), f"at {point!r}: {counts}"
