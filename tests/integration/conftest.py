from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib import import_module
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import cast
from uuid import uuid4

import pytest

from cnstra.clock import Clock
from cnstra.durable import adapters
from cnstra.durable.store import ProgressStore
from cnstra.jobs.broker import Adapter, Broker
from tests.durables import TravellingClock
from tests.manual_clock import ManualClock
from tests.postgres_server import TravellingPostgresClock, standing_clock
from tests.redis_server import RedisClock, TravellingRedisClock

KEEP_RESULTS = 100.0
ON_NATS = {
    "test_branches",
    "test_d1_resume",
    "test_d2_identity",
    "test_d10_values",
    "test_d11_results",
    "test_explanation",
    "test_foreign_jobs",
    "test_former_names",
    "test_hostile_jobs",
    "test_hostile_progress",
    "test_payload_versions",
    "test_telemetry",
}
"""What runs on NATS too: it lets delays pass itself, so that no test's clock can move them. The
conformance suite has the rest, on real time.
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items[:] = [
        one for one in items
        if not isinstance(one, pytest.Function) or not hasattr(one, "callspec")
        or one.callspec.params.get("url") != "nats" or one.path.stem in ON_NATS
    ]  # fmt: skip


@pytest.fixture(autouse=True, scope="session")
def mail_adapter() -> None:
    """Have `mail://` found as an installed adapter is."""
    installed = adapters._installed()  # pyright: ignore[reportPrivateUsage]
    installed["mail"] = EntryPoint("mail", "tests.mail", adapters.GROUP)


class Place:
    """Where brokers and stores of one adapter share their data, under a clock that a test moves."""

    def __init__(self, scheme: str, url: str) -> None:
        self.scheme = scheme
        self.url = url
        self.clock = ManualClock()
        self.opened: list[Broker | ProgressStore] = []

    @property
    def has_its_own_time(self) -> bool:
        """Whether events are told by the server's clock, in its own words."""
        return self.scheme == "bullmq"

    @property
    def adapter(self) -> Adapter:
        module: ModuleType = import_module(f"cnstra.adapters.{self.scheme}")
        return cast(Adapter, module)

    async def broker(
        self, queue: str = "q", *, clock: Clock | None = None, keep: float = KEEP_RESULTS
    ) -> Broker:
        broker = self.adapter.broker(queue, self.url, clock or self.clock, keep)
        self.opened.append(broker)
        await broker.open()
        return broker

    async def store(self) -> ProgressStore:
        store = self.adapter.store(self.url, self.clock)
        self.opened.append(store)
        await store.open()
        return store

    async def close(self) -> None:
        for each in self.opened:
            await each.close()


@pytest.fixture
async def sqlite_file(tmp_path: Path) -> AsyncIterator[Place]:
    place = Place("sqlite", f"sqlite:///{tmp_path}/jobs.db?synchronous=normal")
    yield place
    await place.close()


@asynccontextmanager
async def place_of(
    adapter: str, request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[Place]:
    """A place of an adapter that no other test uses."""
    urls: dict[str, Callable[[], str]] = {
        "memory": lambda: f"memory://{uuid4().hex}",
        "sqlite": lambda: f"sqlite:///{tmp_path}/jobs.db?synchronous=normal",
        "bullmq": lambda: request.getfixturevalue("empty_redis").url,
        "postgres": lambda: request.getfixturevalue("postgres_schema"),
        "nats": lambda: request.getfixturevalue("nats_server").place(),
    }
    place = Place(adapter, urls[adapter]())
    if adapter == "bullmq":
        place.clock = RedisClock(request.getfixturevalue("empty_redis"))
    if adapter == "postgres":
        place.clock = await standing_clock(place.url)
    yield place
    await place.close()


@pytest.fixture(params=["memory", "sqlite", "bullmq", "postgres"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    async with place_of(request.param, request, tmp_path) as place:
        yield place


MAIL = {"mail": "", "copies": "?put_back=no&delay=1.5"}
"""Brokers of messages: one that can give a message back for a while, one that must send a copy."""


@pytest.fixture(params=["memory", "sqlite", "bullmq", "nats", "postgres", *MAIL])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a queue that no other test uses."""
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_schema"))
    if request.param == "memory":
        return f"memory://{uuid4().hex}"
    if request.param in MAIL:
        return f"mail://{uuid4().hex}{MAIL[request.param]}"
    if request.param == "nats":
        return str(request.getfixturevalue("nats_server").place())
    if request.param == "bullmq":
        return str(request.getfixturevalue("empty_redis").url)
    return f"sqlite:///{tmp_path}/jobs.db?synchronous=normal"


@pytest.fixture
def clock(request: pytest.FixtureRequest, url: str) -> TravellingClock:
    """For all who share `url`: a test sets it forward by `travel`."""
    if url.startswith("redis:"):
        return TravellingRedisClock(request.getfixturevalue("empty_redis"))
    if url.startswith("postgresql:"):
        return TravellingPostgresClock(url)
    return TravellingClock()
