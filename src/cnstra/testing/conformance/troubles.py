"""Servers that go away, messages that are no jobs, and jobs that are too large."""

import asyncio
from collections.abc import Sequence

from cnstra import BrokerUnavailable, ForeignJob, Job, Signal
from cnstra.errors import MessageTooLarge, StoreUnavailable
from cnstra.jobs.broker import NewJob
from cnstra.testing.conformance.behaviour import behaviour
from cnstra.testing.conformance.rig import Fault, cause, possible
from cnstra.testing.conformance.stage import Stage
from cnstra.testing.flow import STEPS, Work, job

POISON = (b"\xff\x00 no JSON", b'{"signal": {"collateralName": "nobody", "payload": 1}}', b"17")
LARGE = 200_000
AGAIN = 0.1


class Troubles:
    """With a broker that fails, and with what others put there."""

    @behaviour
    async def test_a_restart_in_mid_flight(self, stage: Stage) -> None:
        """The server stops and comes back: every job ends, what was enqueued meanwhile too."""
        await _survive(stage, possible(stage.rig.restart))

    @behaviour
    async def test_connections_cut_in_mid_flight(self, stage: Stage) -> None:
        """All connections are dropped: every job ends, what was enqueued meanwhile too."""
        await _survive(stage, possible(stage.rig.cut))

    @behaviour
    async def test_poison_is_dead_lettered(self, stage: Stage) -> None:
        """Job data that is no signal, or of an unknown collateral: dead, with the reason."""
        broker, ids = stage.queue.broker, [f"poison{number}" for number in range(len(POISON))]
        new = [NewJob(one, data, f"run-{one}") for one, data in zip(ids, POISON, strict=True)]
        await stage.queue.io.call(lambda: broker.enqueue(new))
        async with stage.working():
            await stage.result(await stage.queue.enqueue(job("good")))
            for one in ids:
                record = await stage.until_state(Job(stage.queue, one), "dead")
                assert record.error is not None
                assert record.error["name"] in ("UndecodableJob", "UnknownCollateral")
                assert record.error["message"]

    @behaviour
    async def test_a_foreign_message_is_dead_lettered(self, stage: Stage) -> None:
        """A message that a stranger put there is dead-lettered with the reason, never stuck."""
        publish = possible(stage.rig.publish_raw)
        for body in POISON[1:]:
            await cause(publish, stage.name, body)
        async with stage.working():
            await stage.result(await stage.queue.enqueue(job("good")))
            async with asyncio.timeout(stage.rig.patience):
                while len(found := await stage.queue.jobs("dead")) < len(POISON[1:]):
                    await asyncio.sleep(AGAIN)

        assert all(one.error and one.error["message"] for one in found)

    @behaviour
    async def test_a_foreign_message_runs_where_it_is_read(self, stage: Stage) -> None:
        """A message in a stranger's form runs as the signal that the queue's function makes."""
        await cause(possible(stage.rig.publish_raw), stage.name, b'{"order": "theirs"}')

        def read(one: ForeignJob) -> Signal[Work]:
            return job(one.data["order"])

        async with stage.new_queue(foreign=read) as queue, stage.working(queue=queue):
            await stage.result(await queue.enqueue(job("ours")))
            await stage.until(lambda: stage.effects.count(STEPS[-1], "theirs") == 1)

        assert [stage.effects.count(step, "theirs") for step in STEPS] == [1, 1, 1]

    @behaviour
    async def test_duplicates_and_disorder_are_harmless(self, stage: Stage) -> None:
        """A message that comes twice, its old copy while a retry waits: each effect once."""
        duplicate = possible(stage.rig.duplicate)
        added = await stage.queue.enqueue(
            job("a", middle={"fail": True}), max_attempts=3, backoff=0.5
        )
        await cause(duplicate, stage.name)
        async with stage.working():
            found = await stage.result(added)
            await stage.result(await stage.queue.enqueue(job("b"), delay=1.0))

        assert [stage.effects.count(step, "a") for step in STEPS] == [1, 1, 1]
        assert await stage.result(added) == found

    @behaviour
    async def test_a_large_payload_is_whole_or_refused(self, stage: Stage) -> None:
        """A payload up to the limit arrives whole; one above it is refused when it is enqueued."""
        limit = stage.able.max_payload
        if limit is not None:
            with stage.refused(MessageTooLarge, "max_payload"):
                await stage.queue.enqueue(job("a", "x" * limit), job_id="large")
            assert await stage.queue.get("large") is None
        size = LARGE if limit is None else min(LARGE, limit - 1000)
        added = await stage.queue.enqueue(job("a", "x" * size))
        async with stage.working():
            found = await stage.result(added)

        assert found["results"][0]["ballast"] == "x" * size

    @behaviour
    async def test_large_progress_is_whole_or_told(self, stage: Stage) -> None:
        """A context that outgrows the job's own limit is kept whole; or the job is dead-lettered
        with the reason.
        """
        size = max(LARGE, stage.able.max_payload or 0)
        added = await stage.queue.enqueue(
            job("a", middle={"grow": size, "fail": True}), max_attempts=2
        )
        async with stage.working():
            record = await stage.until_state(added, "completed", "dead")
        if record.state == "dead":
            assert record.error is not None
            assert record.error["name"] != "Broken"
            stage.refusal = f"progress of {size} bytes: {record.error['message']}"
        else:
            seen = [one.seen for one in stage.effects.all("start", step="middle")]
            assert seen == [0, "x" * size]


async def _survive(stage: Stage, fault: Fault) -> None:
    """Make the fault while jobs run and others are enqueued, and see each of them through."""
    signals = [job(str(number), middle={"sleep": 0.1}) for number in range(12)]
    async with stage.working(concurrency=2, lease=stage.rig.lease):
        added = [await stage.queue.enqueue(one) for one in signals[:6]]
        await stage.until(lambda: stage.effects.starts("middle") != [])
        made = asyncio.ensure_future(cause(fault))
        try:
            added += await _enqueue_stubbornly(stage, range(6, 12))
        finally:
            await made
        found = [await stage.result(one) for one in added]

    assert [one["results"][0]["job"] for one in found] == [str(one) for one in range(12)]


async def _enqueue_stubbornly(stage: Stage, numbers: Sequence[int]) -> list[Job]:
    """Enqueue each job again until the broker has answered; its id keeps it from being two."""
    added: list[Job] = []
    async with asyncio.timeout(stage.rig.patience):
        while len(added) < len(numbers):
            number = numbers[len(added)]
            try:
                name = str(number)
                added.append(await stage.queue.enqueue(job(name), job_id=f"gap-{name}"))
            except (BrokerUnavailable, StoreUnavailable):
                await asyncio.sleep(AGAIN)
    return added
