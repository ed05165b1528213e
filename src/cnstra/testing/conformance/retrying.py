"""Attempts that fail: what is kept, when the next one comes, and where it ends."""

from cnstra import Backoff, exponential, fixed
from cnstra.testing.conformance.behaviour import behaviour
from cnstra.testing.conformance.running import CLOCKS_DIFFER
from cnstra.testing.conformance.stage import Stage
from cnstra.testing.flow import STEPS, graph, graph_without_middle, job, ready, result


class Retrying:
    """With handlers that raise."""

    @behaviour
    async def test_a_retry_repeats_no_completed_step(self, stage: Stage) -> None:
        """A retry runs the failed step, with its context, its key and the results kept."""
        added = await stage.queue.enqueue(
            job("a", middle={"fail": True, "times": 2}), max_attempts=3
        )
        async with stage.working(results=[ready, result]):
            found = await stage.result(added)

        assert [one["job"] for one in found["results"]] == ["a", "a"], "of the first step, the last"
        assert [stage.effects.count(step) for step in STEPS] == [1, 1, 1]
        tries = stage.effects.all("start", step="middle")
        assert [one.attempt for one in tries] == [1, 2, 3]
        assert [one.seen for one in tries] == [0, 1, 2], "the context of a failed step is lost"
        assert len({one.key for one in tries}) == 1, "the idempotency key changed"
        record = await added.record()
        assert record is not None
        assert (record.state, record.attempts_made) == ("completed", 2)

    @behaviour
    async def test_fixed_backoff(self, stage: Stage) -> None:
        """Each retry comes after the same pause, never early."""
        await _retries_after(stage, fixed(0.5), 0.5, 0.5)

    @behaviour
    async def test_exponential_backoff(self, stage: Stage) -> None:
        """Each retry comes after a longer pause, never early."""
        await _retries_after(stage, exponential(0.3, factor=3.0), 0.3, 0.9)

    @behaviour
    async def test_jitter(self, stage: Stage) -> None:
        """Chance may take off its share of a pause, never more."""
        await _retries_after(stage, fixed(0.8, jitter=0.5), 0.4, 0.4)

    @behaviour
    async def test_exhausted_attempts_are_dead_lettered_and_redriven(self, stage: Stage) -> None:
        """A dead job tells its error and keeps its progress: redriven, it resumes there."""
        added = await stage.queue.enqueue(
            job("a", middle={"fail": True, "times": 2}), max_attempts=2
        )
        async with stage.working():
            record = await stage.until_state(added, "dead")
            assert record.attempts_made == record.max_attempts == 2
            assert record.error is not None
            assert record.error["message"] == "as it was told to"
            assert [one.id for one in await stage.dead()] == [added.id]
            progress = await stage.queue.progress(added.id)
            assert progress is not None
            assert [task.neuron for _, task in progress.tasks()] == ["middle"]

            assert await added.redrive()
            await stage.result(added)

        assert [stage.effects.count(step) for step in STEPS] == [1, 1, 1]
        assert [one.seen for one in stage.effects.all("start", step="middle")] == [0, 1, 2]

    @behaviour
    async def test_a_neuron_that_a_deploy_removed(self, stage: Stage) -> None:
        """Its job is dead-lettered with the reason; the worker goes on. Redriven where another
        neuron says that it was called so, it resumes there.
        """
        added = await stage.queue.enqueue(job("a", middle={"hang": True}))
        async with stage.working(grace=0.0):
            await stage.until(lambda: stage.effects.starts("middle") != [])
        async with stage.working(graph_without_middle(stage.effects)):
            record = await stage.until_state(added, "dead")
            assert record.error is not None
            assert record.error["name"] == "UnknownNeuron"
            assert "middle" in record.error["message"]
            assert await stage.result(await stage.queue.enqueue(job("b"))) == {"results": []}
        renamed = graph(stage.effects, middle={"name": "centre", "former_names": ["middle"]})
        async with stage.working(renamed):
            assert await added.redrive()
            await stage.result(added)

        assert [stage.effects.count(step, "a") for step in STEPS] == [1, 1, 1]
        tries = stage.effects.all("start", "a", "middle")
        assert len({one.key for one in tries}) == 1, "the idempotency key changed with the name"


async def _retries_after(stage: Stage, backoff: Backoff, *pauses: float) -> None:
    """Fail a job twice, and see that neither retry came before its pause was over."""
    added = await stage.queue.enqueue(
        job("a", middle={"fail": True, "times": 2}), max_attempts=3, backoff=backoff
    )
    async with stage.working():
        await stage.result(added)
    starts = stage.effects.starts("middle")
    for pause, failed, tried in zip(pauses, starts[:-1], starts[1:], strict=True):
        had = tried - failed
        assert had >= pause - CLOCKS_DIFFER, f"a retry came after {had:.3f} s, not {pause:g} s"
