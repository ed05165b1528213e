"""Jobs that other programs have added in a form of their own: the queue is told how to read it."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any, TypedDict
from uuid import uuid4

import pytest

from cnstra import CNS, ForeignJob, Queue, Signal, Worker, collateral, neuron
from cnstra.errors import ForeignJobUnread, InvalidOption
from cnstra.jobs.broker import NewJob
from cnstra.jobs.checking import check
from cnstra.jobs.explanation import explain
from cnstra.testing import WorkerHarness, virtual_time
from tests.durables import PATIENCE, Story, drain, entry, record_of, until, working
from tests.node_programs import Bull
from tests.redis_server import RedisServer

THEIRS = b'{ "userId": "42", "nested": {"a": [1, null]} }'


class Reader:
    """Makes signals of what others have added, and writes down what it is given."""

    def __init__(self, payload: int = 7) -> None:
        self.seen: list[ForeignJob] = []
        self.payload = payload

    def __call__(self, job: ForeignJob) -> Signal[int]:
        self.seen.append(job)
        return entry.create_signal(self.payload)


async def add_raw(queue: Queue, job_id: str, data: bytes, *, attempts: int = 1) -> None:
    """Add it as another program would."""
    await queue.open()
    job = NewJob(job_id, data, f"run of {job_id}", max_attempts=attempts)
    await queue.io.call(lambda: queue.broker.enqueue([job]))


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (THEIRS, {"userId": "42", "nested": {"a": [1, None]}}),
        (b"[1]", [1]),
        (b"42", 42),
        (b"id=42", b"id=42"),
        (b"\xff\xfe", b"\xff\xfe"),
        (b'{"signal": {"kind": "theirs"}}', {"signal": {"kind": "theirs"}}),
    ],
)
async def test_a_job_of_another_program_runs_as_the_signal_that_is_made_of_it(
    url: str, data: bytes, value: Any
) -> None:
    story, read = Story(), Reader()
    async with Queue("q", url, foreign=read) as queue:
        await add_raw(queue, "theirs", data)

        await drain(queue, story.chain())

        job = await queue.get("theirs")
        assert job is not None
        assert await job.result(timeout=PATIENCE) == {"results": [7]}
        assert (read.seen[0].id, read.seen[0].data) == ("theirs", value)
        assert [name for name, _ in story.log] == ["first", "second", "third"]


async def test_a_job_of_ours_is_not_given_to_the_function(url: str) -> None:
    story, read = Story(), Reader()
    async with Queue("q", url, foreign=read) as queue:
        job = await queue.enqueue(entry.create_signal(1))

        await drain(queue, story.chain())

        assert await job.result(timeout=PATIENCE) == {"results": [1]}
    assert read.seen == []


async def test_every_attempt_is_given_the_same(url: str) -> None:
    """A broker of messages adds what it must know to a message that it sends anew."""
    story, read = Story(), Reader()
    story.fails("second", 1)
    async with Queue("q", url, foreign=read) as queue:
        await add_raw(queue, "theirs", THEIRS, attempts=2)

        async with working(queue, story.chain()):
            await until(lambda: story.count("third"))

        assert all(one.data == json.loads(THEIRS) for one in read.seen)
        assert [name for name, _ in story.log] == ["first", "second", "second", "third"]


async def test_what_the_function_raises_dead_letters_the_job_and_no_other(url: str) -> None:
    story, knows = Story(), False

    def read(job: ForeignJob) -> Signal[int]:
        return entry.create_signal(job.data["userId"] if knows else job.data["id"])

    async with Queue("q", url, foreign=read) as queue:
        await add_raw(queue, "theirs", b'{"userId": 42}', attempts=3)
        ours = await queue.enqueue(entry.create_signal(7))

        await drain(queue, story.chain())

        assert await ours.result(timeout=PATIENCE) == {"results": [7]}
        dead = await record_of(queue, "theirs")
        assert (dead.state, dead.error["name"]) == ("dead", "ForeignJobUnread")
        assert "KeyError: 'id'" in dead.error["message"]
        assert "foreign=" in dead.error["message"]
        assert dead.data == b'{"userId": 42}' or b'"userId":42' in dead.data

        knows = True
        assert await queue.redrive("theirs")
        await drain(queue, story.chain())
        assert (await record_of(queue, "theirs")).result == b'{"results":[42]}'


@pytest.mark.parametrize("made", [None, "text", 7, {"collateralName": 7}])
async def test_what_is_no_signal_is_no_answer(url: str, made: Any) -> None:
    async with Queue("q", url, foreign=lambda job: made) as queue:
        await add_raw(queue, "theirs", THEIRS)

        await drain(queue, Story().chain())

        dead = await record_of(queue, "theirs")
        assert (dead.state, dead.error["name"]) == ("dead", "ForeignJobUnread")
        assert "is no signal" in dead.error["message"]


async def test_who_looks_on_sees_the_signal(url: str) -> None:
    story = Story()
    cns = story.chain()
    async with Queue("q", url, foreign=Reader()) as queue:
        await add_raw(queue, "theirs", THEIRS)
        story.fails("second", 1)
        await drain(queue, cns)

        record = await record_of(queue, "theirs")
        assert record.data.startswith(b'{"signal":{"collateralName":"entry","payload":7}')
        (listed,) = await queue.jobs("dead")
        assert listed.data == record.data
        told = await explain(queue, "theirs", cns.network)
        assert told is not None
        assert [one.neuron for one in told.runs] == ["second"]
        assert (list(told.skips), list(told.follows)) == (["first"], ["third"])
        assert [one async for one in check(queue, cns.network, ["dead"])] == []


async def test_a_job_that_cannot_be_read_is_shown_as_it_is(url: str) -> None:
    cns = Story().chain()

    def read(job: ForeignJob) -> Signal[int]:
        raise LookupError("unheard of")

    async with Queue("q", url, foreign=read) as queue:
        await add_raw(queue, "theirs", b"id=42")
        await drain(queue, cns)

        assert (await record_of(queue, "theirs")).data == b"id=42"
        (problem,) = [one async for one in check(queue, cns.network, ["dead"])]
        assert "not a signal" in problem.reason


async def test_an_error_that_cannot_say_what_it_is_hides_no_job(url: str) -> None:
    class Speechless(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    def read(job: ForeignJob) -> Signal[int]:
        raise Speechless

    async with Queue("q", url, foreign=read) as queue:
        await add_raw(queue, "theirs", THEIRS)
        await drain(queue, Story().chain())

        (dead,) = await queue.jobs("dead")
        assert (dead.id, (await record_of(queue, "theirs")).state) == ("theirs", "dead")


async def test_the_tools_for_tests_read_them_alike() -> None:
    story, read = Story(), Reader()
    async with Queue("q", "memory://theirs", foreign=read) as queue, virtual_time() as clock:
        harness = WorkerHarness(Worker(queue, story.chain(), results=["output"]), clock)
        await add_raw(harness.queue, "theirs", THEIRS)
        assert await harness.drain() == {"Completed": 1}
        assert clock.worker(harness.worker).queue.foreign is read


def test_what_reads_is_a_function() -> None:
    function: Any = "read"
    with pytest.raises(InvalidOption, match="foreign='read'"):
        Queue("q", "memory://q", foreign=function)
    assert issubclass(ForeignJobUnread, Exception)


# --- as the TypeScript page begins: queue.add('importUser', { userId })


class User(TypedDict):
    userId: str


import_user = collateral("importUser", User)
imported = collateral("imported", str)


def by_name(job: ForeignJob) -> Signal[User]:
    return {"importUser": import_user}[job.name].create_signal(job.data)


@pytest.fixture
def name() -> str:
    return f"q-{uuid4().hex[:8]}"


@pytest.fixture
def bull(redis_server: RedisServer, name: str) -> Iterator[Bull]:
    with Bull(redis_server.port, name) as asked:
        yield asked


async def test_what_node_adds_by_name_runs_as_the_collateral_of_that_name(
    bull: Bull, redis_server: RedisServer, name: str
) -> None:
    importer = neuron("importer", {"imported": imported}).dendrite(
        import_user, lambda user, axon: axon.imported.create_signal(user["userId"])
    )
    job_id = bull.ask("add", name="importUser", data={"userId": "42"}, options={})
    other = bull.ask("add", name="forgetUser", data={"userId": "43"}, options={})

    async with Queue(name, redis_server.url, foreign=by_name) as queue:
        worker = Worker(queue, CNS([importer]), results=[imported])
        await asyncio.wait_for(worker.run(until_idle=True), PATIENCE)

        assert (await record_of(queue, job_id)).name == "importUser"

    done, failed = bull.ask("job", id=job_id), bull.ask("job", id=other)
    assert (done["state"], done["returnvalue"]) == ("completed", {"results": ["42"]})
    assert done["data"] == {"userId": "42"}
    assert (failed["state"], "KeyError: 'forgetUser'" in failed["failedReason"]) == ("failed", True)
