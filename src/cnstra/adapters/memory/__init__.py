"""A broker and its progress store in the memory of one process, for tests and first steps.

`memory://name` is shared by all who say the same name, in any thread and event loop, and lasts as
long as the process. Otherwise it behaves as the SQLite adapter does. With `?longest_lease=1800` a
lease ends after so many seconds, renewed or not, as on RabbitMQ and SQS.
"""

from urllib.parse import parse_qs, unquote, urlsplit

from cnstra.adapters.memory.broker import MemoryBroker
from cnstra.adapters.memory.store import MemoryStore
from cnstra.adapters.memory.world import World
from cnstra.clock import Clock
from cnstra.durable.store import ProgressStore
from cnstra.errors import InvalidOption


def broker(
    queue: str, url: str, clock: Clock, keep_results: float, store: ProgressStore | None = None
) -> MemoryBroker:
    del store
    return MemoryBroker(queue, _world(url), clock, keep_results, _longest_lease(url))


def store(url: str, clock: Clock) -> MemoryStore:
    return MemoryStore(_world(url), clock)


def forget(url: str) -> None:
    """Drop all that lies at the URL; who holds it still keeps it for themselves."""
    World.drop(_name(url))


def _world(url: str) -> World:
    return World.named(_name(url))


def _name(url: str) -> str:
    return unquote(url.partition("://")[2].partition("?")[0])


def _longest_lease(url: str) -> float | None:
    options = parse_qs(urlsplit(url).query)
    try:
        (value,) = options.pop("longest_lease", ["0"])
        limit = float(value)
    except ValueError as error:
        remedy = "give seconds, once"
        raise InvalidOption(option="longest_lease", value=url, remedy=remedy) from error
    if options:
        remedy = "the one option of memory:// is longest_lease"
        raise InvalidOption(option="url", value=url, remedy=remedy)
    return limit or None
