"""A broker and its progress store in the memory of one process, for tests and first steps.

`memory://name` is shared by all who say the same name, in any thread and event loop, and lasts as
long as the process. Otherwise it behaves as the SQLite adapter does.
"""

from urllib.parse import unquote

from cnstra.adapters.memory.broker import MemoryBroker
from cnstra.adapters.memory.store import MemoryStore
from cnstra.adapters.memory.world import World
from cnstra.clock import Clock


def broker(queue: str, url: str, clock: Clock, keep_results: float) -> MemoryBroker:
    return MemoryBroker(queue, _world(url), clock, keep_results)


def store(url: str, clock: Clock) -> MemoryStore:
    return MemoryStore(_world(url), clock)


def _world(url: str) -> World:
    return World.named(unquote(url.partition("://")[2]))
