"""AWS SQS: a queue of messages, standard or FIFO, and its dead letters.

`sqs://region` URLs. It keeps no progress: give the queue a store for that, and for results.
"""

from cnstra.adapters.sqs.location import location_of
from cnstra.adapters.sqs.transport import SQSTransport
from cnstra.clock import Clock
from cnstra.durable.store import ProgressStore
from cnstra.errors import StoreError
from cnstra.jobs.messages import MessageBroker


def broker(
    queue: str, url: str, clock: Clock, keep_results: float, store: ProgressStore | None = None
) -> MessageBroker:
    transport = SQSTransport(queue, location_of(url), clock)
    return MessageBroker(transport, queue, clock, keep_results, store)


def store(url: str, clock: Clock) -> ProgressStore:
    del clock
    raise StoreError(f"SQS cannot keep progress: name a store of another kind, not {url}.")
