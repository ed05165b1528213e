"""Job data that nobody should send: each job ends with a reason, and the worker goes on."""

import logging
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnstra import Queue
from cnstra.jobs.broker import NewJob
from tests.hostile import corrupted, examples, full_size, good_job_is_done, is_over, run

JOB = {
    "signal": {"collateralName": "entry", "payload": 7, "key": "k"},
    "cnstra": {"run": "r"},
}


@given(jobs=st.lists(corrupted(JOB), min_size=1, max_size=40))
@examples(3, 100)
def test_hostile_job_data_is_dead_lettered_and_the_worker_goes_on(
    url: str, caplog: pytest.LogCaptureFixture, jobs: list[bytes]
) -> None:
    caplog.clear()
    caplog.set_level(logging.WARNING)
    name = uuid4().hex

    async def story() -> None:
        async with Queue(name, url) as queue:
            sent = [
                NewJob(f"bad-{n}", full_size(data), f"{name}-{n}") for n, data in enumerate(jobs)
            ]
            await queue.io.call(lambda: queue.broker.enqueue(sent))
            await good_job_is_done(queue)
            for job in sent:
                is_over(await queue.record(job.id), job.id)

    run(story())
    told = [one.getMessage() for one in caplog.records if one.levelno > logging.WARNING]
    told += [one for one in caplog.messages if "is dead-lettered" not in one]
    assert not told
