"""Celery: the six steps are one task. A task that its worker's death cut short starts anew."""

from benchmarks.rivals.celery_app import app, result_of, work
from benchmarks.rivals.flow import STEPS, step

__all__ = ["results", "submit", "work"]


@app.task
def flow(job: int) -> int:
    value = 0
    for number in range(STEPS):
        value = step(job, number, value)
    return value


def submit(jobs: range) -> None:
    for job in jobs:
        flow.apply_async((job,), task_id=f"job-{job}")


def results(jobs: range) -> list[int | None]:
    return [result_of(f"job-{job}") for job in jobs]
