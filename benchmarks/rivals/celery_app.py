"""Celery on Redis or on RabbitMQ, set so that a task outlives its worker.

`task_acks_late` and `task_reject_on_worker_lost`; of a task that comes again, a result that is
there is taken for done, which for a chain needs what `result_extended` keeps:
https://docs.celeryq.dev/en/stable/userguide/configuration.html#worker-deduplicate-successful-tasks.

Redis hands out again what a dead worker had taken once the visibility timeout is over. It is short
here, in all three places that Celery asks for; how often kombu looks, and how long a worker that
dies while it looks keeps others from it, are options of kombu's:
https://docs.celeryq.dev/en/stable/getting-started/backends-and-brokers/redis.html#visibility-timeout,
https://docs.celeryq.dev/projects/kombu/en/stable/reference/kombu.transport.redis.html.

RabbitMQ is what Celery's FAQ encourages to take for strict reliability; it sees a dead worker's
connection close. Its queue is of the replicated, synced kind:
https://docs.celeryq.dev/en/stable/faq.html#do-i-have-to-use-amqp-rabbitmq,
https://docs.celeryq.dev/en/stable/getting-started/backends-and-brokers/rabbitmq.html#using-quorum-queues.
"""

from typing import Any

from celery import Celery

from benchmarks.rivals.place import Place

VISIBILITY_TIMEOUT = 5
ON_REDIS: dict[str, Any] = {
    "visibility_timeout": VISIBILITY_TIMEOUT,
    "result_backend_transport_options": {"visibility_timeout": VISIBILITY_TIMEOUT},
    "broker_transport_options": {
        "visibility_timeout": VISIBILITY_TIMEOUT,
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
        "unacked_mutex_expire": VISIBILITY_TIMEOUT,
    },
}
ON_RABBITMQ: dict[str, Any] = {
    "task_default_queue_type": "quorum",
    "broker_transport_options": {"confirm_publish": True},
}

place = Place.told()
app = Celery("rivals", broker=place.rabbitmq or f"{place.redis}/0", backend=f"{place.redis}/1")
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    worker_deduplicate_successful_tasks=True,
    result_extended=True,
    result_expires=None,
    broker_connection_retry_on_startup=True,
    **(ON_RABBITMQ if place.rabbitmq else ON_REDIS),
)


def work() -> None:
    app.worker_main(
        ["worker", "--concurrency=1", "--loglevel=ERROR", "--without-gossip", "--without-mingle"]
    )


def result_of(task_id: str) -> int | None:
    found = app.AsyncResult(task_id)
    return found.result if found.successful() else None
