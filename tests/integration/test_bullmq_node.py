"""One queue, two languages: jobs, progress, results and events go from Python to Node and back."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import pytest

from cnstra import Queue, Worker
from cnstra.adapters.bullmq.scripts import script
from cnstra.engine.context import Context
from cnstra.engine.payloads import encode_json
from cnstra.errors import LeaseLost
from cnstra.jobs.retry import exponential, fixed
from tests.durables import PATIENCE, until, working
from tests.flows import output, request, three_steps
from tests.node_programs import Bull, NodeWorker
from tests.proxy import Proxy
from tests.redis_server import RedisServer

SIGNAL = {"signal": {"collateralName": "input", "payload": {"id": 100}}}
ATTEMPTS = {"attempts": 5, "backoff": {"type": "fixed", "delay": 50}}
DONE = {"results": [{"result": "Final: 100"}]}


class Steps:
    """What the steps did here, and which of them are to fail."""

    def __init__(self, **failures: int) -> None:
        self.log: list[str] = []
        self.failures = failures

    async def __call__(self, step: str, item: int, ctx: Context[Any]) -> None:
        self.log.append(step)
        if self.failures.get(step, 0) > 0:
            self.failures[step] -= 1
            raise RuntimeError(f"{step} failed in Python")


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


async def work_until_idle(queue: Queue, steps: Steps, **options: Any) -> None:
    worker = Worker(queue, three_steps(steps), results=[output], **options)
    await asyncio.wait_for(worker.run(until_idle=True), PATIENCE)


async def is_in(queue: Queue, job_id: str, *states: str) -> bool:
    record = await queue.record(job_id)
    return record is not None and record.state in states


# --- jobs


async def test_a_job_that_node_adds_runs_here(bull: Bull, queue: Queue) -> None:
    job_id = bull.ask("add", data=SIGNAL, options={"attempts": 2})
    steps = Steps()

    await work_until_idle(queue, steps)

    assert steps.log == ["step1", "step2", "step3"]
    job = bull.ask("job", id=job_id)
    assert (job["state"], job["returnvalue"], job["attemptsMade"]) == ("completed", DONE, 1)
    found = await queue.get(job_id)
    assert found is not None
    assert await found.result(timeout=PATIENCE) == DONE


async def test_a_job_that_is_added_here_runs_in_node(
    redis_server: RedisServer, name: str, queue: Queue
) -> None:
    job = await queue.enqueue(request.create_signal({"id": 100}), job_id="user:42")

    with NodeWorker(redis_server.port, name):
        assert await job.result(timeout=PATIENCE) == {"results": ["Final: 100"]}


async def test_node_reads_the_options_of_a_job_of_ours(bull: Bull, queue: Queue) -> None:
    signal = request.create_signal({"id": 1})
    await queue.enqueue(
        signal, job_id="a", max_attempts=3, backoff=exponential(1.5), delay=60.0, priority=-7
    )
    await queue.enqueue(signal, job_id="b", backoff=fixed(2.0, jitter=0.5), priority=3)

    a, b = bull.ask("job", id="a"), bull.ask("job", id="b")

    assert (a["state"], a["opts"]["priority"]) == ("delayed", 7)
    assert 59_900 < a["delay"] <= 60_000
    assert (a["opts"]["attempts"], a["opts"]["backoff"]) == (
        3, {"type": "exponential", "delay": 1500},
    )  # fmt: skip
    assert (b["state"], b["opts"].get("priority")) == ("waiting", None)
    assert b["opts"]["backoff"] == {"type": "fixed", "delay": 2000, "jitter": 0.5}
    assert a["data"]["signal"] == {"collateralName": "input", "payload": {"id": 1}}


async def test_the_newer_shape_of_job_data_is_read(bull: Bull, queue: Queue) -> None:
    job_id = bull.ask("add", data=SIGNAL["signal"], options={})

    await work_until_idle(queue, Steps())

    assert bull.ask("job", id=job_id)["returnvalue"] == DONE


async def test_node_sees_every_event_of_a_job_that_runs_here(bull: Bull, queue: Queue) -> None:
    job_id = bull.ask("add", data=SIGNAL, options=ATTEMPTS)

    await work_until_idle(queue, Steps(step2=1))

    await until(lambda: "completed" in [one["event"] for one in bull.ask("events")])
    told = [one["event"] for one in bull.ask("events") if one.get("jobId") == job_id]
    assert told == ["added", "waiting", "active", "delayed", "waiting", "active", "completed"]


async def test_the_events_of_nodes_workers_are_told_here(
    redis_server: RedisServer, name: str, bull: Bull, queue: Queue
) -> None:
    job_id = bull.ask("add", data=SIGNAL, options=ATTEMPTS)
    with NodeWorker(redis_server.port, name, failures={"step1": 1}):
        await until(lambda: is_in(queue, job_id, "completed"))

    events = await queue.io.call(lambda: queue.broker.events(0))

    kinds = [event.kind for event in events if event.job_id == job_id]
    assert kinds == ["enqueued", "started", "retried", "started", "completed"]


async def test_a_paused_queue_is_paused_for_both(bull: Bull, queue: Queue) -> None:
    bull.ask("pause")
    assert await queue.paused()
    job_id = bull.ask("add", data=SIGNAL, options={})
    steps = Steps()
    await work_until_idle(queue, steps)
    assert steps.log == []

    await queue.resume()

    await work_until_idle(queue, steps)
    assert bull.ask("job", id=job_id)["state"] == "completed"


# --- attempts


async def test_what_node_began_and_recorded_is_resumed_here(
    redis_server: RedisServer, name: str, bull: Bull, queue: Queue
) -> None:
    job_id = bull.ask("add", data=SIGNAL, options={**ATTEMPTS, "backoff": 1500})
    with NodeWorker(redis_server.port, name, failures={"step2": 1}):
        await until(lambda: is_in(queue, job_id, "delayed"))
    saved = bull.ask("job", id=job_id)["progress"]
    assert [one["task"]["neuronId"] for one in saved["failedTasks"]] == ["step2"]
    steps = Steps()

    await work_until_idle(queue, steps)

    assert steps.log == ["step2", "step3"]
    assert bull.ask("job", id=job_id)["returnvalue"] == DONE


async def test_what_failed_here_is_resumed_by_node(
    redis_server: RedisServer, name: str, bull: Bull, queue: Queue
) -> None:
    job_id = bull.ask("add", data=SIGNAL, options={**ATTEMPTS, "backoff": 1500})
    steps = Steps(step2=1)
    worker = Worker(queue, three_steps(steps), results=[output])
    running = asyncio.create_task(worker.run())
    await until(lambda: is_in(queue, job_id, "delayed"))
    worker.stop()
    await running

    job = bull.ask("job", id=job_id)
    saved = job["progress"]
    assert saved["context"] == {
        "step1": {"executed": ["step1-100"]}, "step2": {"executed": ["step2-100"]},
    }  # fmt: skip
    (failed,) = saved["failedTasks"]
    assert failed["error"]["message"] == "step2 failed in Python"
    assert not failed["aborted"]
    assert (job["attemptsMade"], job["failedReason"]) == (1, "step2 failed in Python")
    assert "RuntimeError" in job["stacktrace"][0]

    with NodeWorker(redis_server.port, name, log=f"log:{name}"):
        await until(lambda: is_in(queue, job_id, "completed"))
    notes = [json.loads(one) for one in redis_server.call("LRANGE", f"log:{name}", 0, -1)]
    assert notes[0]["resumed"] == ["step2"]
    assert [one["step"] for one in notes[1:]] == ["step2", "step3"]


async def test_a_job_goes_to_and_fro(
    redis_server: RedisServer, name: str, bull: Bull, queue: Queue
) -> None:
    """Node aborts it, Python fails it, Node ends it: nothing that was recorded runs again."""
    job_id = bull.ask("add", data=SIGNAL, options={"attempts": 5, "backoff": 1000})
    log = f"log:{name}"
    with NodeWorker(redis_server.port, name, abortAfter=10, stepTime=100, log=log):
        await until(lambda: is_in(queue, job_id, "delayed"))
    (owed,) = bull.ask("job", id=job_id)["progress"]["failedTasks"]
    assert (owed["task"]["neuronId"], owed["aborted"]) == ("step2", True)

    steps = Steps(step3=1)
    worker = Worker(queue, three_steps(steps), results=[output])
    running = asyncio.create_task(worker.run())
    await until(lambda: "step3" in steps.log)
    await until(lambda: is_in(queue, job_id, "delayed"))
    worker.stop()
    await running
    assert steps.log == ["step2", "step3"]

    with NodeWorker(redis_server.port, name, log=log):
        await until(lambda: is_in(queue, job_id, "completed"))

    notes = [json.loads(one) for one in redis_server.call("LRANGE", log, 0, -1)]
    assert [one["step"] for one in notes if "step" in one] == ["step1", "step3"]
    job = bull.ask("job", id=job_id)
    assert (job["returnvalue"], job["attemptsMade"]) == ({"results": ["Final: 100"]}, 3)


async def test_a_dashboard_retries_what_was_dead_lettered_here(bull: Bull, queue: Queue) -> None:
    job_id = bull.ask("add", data=SIGNAL, options={})
    steps = Steps(step2=1)
    await work_until_idle(queue, steps)
    assert bull.ask("job", id=job_id)["state"] == "failed"

    bull.ask("retry", id=job_id)
    await work_until_idle(queue, steps)

    assert steps.log == ["step1", "step2", "step2", "step3"]
    assert bull.ask("job", id=job_id)["state"] == "completed"


async def test_a_dashboard_revives_what_was_cancelled_here(bull: Bull, queue: Queue) -> None:
    job = await queue.enqueue(request.create_signal({"id": 100}), job_id="a")
    assert await job.cancel()
    assert bull.ask("job", id="a")["state"] == "failed"

    bull.ask("retry", id="a")
    await work_until_idle(queue, Steps())

    assert bull.ask("job", id="a")["state"] == "completed"


async def quarantined(queue: Queue, job_id: str, *, crashes: int) -> None:
    """Let the job die of so many crashes in step 2."""
    steps = Steps()
    for _ in range(crashes):
        await checkpointed(queue, job_id)
    await work_until_idle(queue, steps, crash_limit=crashes, lease=3.0)
    assert steps.log == []
    record = await queue.record(job_id)
    assert record is not None
    assert record.error is not None
    assert (record.state, record.error["name"]) == ("dead", "CrashLimitReached")


async def test_a_dashboard_revives_what_was_quarantined_here(bull: Bull, queue: Queue) -> None:
    job_id = bull.ask("add", data=SIGNAL, options={"attempts": 5})
    await quarantined(queue, job_id, crashes=1)
    steps = Steps()

    bull.ask("retry", id=job_id)
    await work_until_idle(queue, steps, crash_limit=1)

    assert steps.log == ["step2", "step3"]
    assert bull.ask("job", id=job_id)["returnvalue"] == DONE


async def test_the_crashes_of_a_revived_job_are_counted_again(bull: Bull, queue: Queue) -> None:
    job_id = bull.ask("add", data=SIGNAL, options={"attempts": 5})
    await quarantined(queue, job_id, crashes=1)

    bull.ask("retry", id=job_id)

    await quarantined(queue, job_id, crashes=2)


# --- flows


async def test_a_parent_whose_child_failed_fails_without_being_run(
    redis_server: RedisServer, name: str, bull: Bull, queue: Queue
) -> None:
    options = {"failParentOnFailure": True}
    parent = bull.ask("addParent", data=SIGNAL, of=f"{name}-children", options=options)
    with NodeWorker(redis_server.port, f"{name}-children", failures={"step1": 1}):
        await until(lambda: redis_server.call("HEXISTS", f"bull:{name}:{parent}", "defa"))
    steps = Steps()

    await work_until_idle(queue, steps)

    assert steps.log == []
    job = bull.ask("job", id=parent)
    assert job["state"] == "failed"
    assert job["failedReason"].startswith(f"child bull:{name}-children:")


# --- job schedulers


def completed(server: RedisServer, name: str) -> int:
    return int(server.call("ZCARD", f"bull:{name}:completed"))


async def until_completed(server: RedisServer, name: str, more: int) -> None:
    wanted = completed(server, name) + more
    await until(lambda: completed(server, name) >= wanted)


@pytest.mark.parametrize("repeat", [{"every": 200}, {"pattern": "* * * * * *"}], ids=str)
async def test_workers_of_both_languages_keep_a_scheduler_going(
    redis_server: RedisServer, name: str, bull: Bull, queue: Queue, repeat: dict[str, Any]
) -> None:
    bull.ask("schedule", id="tick", repeat=repeat, data=SIGNAL, options={"attempts": 4})
    for _ in range(2):
        async with working(queue, three_steps(Steps())):
            await until_completed(redis_server, name, 2)
        with NodeWorker(redis_server.port, name):
            await until_completed(redis_server, name, 2)

    async with working(queue, three_steps(Steps())):
        await until_completed(redis_server, name, 2)

    scheduler = bull.ask("scheduler", id="tick")
    waiting = bull.ask("job", id=f"repeat:tick:{scheduler['next']}")
    assert scheduler["iterationCount"] == sum((await queue.counts()).values())
    assert waiting["opts"]["repeat"] == {**repeat, "count": scheduler["iterationCount"]}
    assert (waiting["data"], waiting["opts"]["attempts"]) == (SIGNAL, 4)


async def test_a_scheduler_ends_at_its_limit(
    redis_server: RedisServer, name: str, bull: Bull, queue: Queue
) -> None:
    repeat = {"every": 100, "limit": 3}
    bull.ask("schedule", id="tick", repeat=repeat, data=SIGNAL, options={})

    async with working(queue, three_steps(Steps())):
        await until_completed(redis_server, name, 3)

    counts = await queue.counts()
    assert (counts["completed"], counts["delayed"], counts["waiting"]) == (3, 0, 0)


async def test_a_scheduler_outlives_a_worker_that_dies_before_it_adds_the_next_job(
    redis_server: RedisServer, name: str, bull: Bull
) -> None:
    bull.ask("schedule", id="tick", repeat={"every": 100}, data=SIGNAL, options={})
    async with Proxy(redis_server.port) as proxy, Queue(name, proxy.url) as queue:
        proxy.refuse = script("iterate").sha
        async with working(queue, three_steps(Steps()), lease=1.0):
            await until_completed(redis_server, name, 3)
        assert proxy.cuts == 1


async def test_a_cancelled_job_of_a_scheduler_is_followed_by_the_next(
    bull: Bull, queue: Queue
) -> None:
    first = bull.ask("schedule", id="tick", repeat={"pattern": "0 0 1 1 *"}, data=SIGNAL)
    assert await queue.cancel(first)

    counts = await queue.counts()
    assert (counts["dead"], counts["delayed"]) == (1, 1)
    following = bull.ask("scheduler", id="tick")["next"]
    assert following > int(first.rpartition(":")[2])


@pytest.mark.parametrize(
    "opts",
    [
        '{"repeat": {"pattern": "at full moon"}}',
        '{"repeat": {"every": 100}, "timeout": 1000000000000000000000000}',
        "{}",
        "[",
    ],
)
async def test_a_schedule_that_nobody_can_read_harms_no_job(
    redis_server: RedisServer,
    name: str,
    bull: Bull,
    queue: Queue,
    opts: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    job_id = bull.ask("schedule", id="tick", repeat={"every": 100}, data=SIGNAL, options={})
    redis_server.call("HSET", f"bull:{name}:{job_id}", "opts", opts)

    await work_until_idle(queue, Steps())

    assert (await queue.counts())["completed"] == 1
    assert f"The scheduler of job '{job_id}' ends with it" in caplog.text


# --- which of two records is the newer


async def checkpointed(queue: Queue, job_id: str) -> None:
    """Leave the job with a checkpoint behind step 1, as a worker does that dies in step 2."""
    reached = asyncio.Event()

    async def work(step: str, item: int, ctx: Context[Any]) -> None:
        if step == "step2":
            reached.set()
            await asyncio.Event().wait()

    worker = Worker(queue, three_steps(work), results=[output], lease=1.0, grace=0.0)
    running = asyncio.create_task(worker.run())
    await asyncio.wait_for(reached.wait(), PATIENCE)
    await until(lambda: queue.progress(job_id))
    # It dies: nothing more is written, no lease renewed, nothing settled.
    worker._consumer.stop()
    for attempt in worker._consumer._held:
        attempt.lose(LeaseLost(job_id=job_id))
    await running


async def test_a_checkpoint_is_newer_than_the_progress_it_descends_from(
    bull: Bull, queue: Queue
) -> None:
    job_id = bull.ask("add", data=SIGNAL, options={"attempts": 5})
    await checkpointed(queue, job_id)
    steps = Steps()

    await work_until_idle(queue, steps)

    assert steps.log == ["step2", "step3"]


async def test_what_node_recorded_after_a_checkpoint_is_newer(
    redis_server: RedisServer, name: str, bull: Bull, queue: Queue
) -> None:
    """Node took the stalled job, knew nothing of the checkpoint, and recorded where it got to."""
    job_id = bull.ask("add", data=SIGNAL, options={"attempts": 5, "backoff": 2000})
    await checkpointed(queue, job_id)
    options = {"stalledInterval": 200, "maxStalledCount": 1000}
    with NodeWorker(redis_server.port, name, failures={"step1": 1}, worker=options):
        await until(lambda: is_in(queue, job_id, "delayed"))
    steps = Steps()

    await work_until_idle(queue, steps)

    assert steps.log == ["step1", "step2", "step3"]
    assert bull.ask("job", id=job_id)["returnvalue"] == DONE


# --- foreign and hostile input


@pytest.mark.parametrize(
    "data", [{}, {"userId": "42"}, [], "text", 7, None, {"signal": 1}, {"signal": {"payload": 1}}]
)
async def test_foreign_job_data_is_dead_lettered_with_the_reason(
    bull: Bull, queue: Queue, data: Any
) -> None:
    job_id = bull.ask("add", data=data, options={"attempts": 3})

    await work_until_idle(queue, Steps())

    job = bull.ask("job", id=job_id)
    assert job["state"] == "failed"
    assert "is not a signal" in job["failedReason"]


@pytest.mark.parametrize(
    "progress",
    [b"50", b'"half"', b'{"done": 3}', b"[1,2]", b"null", b"true", b'{"failedTasks": 1}'],
)
async def test_a_progress_that_is_none_runs_from_the_entry(
    redis_server: RedisServer, name: str, bull: Bull, queue: Queue, progress: bytes
) -> None:
    job_id = bull.ask("add", data=SIGNAL, options={})
    redis_server.call("HSET", f"bull:{name}:{job_id}", "progress", progress)
    steps = Steps()

    await work_until_idle(queue, steps)

    assert steps.log == ["step1", "step2", "step3"]


@pytest.mark.parametrize(
    "progress",
    [
        b"{",
        b'{"failedTasks": [1]}',
        b'{"failedTasks": [{"task": {"neuronId": 5}}]}',
        b'{"failedTasks": [{"task": {"neuronId": "gone", "dendriteCollateralName": "input"}}]}',
        b'{"failedTasks": [], "cnstra": {"v": 99}}',
        b'{"failedTasks": [], "cnstra": []}',
        b"[" * 10_000,
    ],
)
async def test_a_progress_that_is_broken_is_dead_lettered_with_the_reason(
    redis_server: RedisServer, name: str, bull: Bull, queue: Queue, progress: bytes
) -> None:
    job = await queue.enqueue(request.create_signal({"id": 1}), job_id="a")
    redis_server.call("HSET", f"bull:{name}:a", "progress", progress)
    steps = Steps()

    await work_until_idle(queue, steps)

    record = await queue.record(job.id)
    assert record is not None
    assert (record.state, steps.log) == ("dead", [])
    assert record.error is not None
    assert record.error["name"] in ("ProgressUnreadable", "ProgressTooNew", "UnknownNeuron")


@pytest.mark.parametrize("opts", [b"", b"{", b'{"attempts": "many"}', b'{"backoff": "x"}', b"[]"])
async def test_hostile_options_are_as_good_as_none(
    redis_server: RedisServer, name: str, bull: Bull, queue: Queue, opts: bytes
) -> None:
    job = await queue.enqueue(request.create_signal({"id": 1}), job_id="a")
    redis_server.call("HSET", f"bull:{name}:a", "opts", opts)

    await work_until_idle(queue, Steps())

    assert await job.state() == "completed"


async def test_the_newer_shape_of_progress_is_read(
    redis_server: RedisServer, name: str, bull: Bull, queue: Queue
) -> None:
    job_id = bull.ask("add", data=SIGNAL, options={})
    task = {
        "neuronName": "step3",
        "dendriteCollateralName": "step2Out",
        "input": {"collateralName": "step2Out", "payload": {"id": 100}},
    }
    saved = {"tasks": [task], "context": {"step3": {"executed": []}}}
    redis_server.call("HSET", f"bull:{name}:{job_id}", "progress", encode_json(saved))
    steps = Steps()

    await work_until_idle(queue, steps)

    assert steps.log == ["step3"]
