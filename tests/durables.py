"""What the tests of durable runs and of jobs share: stories, workers, stores, brokers."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, cast

import msgspec

from cnstra import CNS, Collateral, Context, Queue, Worker, collateral, neuron
from cnstra.clock import SYSTEM_CLOCK, SystemClock
from cnstra.durable.adapters import adapter_for
from cnstra.durable.store import Patch, ProgressStore, Saved, Ticket
from cnstra.errors import StoreUnavailable
from cnstra.jobs.broker import Adapter, Broker, Capabilities
from cnstra.jobs.limits import RateLimit
from cnstra.jobs.settlement import Delivery, Requeued, Retry, Settlement

PATIENCE = 50.0
"""Seconds after which a test gives up: far more than any needs, as the machine may be busy."""

entry = collateral("entry", int)
middle = collateral("middle", int)
later = collateral("later", int)
output = collateral("output", int)


class TravellingClock(SystemClock):
    """The machine's clock, which a test may set forward for all who ask it for the time."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self.chance = 0.5

    def time(self) -> float:
        return super().time() + self.ahead

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead

    def random(self) -> float:
        return self.chance

    def travel(self, duration: float) -> None:
        """Set it forward; what would have expired by then has."""
        self.ahead += duration


class Broken(RuntimeError):
    """What a handler of a test raises."""


class Story:
    """What handlers do, call by call, and what they did: `log` holds (neuron, payload)."""

    def __init__(self) -> None:
        self.log: list[tuple[str, Any]] = []
        self.keys: dict[tuple[str, Any], set[str]] = {}
        self.failures: dict[str, int] = {}
        self.doors: dict[str, asyncio.Event] = {}
        self.inside: dict[str, asyncio.Event] = {}

    def fails(self, name: str, times: int) -> None:
        """The handler of that neuron raises so many times."""
        self.failures[name] = times

    def stands(self, name: str) -> asyncio.Event:
        """The handler of that neuron waits at a door; the event says that it has come to it."""
        self.doors[name] = asyncio.Event()
        return self.inside.setdefault(name, asyncio.Event())

    def opens(self, name: str) -> None:
        self.doors.pop(name).set()

    def count(self, name: str) -> int:
        return sum(1 for known, _ in self.log if known == name)

    async def play(self, name: str, payload: Any, ctx: Context[Any]) -> None:
        self.log.append((name, payload))
        self.keys.setdefault((name, payload), set()).add(ctx.idempotency_key)
        if name in self.doors:
            self.inside[name].set()
            await self.doors[name].wait()
        if self.failures.get(name, 0) > 0:
            self.failures[name] -= 1
            raise Broken(name)

    def step(
        self,
        name: str,
        source: Collateral[Any],
        *targets: Collateral[Any],
        **options: Any,
    ) -> Any:
        """A neuron that notes its calls in its context and passes its payload on."""
        made = neuron(name, {one.name: one for one in targets}, **options)

        async def handler(payload: Any, axon: Any, ctx: Context[Any]) -> Any:
            del axon
            ctx.set([*ctx.get([]), payload])
            await self.play(name, payload, ctx)
            return [one.create_signal(payload) for one in targets]

        return made.dendrite(source, handler)

    def fan(self, name: str, source: Collateral[Any], target: Collateral[Any], width: int) -> Any:
        """A neuron that emits 0, 1, ... `width - 1`."""
        made = neuron(name, {"target": target})

        async def handler(payload: Any, axon: Any, ctx: Context[Any]) -> Any:
            await self.play(name, payload, ctx)
            return [axon.target.create_signal(one) for one in range(width)]

        return made.dendrite(source, handler)

    def chain(self, **options: Any) -> CNS:
        """entry -> first -> middle -> second -> later -> third -> output."""
        return CNS([
            self.step("first", entry, middle, **options),
            self.step("second", middle, later, **options),
            self.step("third", later, output, **options),
        ])  # fmt: skip

    def bush(self, width: int) -> CNS:
        """entry -> fan -> `width` times middle -> branch -> later -> leaf -> output."""
        return CNS([
            self.fan("fan", entry, middle, width),
            self.step("branch", middle, later),
            self.step("leaf", later, output),
        ])  # fmt: skip


@asynccontextmanager
async def working(queue: Queue, cns: CNS, **options: Any) -> AsyncIterator[Worker]:
    """A worker that runs until the block ends, and is told to stop then."""
    worker = Worker(queue, cns, **{"results": [output], **options})
    running = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        if isinstance(queue.store, SlowStore):
            queue.store.let(10**9)
        if not running.done():
            worker.stop()
        await asyncio.wait_for(running, PATIENCE)


async def drain(queue: Queue, cns: CNS, **options: Any) -> None:
    """Work until the queue is idle."""
    worker = Worker(queue, cns, **{"results": [output], **options})
    await asyncio.wait_for(worker.run(until_idle=True), PATIENCE)


async def until(condition: Callable[[], Any], *, every: float = 0.005) -> None:
    """Wait for a condition, sync or async, to hold."""
    async with asyncio.timeout(PATIENCE):
        while True:
            found = condition()
            if await found if isinstance(found, Awaitable) else found:
                return
            await asyncio.sleep(every)


