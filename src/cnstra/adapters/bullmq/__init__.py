"""BullMQ on Redis: a queue that Node's workers, producers and dashboards share, and its progress
store.

`redis://`, `rediss://` and `unix://` URLs. A store alone, for `run_durably` and for queues of
other brokers, keeps its runs there too.
"""

from cnstra.adapters.bullmq.broker import BullMQBroker
from cnstra.adapters.bullmq.client import Client
from cnstra.adapters.bullmq.history import RedisHistory
from cnstra.adapters.bullmq.location import location_of
from cnstra.adapters.bullmq.runs import RunStore
from cnstra.adapters.bullmq.scripts import package_folder
from cnstra.clock import Clock
from cnstra.durable.store import ProgressStore

package_folder()

RUNS = b"cnstra:run:"


def broker(
    queue: str, url: str, clock: Clock, keep_results: float, store: ProgressStore | None = None
) -> BullMQBroker:
    del store
    return BullMQBroker(queue, location_of(url), clock, keep_results)


def store(url: str, clock: Clock) -> RunStore:
    return RunStore(Client(location_of(url)), RUNS, clock, owns_client=True)


def history(url: str, clock: Clock) -> RedisHistory:
    del clock
    return RedisHistory(Client(location_of(url)))
