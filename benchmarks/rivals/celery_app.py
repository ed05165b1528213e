"""Celery on Redis, set so that a task outlives its worker.

`task_acks_late` and `task_reject_on_worker_lost`, and a short visibility timeout, after which Redis
hands out again what a dead worker had taken:
https://docs.celeryq.dev/en/stable/userguide/configuration.html#task-reject-on-worker-lost,
https://docs.celeryq.dev/en/stable/getting-started/backends-and-brokers/redis.html#visibility-timeout.
How often it looks is set by two options of kombu's, which says to lower them with that timeout:
https://docs.celeryq.dev/projects/kombu/en/stable/reference/kombu.transport.redis.html.
"""

from celery import Celery

from benchmarks.rivals.place import Place

VISIBILITY_TIMEOUT = 5

redis = Place.told().redis
app = Celery("rivals", broker=f"{redis}/0", backend=f"{redis}/1")
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    broker_transport_options={
        "visibility_timeout": VISIBILITY_TIMEOUT,
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
    },
    broker_connection_retry_on_startup=True,
    result_expires=None,
)


def work() -> None:
    app.worker_main(
        ["worker", "--concurrency=1", "--loglevel=ERROR", "--without-gossip", "--without-mingle"]
    )


def result_of(task_id: str) -> int | None:
    found = app.AsyncResult(task_id)
    return found.result if found.successful() else None
