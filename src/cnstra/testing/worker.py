"""`python -m cnstra.testing.worker JSON`: a worker process, to be stopped and killed.

It says "ready" on its standard output once it is connected, and logs to its standard error.
"""

import asyncio
import json
import logging
import sys
from pathlib import Path
from typing import Any, TypedDict, cast

from cnstra import Queue, Worker
from cnstra.clock import SYSTEM_CLOCK
from cnstra.durable.adapters import adapter_for
from cnstra.testing.dying import Death, DyingBroker, DyingStore
from cnstra.testing.effects import Effects
from cnstra.testing.flow import graph, result


class Orders(TypedDict):
    """What a worker process is told. die: a point of `dying`, and how often it is passed first."""

    queue: str
    url: str
    store: str | None
    effects: str
    die: tuple[str, int] | None
    options: dict[str, Any]


async def work(orders: Orders) -> None:
    """Work until SIGTERM."""
    async with _queue(orders) as queue:
        worker = Worker(queue, graph(Effects(Path(orders["effects"]))), results=[result],
                        **orders["options"])  # fmt: skip
        print("ready", flush=True)
        await worker.run()


def _queue(orders: Orders) -> Queue:
    if orders["die"] is None:
        return Queue(orders["queue"], orders["url"], store=orders["store"])
    death = Death(*orders["die"])
    store: Any = orders["store"]
    if store is not None:
        store = DyingStore(adapter_for(store).store(store, SYSTEM_CLOCK), death)
    queue = Queue(orders["queue"], orders["url"], store=store)
    queue.broker = cast(Any, DyingBroker(queue.broker, death))
    return queue


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    asyncio.run(work(json.loads(sys.argv[1])))
