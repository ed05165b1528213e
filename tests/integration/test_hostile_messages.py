"""Messages that strangers put into a queue, whole, on real servers: none holds up another job."""

import math
from pathlib import Path
from typing import cast
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnstra import Queue
from cnstra.errors import BrokerRefused
from cnstra.jobs.message import read_message
from cnstra.jobs.messages import MessageBroker
from cnstra.jobs.transport import Outgoing, Transport
from tests.hostile import corrupted, examples, full_size, good_job_is_done, is_over, run
from tests.nats_server import NatsServer
from tests.sqs_server import SQSServer

MESSAGE = {
    "signal": {"collateralName": "entry", "payload": 7, "key": "k"},
    "cnstra": {
        "id": "a", "run": "r", "attempts": 1, "maxAttempts": 3, "generation": 2, "createdAt": 1.5,
        "backoff": {"type": "fixed", "delay": 1}, "priority": 0, "orderingKey": "o",
        "progress": {"context": {"first": 1}, "failedTasks": []}, "elsewhere": False,
        "error": {"type": "E", "message": "m"}, "isWrapped": False, "raw": "e30=", "trace": "t",
    },
}  # fmt: skip


@pytest.fixture(params=["rabbitmq", "nats", "sqs"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str | None]:
    """The URLs of a broker and of the store beside it."""
    if request.param == "nats":
        server: NatsServer = request.getfixturevalue("nats_server")
        return server.url, None
    beside = f"sqlite:///{tmp_path}/store.db?synchronous=normal"
    if request.param == "rabbitmq":
        return request.getfixturevalue("rabbitmq_url"), beside
    moto: SQSServer = request.getfixturevalue("sqs_server")
    return moto.url(), beside


@given(found=st.lists(corrupted(MESSAGE), min_size=1, max_size=20))
@examples(3, 60)
def test_hostile_messages_end_with_a_reason_and_the_worker_goes_on(
    place: tuple[str, str | None], found: list[bytes]
) -> None:
    name = f"hostile-{uuid4().hex}"

    async def story() -> None:
        url, store = place
        async with Queue(name, url, store=store) as queue:
            jobs = [await put(queue, f"bad-{n}", full_size(body)) for n, body in enumerate(found)]
            await good_job_is_done(queue)
            for job in filter(None, jobs):
                is_over(await queue.record(job), job)

    run(story())


async def test_a_strange_message_as_large_as_the_broker_takes_is_dead_lettered(
    place: tuple[str, str | None],
) -> None:
    url, store = place
    async with Queue(f"hostile-{uuid4().hex}", url, store=store) as queue:
        largest = transport_of(queue).limits.max_body
        assert largest is not None
        job = await put(queue, "large", b"?" * largest)
        await good_job_is_done(queue)

        assert job is not None
        record = await queue.record(job)
        assert record is not None
        assert record.state == "dead"


async def put(queue: Queue, id: str, body: bytes) -> str | None:
    """Send it past all that checks a job; the id of the job, `None` if the server refuses it."""
    transport = transport_of(queue)
    if len(body) > (transport.limits.max_body or math.inf):
        return None
    try:
        await queue.io.call(lambda: transport.send([Outgoing(body, id)]))
    except BrokerRefused:
        return None
    return read_message(body, queue.name, id, 0.0).header.id


def transport_of(queue: Queue) -> Transport:
    return cast(MessageBroker, queue.broker)._transport  # pyright: ignore[reportPrivateUsage]
