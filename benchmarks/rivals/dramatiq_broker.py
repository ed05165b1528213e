"""Dramatiq on Redis or on RabbitMQ.

On Redis, what a dead worker had taken goes back once its heartbeat is too old:
https://dramatiq.io/reference.html#dramatiq.brokers.redis.RedisBroker. The heartbeat is shortened,
and maintenance, which looks for the dead at one command in a thousand, looks at one in ten.

RabbitMQ sees a dead worker's connection close. It confirms what it took:
https://dramatiq.io/reference.html#dramatiq.brokers.rabbitmq.RabbitmqBroker.
"""

import os
import sys

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import ResultMissing, Results
from dramatiq.results.backends import RedisBackend

from benchmarks.rivals.place import Place

HEARTBEAT_TIMEOUT = 5_000
MAINTENANCE_CHANCE = 100_000
A_DAY = 86_400_000


def _broker(place: Place) -> dramatiq.Broker:
    if place.rabbitmq:
        return RabbitmqBroker(url=place.rabbitmq, confirm_delivery=True)
    return RedisBroker(
        url=f"{place.redis}/0",
        heartbeat_timeout=HEARTBEAT_TIMEOUT,
        maintenance_chance=MAINTENANCE_CHANCE,
    )


backend = RedisBackend(url=f"{Place.told().redis}/1")
broker = _broker(Place.told())
broker.add_middleware(Results(backend=backend, result_ttl=A_DAY))
dramatiq.set_broker(broker)


def work(module: str) -> None:
    """Dramatiq's own command, which forks a worker, as a user would start it."""
    os.environ["dramatiq_queue_prefetch"] = "1"  # noqa: SIM112 - its name
    arguments = ["-m", "dramatiq", "--processes", "1", "--threads", "1", module]
    os.execv(sys.executable, [sys.executable, *arguments])


def result_of(message: "dramatiq.Message[int]") -> int | None:
    try:
        return message.get_result(backend=backend)
    except ResultMissing:
        return None
