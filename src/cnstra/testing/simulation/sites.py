"""Where a simulated job lives: in a table, or as messages beside a store."""

from random import Random
from typing import Any, Literal, Protocol, cast

from cnstra.durable.adapters import adapter_for
from cnstra.durable.store import ProgressStore
from cnstra.jobs.broker import Broker
from cnstra.jobs.messages import MessageBroker
from cnstra.jobs.queue import KEEP_RESULTS, Queue
from cnstra.testing.simulation.life import Life
from cnstra.testing.simulation.mail import Mail, PostOffice, at_once
from cnstra.testing.simulation.wire import Registry, SimulatedBroker, SimulatedStore, message_wire

BrokerKind = Literal["table", "messages"]


class Site(Protocol):
    """Gives processes their broker, and knows when nothing is left to do."""

    def broker(self, queue: Queue, life: Life, registry: Registry | None) -> Broker:
        """The broker of a process; at the other end of a wire, where there is a registry."""
        ...

    def is_empty(self, has_settled: bool) -> bool: ...


class Table:
    """A job is a row, settled in one step with its run: as on SQLite, Postgres and BullMQ."""

    def broker(self, queue: Queue, life: Life, registry: Registry | None) -> Broker:
        if registry is None:
            return queue.broker
        store = SimulatedStore(cast(ProgressStore, queue.broker.store), life, registry)
        return cast(Broker, SimulatedBroker(queue.broker, life, registry, store, is_atomic=True))

    def is_empty(self, has_settled: bool) -> bool:
        return has_settled


class Messages:
    """A job is a message beside a store: as on RabbitMQ, SQS and NATS."""

    def __init__(self, url: str, schedule: str) -> None:
        self._url = url
        self._office = PostOffice(Random(f"{schedule} mail"))

    def broker(self, queue: Queue, life: Life, registry: Registry | None) -> Broker:
        store: Any = adapter_for(self._url).store(self._url, life.clock)
        wire = at_once
        if registry is not None:
            store = SimulatedStore(store, life, registry)
            wire = message_wire(life)
        mail, keep = Mail(self._office, life.clock, wire), KEEP_RESULTS.total_seconds()
        broker = MessageBroker(mail, queue.name, life.clock, keep, store, brings_store=True)
        if registry is None:
            return broker
        return cast(Broker, SimulatedBroker(broker, life, registry, store, is_atomic=False))

    def is_empty(self, has_settled: bool) -> bool:
        """A job whose end is known may still lie about, as a message that must find that out."""
        del has_settled
        return not self._office.letters


def site(kind: BrokerKind, url: str, schedule: str) -> Site:
    return Table() if kind == "table" else Messages(url, schedule)
