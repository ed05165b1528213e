"""RabbitMQ, 3.10 or newer: quorum queues, `amqp://user:password@host/vhost` and `amqps://` URLs.

Progress, results and dedup need a store beside it.
"""

from typing import NoReturn

from cnstra.adapters.rabbitmq.location import location_of
from cnstra.adapters.rabbitmq.transport import RabbitTransport
from cnstra.clock import Clock
from cnstra.durable.store import ProgressStore
from cnstra.errors import StoreError
from cnstra.jobs.messages import MessageBroker


def broker(
    queue: str, url: str, clock: Clock, keep_results: float, store: ProgressStore | None = None
) -> MessageBroker:
    transport = RabbitTransport(queue, location_of(url))
    return MessageBroker(transport, queue, clock, keep_results, store)


def store(url: str, clock: Clock) -> NoReturn:
    raise StoreError("RabbitMQ keeps no progress: name another store, sqlite:///progress.db say.")
