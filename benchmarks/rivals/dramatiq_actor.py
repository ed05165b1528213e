"""Dramatiq: the six steps are one actor. A message whose worker died in it starts anew."""

import dramatiq

from benchmarks.rivals import dramatiq_broker
from benchmarks.rivals.dramatiq_broker import broker, result_of
from benchmarks.rivals.flow import STEPS, step


@dramatiq.actor(store_results=True)
def flow(job: int) -> int:
    value = 0
    for number in range(STEPS):
        value = step(job, number, value)
    return value


def _message(job: int) -> "dramatiq.Message[int]":
    return flow.message(job).copy(message_id=f"job-{job}")


def work() -> None:
    dramatiq_broker.work(__name__)


def submit(jobs: range) -> None:
    for job in jobs:
        broker.enqueue(_message(job))


def results(jobs: range) -> list[int | None]:
    return [result_of(_message(job)) for job in jobs]
