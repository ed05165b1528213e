"""Answers that are lost where an adapter waits for them, so that it knows that it does not know.

A broker that leases the next job in the step that settles one must give back what it was never told
of. Nobody above it could: a loss that it has not noticed would leave that job to its lease.
"""

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from cnstra.adapters.bullmq.broker import BullMQBroker
from cnstra.adapters.bullmq.connection import Disconnected
from cnstra.adapters.postgres.broker import PostgresBroker
from cnstra.adapters.postgres.faults import Unreachable
from cnstra.jobs.broker import Broker

REASON = "its answer was lost"


def lost(broker: Broker) -> AbstractContextManager[None]:
    """While this lasts the broker's server does as it is asked, and no answer comes. Nothing, of a
    broker that has no server to hear.
    """
    if isinstance(broker, BullMQBroker):
        return _lost(broker._client, "run", Disconnected(REASON))  # pyright: ignore[reportPrivateUsage]
    if isinstance(broker, PostgresBroker):
        return _lost(broker._database, "rows", Unreachable(REASON))  # pyright: ignore[reportPrivateUsage]
    return nullcontext()


@contextmanager
def _lost(client: Any, call: str, error: Exception) -> Generator[None]:
    ask = getattr(client, call)

    async def ask_in_vain(*arguments: Any, **options: Any) -> Any:
        await ask(*arguments, **options)
        raise error

    setattr(client, call, ask_in_vain)
    try:
        yield
    finally:
        delattr(client, call)
