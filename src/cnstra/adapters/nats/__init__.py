"""NATS JetStream: a broker on a work-queue stream, and a progress store in a key-value bucket.

`nats://` and `tls://` URLs; `location.py` tells what they may say.
"""

from cnstra.adapters.nats.location import location_of
from cnstra.adapters.nats.store import NatsStore
from cnstra.adapters.nats.transport import NatsTransport
from cnstra.clock import Clock
from cnstra.durable.store import ProgressStore
from cnstra.jobs.messages import MessageBroker


def broker(
    queue: str, url: str, clock: Clock, keep_results: float, store: ProgressStore | None = None
) -> MessageBroker:
    place = location_of(url)
    kept_in = store or NatsStore(place, clock)
    transport = NatsTransport(place, queue)
    return MessageBroker(transport, queue, clock, keep_results, kept_in, brings_store=store is None)


def store(url: str, clock: Clock) -> NatsStore:
    return NatsStore(location_of(url), clock)
