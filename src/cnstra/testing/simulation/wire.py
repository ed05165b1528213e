"""The way from a simulated process to its broker and store: it takes time, breaks, and is cut."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, NoReturn, Protocol, TypeVar

from cnstra.durable.store import Patch, ProgressStore, Saved, Ticket
from cnstra.errors import BrokerUnavailable, StoreUnavailable
from cnstra.jobs.broker import Ahead, Broker
from cnstra.jobs.limits import RateLimit
from cnstra.jobs.settlement import Completed, Delivery, Lost, Settlement
from cnstra.testing.faults import Fault, Kind
from cnstra.testing.simulation.life import Life
from cnstra.testing.simulation.mail import Wire

T = TypeVar("T")

LATENCIES = (0.0005, 0.001, 0.005)
"""Seconds that a message takes, one way."""
LONGEST_WAIT = 3600.0
"""Seconds that a request for a job may wait: virtual ones cost nothing."""
URL = "simulated://"


class Registry(Protocol):
    """What a trial hears of what its broker and store have done."""

    def is_of_job(self, run: str) -> bool:
        """Whether it is the job's run; else it is the record that a broker of messages keeps."""
        ...

    def delivered(self, life: Life, delivery: Delivery) -> None: ...

    def loaded(self, life: Life, saved: Saved) -> None: ...

    def committed(self, life: Life, ticket: Ticket, patch: Patch) -> None: ...

    def finished(self, life: Life, ticket: Ticket) -> None: ...

    async def settled(self, life: Life, settlement: Settlement) -> None: ...

    def renewed(self) -> None: ...


class Line:
    """Carries calls, as long as the process lives."""

    def __init__(self, life: Life, unavailable: Callable[[str], Exception]) -> None:
        self._life = life
        self._unavailable = unavailable

    async def call(self, work: Callable[[], Awaitable[T]]) -> T:
        """A call at which nothing goes wrong."""
        await self._travel()
        self._must_live()
        answer = await work()
        await self._travel()
        return answer

    async def strike(self, kind: Kind, what: str, work: Callable[[], Awaitable[T]]) -> T:
        """A call that is a point."""
        self._must_live()
        fault = self._life.chronicle.passes(kind, what)
        if fault is Fault.DIE_BEFORE:
            await self._die()
        if fault is Fault.FREEZE_BEFORE:
            self._life.freeze()
        await self._travel()
        if fault is Fault.REFUSED:
            raise self._unavailable("it was refused")
        self._must_live()
        answer = await work()
        if fault is Fault.DIE_AFTER:
            await self._die()
        if fault is Fault.FREEZE_AFTER:
            self._life.freeze()
        await self._travel()
        if fault is Fault.REPLY_LOST:
            raise self._unavailable("the reply was lost")
        return answer

    async def _travel(self) -> None:
        await asyncio.sleep(self._life.chronicle.world.chance.choice(LATENCIES))

    async def _die(self) -> NoReturn:
        self._life.die()
        await asyncio.get_running_loop().create_future()
        raise AssertionError("the dead do not go on")

    def _must_live(self) -> None:
        """A `finally` block of a process that is dead reaches nobody."""
        if self._life.is_over:
            raise self._unavailable("the process is over")


async def unless(event: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """What the work returns; `None` if the event comes first, and the work is cancelled."""
    working, waiting = asyncio.ensure_future(work), asyncio.ensure_future(event.wait())
    await asyncio.wait({working, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if working.done():
        return working.result()
    working.cancel()
    await asyncio.wait({working})
    return None


class SimulatedStore:
    """A progress store at the other end of a line."""

    def __init__(self, inner: ProgressStore, life: Life, registry: Registry) -> None:
        self._inner = inner
        self._life = life
        self._registry = registry
        self._line = Line(life, lambda reason: StoreUnavailable(url=URL, reason=reason))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def load(self, run: str) -> Saved:
        async def work() -> Saved:
            saved = await self._inner.load(run)
            if self._registry.is_of_job(run):
                self._registry.loaded(self._life, saved)
            return saved

        return await self._line.call(work)

    async def commit(self, ticket: Ticket, patch: Patch) -> None:
        is_of_job = self._registry.is_of_job(ticket.run)

        async def work() -> None:
            await self._inner.commit(ticket, patch)
            if is_of_job:
                self._registry.committed(self._life, ticket, patch)

        await self._line.strike("commit" if is_of_job else "record", "", work)

    async def finish(self, ticket: Ticket, result: bytes, keep: float | None) -> None:
        is_of_job = self._registry.is_of_job(ticket.run)

        async def work() -> None:
            await self._inner.finish(ticket, result, keep)
            if is_of_job:
                self._registry.finished(self._life, ticket)

        await self._line.strike("finish" if is_of_job else "record", "", work)


class SimulatedBroker:
    """A broker at the other end of a line.

    is_atomic: to settle is one call, and so a point; else it is several calls of a transport's.
    """

    def __init__(
        self,
        inner: Broker,
        life: Life,
        registry: Registry,
        store: SimulatedStore,
        *,
        is_atomic: bool,
    ) -> None:
        self._inner = inner
        self._life = life
        self._registry = registry
        self._line = _line(life)
        self._is_atomic = is_atomic
        self.store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def receive(
        self, limit: int, *, lease: float, wait: float, rate: RateLimit | None
    ) -> Sequence[Delivery]:
        del wait
        self._life.lease = lease
        deliveries: Sequence[Delivery] = ()

        async def work() -> Sequence[Delivery]:
            return deliveries

        asked = self._inner.receive(limit, lease=lease, wait=LONGEST_WAIT, rate=rate)
        deliveries = await unless(self._life.stopping, asked) or ()
        for one in deliveries:
            self._registry.delivered(self._life, one)
        return await self._line.strike("receive", "", work) if deliveries else ()

    async def renew(self, deliveries: Sequence[Delivery], lease: float) -> Any:
        self._registry.renewed()
        return await self._line.call(lambda: self._inner.renew(deliveries, lease))

    async def settle(
        self,
        delivery: Delivery,
        settlement: Settlement,
        ticket: Ticket | None,
        ahead: Ahead | None = None,
    ) -> Sequence[Delivery]:
        async def work() -> Sequence[Delivery]:
            found = await self._inner.settle(delivery, settlement, ticket, ahead)
            if isinstance(settlement, Completed) and ticket is not None:
                self._registry.finished(self._life, ticket)
            await self._registry.settled(self._life, settlement)
            return found

        if isinstance(settlement, Lost) or not self._is_atomic:
            return await self._line.call(work)
        return await self._line.strike("settle", type(settlement).__name__, work)


def _line(life: Life) -> Line:
    return Line(life, lambda reason: BrokerUnavailable(url=URL, reason=reason))


def message_wire(life: Life) -> Wire:
    """The wire of the messages of a process: each call is a point."""
    line = _line(life)

    async def carry(what: str, work: Callable[[], Awaitable[None]]) -> None:
        await line.strike("message", what, work)

    return carry
