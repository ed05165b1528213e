"""Celery: each step is a task, and a chain leads from one to the next.

https://docs.celeryq.dev/en/stable/userguide/canvas.html#chains
"""

from celery import chain

from benchmarks.rivals import flow
from benchmarks.rivals.celery_app import app, result_of, work
from benchmarks.rivals.flow import STEPS

__all__ = ["results", "submit", "work"]


@app.task
def step(value: int, job: int, number: int) -> int:
    return flow.step(job, number, value)


def submit(jobs: range) -> None:
    for job in jobs:
        first = step.s(0, job, 0)
        later = [step.s(job, number) for number in range(1, STEPS)]
        later[-1].set(task_id=f"job-{job}")
        chain(first, *later).apply_async()


def results(jobs: range) -> list[int | None]:
    return [result_of(f"job-{job}") for job in jobs]
