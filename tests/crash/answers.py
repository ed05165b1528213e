"""Answers that are lost where an adapter waits for them, so that it knows that it does not know.

A broker that leases the next job in the step that settles one must give back what it was never told
of. Nobody above it could: a loss that it has not noticed would leave that job to its lease.
"""

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from cnstra.adapters.bullmq.broker import BullMQBroker
from cnstra.adapters.bullmq.connection import Disconnected
from cnstra.adapters.bullmq.scripts import script
from cnstra.adapters.postgres.broker import PostgresBroker
from cnstra.adapters.postgres.faults import Unreachable
from cnstra.jobs.broker import Broker

REASON = "its answer was lost"


def lost(broker: Broker) -> AbstractContextManager[None] | None:
    """While this lasts the broker's server does as it is asked, and no answer comes. `None` of a
    broker that has no server to hear.
    """
    if isinstance(broker, BullMQBroker):
        client, spared = broker._client, script("recover")  # pyright: ignore[reportPrivateUsage]
        return _lost(client, "run", Disconnected(REASON), spared)
    if isinstance(broker, PostgresBroker):
        return _lost(broker._database, "rows", Unreachable(REASON))  # pyright: ignore[reportPrivateUsage]
    return None


@contextmanager
def _lost(client: Any, call: str, error: Exception, spared: object = None) -> Generator[None]:
    """spared: what is asked on the way to what is meant."""
    ask = getattr(client, call)

    async def ask_in_vain(what: Any, *arguments: Any, **options: Any) -> Any:
        answer = await ask(what, *arguments, **options)
        if what is spared:
            return answer
        raise error

    setattr(client, call, ask_in_vain)
    try:
        yield
    finally:
        delattr(client, call)
