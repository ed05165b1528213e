"""Dramatiq on Redis. What a dead worker had taken goes back once its heartbeat is too old.

https://dramatiq.io/reference.html#dramatiq.brokers.redis.RedisBroker: the heartbeat is shortened,
and maintenance, which looks for the dead at one command in a thousand, looks at one in ten.
"""

import os
import sys

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import ResultMissing, Results
from dramatiq.results.backends import RedisBackend

from benchmarks.rivals.place import Place

HEARTBEAT_TIMEOUT = 5_000
MAINTENANCE_CHANCE = 100_000
A_DAY = 86_400_000

redis = Place.told().redis
backend = RedisBackend(url=f"{redis}/1")
broker = RedisBroker(
    url=f"{redis}/0", heartbeat_timeout=HEARTBEAT_TIMEOUT, maintenance_chance=MAINTENANCE_CHANCE
)
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
