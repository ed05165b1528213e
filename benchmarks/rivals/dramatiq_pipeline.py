"""Dramatiq: each step is an actor's message, and a pipeline leads from one to the next.

https://dramatiq.io/cookbook.html#pipelines
"""

import dramatiq

from benchmarks.rivals import dramatiq_broker, flow
from benchmarks.rivals.dramatiq_broker import result_of
from benchmarks.rivals.flow import STEPS


@dramatiq.actor(store_results=True)
def step(job: int, number: int, value: int) -> int:
    return flow.step(job, number, value)


def _messages(job: int) -> "list[dramatiq.Message[int]]":
    first = step.message(job, 0, 0)
    later = [step.message(job, number) for number in range(1, STEPS)]
    return [first, *later[:-1], later[-1].copy(message_id=f"job-{job}")]


def work() -> None:
    dramatiq_broker.work(__name__)


def submit(jobs: range) -> None:
    for job in jobs:
        dramatiq.pipeline(_messages(job)).run()


def results(jobs: range) -> list[int | None]:
    return [result_of(_messages(job)[-1]) for job in jobs]
