"""A job that failed here is a dead letter, whatever BullMQ deletes of it, and when."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest

from cnstra import Queue, Worker
from cnstra.engine.context import Context
from tests.durables import PATIENCE, until
from tests.flows import output, request, three_steps
from tests.node_programs import Bull, NodeWorker
from tests.redis_server import RedisServer

SIGNAL = {"signal": {"collateralName": "input", "payload": {"id": 100}}}
DONE = {"results": [{"result": "Final: 100"}]}
FAILS = {"failures": {"step1": 10**6}}

MORE_THAN_A_LOOK = 510
"""Dead jobs that a list of a hundred does not all look at."""


class Steps:
    """Step 2 fails until it is mended."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.is_mended = False

    async def __call__(self, step: str, item: int, ctx: Context[Any]) -> None:
        self.log.append(step)
        if step == "step2" and not self.is_mended:
            raise RuntimeError("step2 failed in Python")

    async def work(self, queue: Queue) -> None:
        worker = Worker(queue, three_steps(self), results=[output])
        await asyncio.wait_for(worker.run(until_idle=True), PATIENCE)


@pytest.fixture
def name() -> str:
    return f"q-{uuid4().hex[:8]}"


@pytest.fixture
def bull(redis_server: RedisServer, name: str) -> Iterator[Bull]:
    with Bull(redis_server.port, name) as asked:
        yield asked


@pytest.fixture
async def queue(redis_server: RedisServer, name: str) -> AsyncIterator[Queue]:
    async with Queue(name, redis_server.url) as opened:
        yield opened


async def dead(queue: Queue) -> list[str]:
    """The dead letters, by a list and a count that agree."""
    found = [one.id for one in await queue.jobs("dead")]
    assert len(found) == (await queue.counts())["dead"]
    return found


def in_use(bull: Bull) -> set[str]:
    """The states in which Node sees a job."""
    return {state for state, number in bull.ask("counts").items() if number}


async def until_bullmq_deletes(
    job_id: str, bull: Bull, server: RedisServer, name: str, options: dict[str, Any]
) -> list[str]:
    """Let Node fail jobs until it has deleted that one; the ids of those that it has failed."""
    failed: list[str] = []

    async def fail_another() -> bool:
        failed.append(bull.ask("add", data=SIGNAL, options=options))
        await until(lambda: not {"waiting", "active"} & in_use(bull))
        return bull.ask("job", id=job_id) is None

    with NodeWorker(server.port, name, **FAILS):
        await until(fail_another, every=0.1)
    return failed


@pytest.mark.parametrize(
    ("limit", "at_once"),
    [
        (True, True),
        (0, True),
        ({"age": 0}, True),
        (1, False),
        ({"count": 1}, False),
        ({"age": 1}, False),
    ],
)
async def test_a_job_that_its_adder_would_have_deleted_is_kept(
    redis_server: RedisServer, name: str, bull: Bull, queue: Queue, limit: Any, at_once: bool
) -> None:
    options = {"removeOnFail": limit, "removeOnComplete": True}
    job_id = bull.ask("add", data=SIGNAL, options=options)
    steps = Steps()
    await steps.work(queue)
    assert await dead(queue) == [job_id]
    assert (bull.ask("job", id=job_id) is None) == at_once

    others = await until_bullmq_deletes(job_id, bull, redis_server, name, options)

    letters = await dead(queue)
    assert letters.count(job_id) == 1
    assert set(letters) <= {job_id, *others}
    record = await queue.record(job_id)
    assert record is not None
    assert record.error is not None
    assert (record.state, record.attempts_made) == ("dead", 1)
    assert record.error["message"] == "step2 failed in Python"

    steps.is_mended = True
    assert await queue.redrive(job_id)
    await steps.work(queue)
    assert steps.log == ["step1", "step2", "step2", "step3"]
    assert job_id not in await dead(queue)


async def test_the_limit_of_a_neighbour_deletes_none_of_our_dead_letters(
    redis_server: RedisServer, name: str, bull: Bull, queue: Queue
) -> None:
    job = await queue.enqueue(request.create_signal({"id": 100}), job_id="ours")
    steps = Steps()
    await steps.work(queue)

    await until_bullmq_deletes("ours", bull, redis_server, name, {"removeOnFail": 1})

    assert (await dead(queue)).count("ours") == 1
    steps.is_mended = True
    assert await job.redrive()
    await steps.work(queue)
    assert await job.result(timeout=PATIENCE) == DONE


async def test_what_node_took_up_again_is_no_dead_letter(
    redis_server: RedisServer, name: str, bull: Bull, queue: Queue
) -> None:
    options = {"removeOnFail": {"count": 5}, "removeOnComplete": True}
    job_id = bull.ask("add", data=SIGNAL, options=options)
    await Steps().work(queue)
    assert await dead(queue) == [job_id]

    bull.ask("retry", id=job_id)
    assert await dead(queue) == []
    with NodeWorker(redis_server.port, name):
        await until(lambda: bull.ask("job", id=job_id) is None)

    assert await dead(queue) == []
    assert await queue.record(job_id) is None


async def test_what_node_completed_unseen_is_no_dead_letter(
    redis_server: RedisServer, name: str, bull: Bull, queue: Queue
) -> None:
    """Nobody looked between the retry and the end; the job is gone by then."""
    options = {"removeOnFail": {"count": 5}, "removeOnComplete": True}
    job_id = bull.ask("add", data=SIGNAL, options=options)
    await Steps().work(queue)

    with NodeWorker(redis_server.port, name):
        bull.ask("retry", id=job_id)
        await until(lambda: bull.ask("job", id=job_id) is None)

    assert await dead(queue) == []
    assert await queue.record(job_id) is None