async def receive(queue: Queue) -> Delivery:
    """Lease the next job as a worker would."""
    broker = queue.broker
    (held,) = await queue.io.call(lambda: broker.receive(1, lease=30.0, wait=0.0, rate=None))
    return held


async def record_of(queue: Queue, job_id: str) -> Any:
    found = await queue.record(job_id)
    assert found is not None
    return found


# --- stores


class StoreAround:
    """A store around another: a test overrides what it wants to happen."""

    def __init__(self, inner: ProgressStore) -> None:
        self.inner = inner
        self.commits: list[tuple[Ticket, Patch]] = []

    async def open(self) -> None:
        await self.inner.open()

    async def close(self) -> None:
        await self.inner.close()

    async def load(self, run: str) -> Saved:
        return await self.inner.load(run)

    async def peek(self, run: str) -> Saved | None:
        return await self.inner.peek(run)

    async def commit(self, ticket: Ticket, patch: Patch) -> None:
        await self.inner.commit(ticket, patch)
        self.commits.append((ticket, patch))

    async def finish(self, ticket: Ticket, result: bytes, keep: float | None) -> None:
        await self.inner.finish(ticket, result, keep)

    async def forget(self, run: str) -> None:
        await self.inner.forget(run)


class AbsentStore(StoreAround):
    """A store that is away while `away` is true."""

    def __init__(self, inner: ProgressStore) -> None:
        super().__init__(inner)
        self.away = False
        self.refused = 0

    def _check(self) -> None:
        if self.away:
            self.refused += 1
            raise StoreUnavailable(url="test://", reason="a test took it away")

    async def load(self, run: str) -> Saved:
        self._check()
        return await super().load(run)

    async def commit(self, ticket: Ticket, patch: Patch) -> None:
        self._check()
        await super().commit(ticket, patch)

    async def finish(self, ticket: Ticket, result: bytes, keep: float | None) -> None:
        self._check()
        await super().finish(ticket, result, keep)


class SlowStore(StoreAround):
    """A store whose commits wait until a test lets them land, one by one or all."""

    def __init__(self, inner: ProgressStore) -> None:
        super().__init__(inner)
        self.begun = 0
        self.landed = 0
        self._allowed = 0
        self._changed = threading.Condition()

    def let(self, commits: int) -> None:
        """Let so many more commits land."""
        with self._changed:
            self._allowed += commits
            self._changed.notify_all()

    async def commit(self, ticket: Ticket, patch: Patch) -> None:
        self.begun += 1
        mine = self.begun
        while self._allowed < mine:
            await asyncio.sleep(0.001)
        await super().commit(ticket, patch)
        self.landed += 1


# --- brokers


class BrokerAround:
    """A broker around another; the store of the inner one may be wrapped too."""

    def __init__(self, inner: Broker, store: ProgressStore | None = None) -> None:
        self.inner = inner
        self._store = store

    @property
    def store(self) -> ProgressStore | None:
        return self._store or self.inner.store

    @property
    def capabilities(self) -> Capabilities:
        """Of several jobs it is told one by one, so that a `settle` of ours hears of each."""
        return replace(self.inner.capabilities, completes_together=1)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class CarryingBroker(BrokerAround):
    """A broker that is no store and carries the progress with the job, as BullMQ's jobs do.

    With `own_store`, its progress is kept there too, and finished there before the job is settled.
    """

    def __init__(self, inner: Broker) -> None:
        super().__init__(inner)
        self.carried: dict[str, bytes] = {}
        self.settled: list[Settlement] = []

    @property
    def store(self) -> ProgressStore | None:
        return None

    @property
    def capabilities(self) -> Capabilities:
        return replace(
            super().capabilities,
            atomic_settlement=False,
            own_store=False,
            carries_progress=True,
        )

    async def receive(
        self, limit: int, *, lease: float, wait: float, rate: RateLimit | None
    ) -> Sequence[Delivery]:
        found = await self.inner.receive(limit, lease=lease, wait=wait, rate=rate)
        return [
            msgspec.structs.replace(one, saved=None, progress=self.carried.get(one.job_id))
            for one in found
        ]

    async def settle(
        self, delivery: Delivery, settlement: Settlement, ticket: Any, ahead: Any = None
    ) -> None:
        assert ticket is None
        self.settled.append(settlement)
        if isinstance(settlement, Retry | Requeued) and settlement.progress is not None:
            self.carried[delivery.job_id] = settlement.progress
        await self.inner.settle(delivery, settlement, None)


def around(queue: Queue, wrap: Callable[[Broker], Any]) -> Any:
    """Put a broker around the queue's, before its first use."""
    broker = wrap(queue.broker)
    queue.broker = cast(Broker, broker)
    return broker


def with_store(queue: Queue, wrap: Callable[[ProgressStore], Any]) -> Any:
    """Put a store around that of the queue's broker, before its first use."""
    inner = queue.broker.store
    assert inner is not None
    store = wrap(inner)
    around(queue, lambda broker: BrokerAround(broker, store))
    return store


def store_at(url: str) -> ProgressStore:
    """The store that `run_durably` has of a URL, for a test to look at or to wrap."""
    return cast(Adapter, adapter_for(url)).store(url, SYSTEM_CLOCK)


def entries(saved: Saved | None) -> Mapping[str, bytes]:
    assert saved is not None
    return saved.entries