async def test_what_somebody_removed_in_node_is_no_dead_letter(bull: Bull, queue: Queue) -> None:
    job_id = bull.ask("add", data=SIGNAL, options={})
    await Steps().work(queue)

    bull.ask("remove", id=job_id)

    assert await dead(queue) == []


async def test_a_new_job_of_the_same_id_takes_no_dead_letter_away(
    redis_server: RedisServer, name: str, bull: Bull, queue: Queue
) -> None:
    """BullMQ has deleted the first one by then, and nobody has looked."""
    options = {"removeOnFail": {"count": 1}}
    bull.ask("add", data=SIGNAL, options={**options, "jobId": "a"})
    steps = Steps()
    await steps.work(queue)
    await until_bullmq_deletes("a", bull, redis_server, name, options)

    steps.is_mended = True
    bull.ask("add", data=SIGNAL, options={**options, "jobId": "a"})
    await steps.work(queue)

    assert bull.ask("job", id="a")["state"] == "completed"
    assert "a~2" in await dead(queue)
    assert await queue.redrive("a~2")
    await steps.work(queue)
    assert bull.ask("job", id="a~2")["state"] == "completed"


async def test_a_removed_job_leaves_no_copy(
    redis_server: RedisServer, name: str, queue: Queue
) -> None:
    await queue.enqueue(request.create_signal({"id": 100}), job_id="ours")
    await Steps().work(queue)

    assert await queue.remove("ours")

    left = set(redis_server.call("KEYS", f"bull:{name}:*"))
    assert left <= {f"bull:{name}:{one}" for one in ("events", "id", "meta", "marker")}


@asynccontextmanager
async def at_work(queue: Queue, steps: Steps) -> AsyncIterator[None]:
    """A worker that has looked after the copies as it began, and has no reason to for a while."""
    worker = Worker(queue, three_steps(steps), results=[output])
    running = asyncio.create_task(worker.run())
    try:
        yield
    finally:
        worker.stop()
        await asyncio.wait_for(running, PATIENCE)


class Keys:
    """What Redis holds of the queue, without any look of ours at it."""

    def __init__(self, server: RedisServer, name: str) -> None:
        self.server = server
        self.base = f"bull:{name}:"

    def members(self, key: str) -> list[str]:
        found: list[str] = self.server.call("ZRANGE", self.base + key, 0, -1)
        return found

    def delete(self, job_id: str, state: str) -> None:
        """As BullMQ deletes a job for which there is no room any more."""
        self.server.call("ZREM", self.base + state, job_id)
        self.server.call("DEL", self.base + job_id)


@pytest.fixture
def keys(redis_server: RedisServer, name: str) -> Keys:
    return Keys(redis_server, name)


async def test_a_redriven_job_leaves_no_copy(queue: Queue, keys: Keys) -> None:
    """Nor does it take BullMQ's events to know that: they are cut off."""
    steps = Steps()
    async with at_work(queue, steps):
        await queue.enqueue(request.create_signal({"id": 100}), job_id="ours")
        await until(lambda: keys.members("failed") == ["ours"])
        steps.is_mended = True
        assert await queue.redrive("ours")
        await until(lambda: keys.members("completed") == ["ours"])

    keys.server.call("XTRIM", f"{keys.base}events", "MAXLEN", 0)
    keys.delete("ours", "completed")
    assert await dead(queue) == []


async def test_a_worker_sees_what_bullmq_has_deleted(queue: Queue, keys: Keys) -> None:
    await queue.enqueue(request.create_signal({"id": 100}), job_id="ours")
    await Steps().work(queue)
    keys.delete("ours", "failed")
    assert (keys.members("cnstra:copies"), keys.members("cnstra:dead")) == (["ours"], [])

    async with at_work(queue, Steps()):
        await until(lambda: keys.members("cnstra:dead") == ["ours"])

    assert keys.members("cnstra:copies") == []


async def test_what_is_deleted_at_once_is_a_dead_letter_at_once(
    bull: Bull, queue: Queue, keys: Keys
) -> None:
    async with at_work(queue, Steps()):
        job_id = bull.ask("add", data=SIGNAL, options={"removeOnFail": True})
        await until(lambda: keys.members("cnstra:copies") or keys.members("cnstra:dead"))

    assert (keys.members("cnstra:copies"), keys.members("cnstra:dead")) == ([], [job_id])


async def test_a_second_failure_of_an_id_keeps_the_first(queue: Queue, keys: Keys) -> None:
    """Nobody has looked since BullMQ deleted the first job."""
    async with at_work(queue, Steps()):
        await queue.enqueue(request.create_signal({"id": 100}), job_id="ours")
        await until(lambda: keys.members("failed") == ["ours"])
        keys.delete("ours", "failed")
        await queue.enqueue(request.create_signal({"id": 100}), job_id="ours")
        await until(lambda: keys.members("failed") == ["ours"])

    assert sorted(await dead(queue)) == ["ours", "ours~2"]


async def test_a_list_finds_the_deleted_behind_many_that_somebody_removed(
    bull: Bull, queue: Queue, keys: Keys
) -> None:
    """It compares the newest copies alone, and as many more as it drops of these."""
    first = bull.ask("add", data=SIGNAL, options={})
    await Steps().work(queue)
    await queue.enqueue_many([request.create_signal({"id": 100})] * MORE_THAN_A_LOOK)
    await Steps().work(queue)
    keys.delete(first, "failed")
    for job_id in keys.members("failed"):
        bull.ask("remove", id=job_id)
    assert len(keys.members("cnstra:copies")) == MORE_THAN_A_LOOK + 1

    assert await dead(queue) == [first]
    assert keys.members("cnstra:copies") == []
