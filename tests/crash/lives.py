"""Workers that die in this process: from then on nothing that they do reaches broker or store."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeVar, cast

import msgspec

from cnstra.clock import Clock
from cnstra.durable.store import Patch, ProgressStore, Saved, Ticket
from cnstra.errors import BrokerUnavailable, Fenced, StoreUnavailable
from cnstra.jobs.broker import Broker, CompletesTogether, LeaseState, NewJob
from cnstra.jobs.limits import RateLimit
from cnstra.jobs.settlement import Delivery
from cnstra.jobs.transport import Incoming, Outgoing, Transport
from tests.crash.answers import lost
from tests.crash.names import ENTRY, heard_by
from tests.crash.witness import Line, What, Witness
from tests.durables import StoreAround

T = TypeVar("T")

Moment = Literal["before", "after", "lost", "refused", "stalls", "twice", "late"]
"""before, after: it dies before the call is sent, or once it has landed. lost: it has landed, and
the reply is lost. refused: it was never sent. stalls: the worker stands still before it for so
long that another takes its job over, and then goes on. twice: the message is delivered once more.
late: and that when the lease of the first is over, past all that came between."""

DEATHS: Sequence[Moment] = ("before", "after")
MOMENTS: Mapping[str, Sequence[Moment]] = {
    "start": ("after",),
    "end": ("after",),
    "enqueue": ("before", "after", "lost", "refused"),
    "receive": ("after", "lost"),
    "take": ("after", "lost", "twice", "late"),
    "load": ("before", "after", "lost", "refused"),
    "commit": ("before", "after", "lost", "refused", "stalls"),
    "finish": ("before", "after", "lost", "refused", "stalls"),
    "settle": ("before", "after", "lost", "refused", "stalls"),
    "complete": ("before", "after", "lost", "refused", "stalls"),
    "send": ("before", "after", "lost", "refused"),
    "done": ("before", "after", "lost", "refused", "stalls"),
    "put_back": ("before", "after", "lost", "refused"),
    "bury": ("before", "after", "lost", "refused"),
}
"""What a worker does, and when it may die of it."""


@dataclass(frozen=True, order=True)
class Fault:
    """What befalls a worker at its `number`-th call of `call`."""

    call: str
    number: int
    moment: Moment

    def __str__(self) -> str:
        return f"{self.call} {self.number} {self.moment}"


class Life:
    """One worker, from its start to its end or death; a `Stage` of its graph.

    jobs: the job of each run that the witness is told of. lease: in seconds.
    """

    def __init__(
        self,
        number: int,
        witness: Witness,
        clock: Clock,
        jobs: Mapping[str, str],
        faults: Sequence[Fault] = (),
        lease: float = 0.0,
    ) -> None:
        self.life = number
        self._jobs = jobs
        self._lease = lease
        self.clock = clock
        self.is_dead = False
        self.came: list[Fault] = []
        self.stalled = asyncio.Event()
        self.goes_on = asyncio.Event()
        self.stop: Callable[[], None] = lambda: None
        self._witness = witness
        self._faults = {(one.call, one.number): one for one in faults}
        self.calls: Counter[str] = Counter()

    # --- what handlers see

    def write(self, line: Line) -> None:
        if self.is_dead:
            return
        self._witness.write(line)
        if line.what in ("start", "end") and self._fault(line.what) is not None:
            self.die()

    def count(self, what: What, job: str, at: str) -> int:
        found = self._witness.lines()
        return sum(one.what == what and one.job == job and one.at == at for one in found)

    async def work(self) -> None:
        await asyncio.sleep(0)

    async def rest(self) -> None:
        await self.clock.sleep(1.5 * self._lease)

    # --- what befalls it

    def die(self) -> None:
        """End at once, for all that others can see."""
        self.is_dead = True
        self.stop()

    async def call(
        self, name: str, call: Callable[[], Awaitable[T]], away: Callable[[], Exception]
    ) -> T:
        """Make the call, with what befalls it. away: the error of whoever hears no answer."""
        self.check()
        fault = self._fault(name)
        moment = None if fault is None else fault.moment
        if moment == "before":
            self.die()
        if moment == "stalls":
            self.stalled.set()
        await self.stand_still()
        self.check()
        if moment == "refused":
            raise away()
        answer = await call()
        self.check()
        if moment == "after":
            self.die()
            self.check()
        if moment == "lost":
            raise away()
        return answer

    def moment(self, name: str) -> str:
        """What befalls the call of that name that is being made."""
        fault = self._faults.get((name, self.calls[name]))
        return "" if fault is None else fault.moment

    def next_moment(self, name: str) -> str:
        """What will befall the next call of that name."""
        fault = self._faults.get((name, self.calls[name] + 1))
        return "" if fault is None else fault.moment

    async def stand_still(self) -> None:
        """Wait, once it stands still, until it goes on."""
        if self.stalled.is_set():
            await self.goes_on.wait()

    def check(self) -> None:
        """Raise once it is dead: nothing may come of what is left of it."""
        if self.is_dead:
            raise Fenced(run="any", epoch=0, found=0)

    def _fault(self, name: str) -> Fault | None:
        self.calls[name] += 1
        fault = self._faults.get((name, self.calls[name]))
        if fault is not None:
            self.came.append(fault)
        return fault

    # --- what it has seen of the run

    def loaded(self, run: str, saved: Saved | None) -> None:
        """Tell the witness what a run owes that was loaded."""
        if saved is not None and run in self._jobs:
            line = Line("load", self.life, self._jobs[run], epoch=saved.epoch, frontier=owed(saved))
            self._witness.write(line)

    def writes(self, what: What, run: str, epoch: int) -> None:
        if run in self._jobs:
            self._witness.write(Line(what, self.life, self._jobs[run], epoch=epoch))


def owed(saved: Saved) -> tuple[str, ...]:
    """The names of the activations that the stored run owes."""
    if saved.result is not None:
        return ()
    if not saved.entries:
        return (ENTRY,)
    tasks = [msgspec.json.decode(value) for key, value in saved.entries.items() if key[:2] == "t/"]
    return tuple(sorted(heard_by(task["p"]["at"], task["n"]) for task in tasks))


def _store_away() -> Exception:
    return StoreUnavailable(url="test://", reason="no answer")


def _broker_away() -> Exception:
    return BrokerUnavailable(url="test://", reason="no answer")


class MortalStore(StoreAround):
    """A store of a worker that may die."""

    def __init__(self, inner: ProgressStore, life: Life) -> None:
        super().__init__(inner)
        self._life = life

    async def load(self, run: str) -> Saved:
        saved = await self._call("load", lambda: self.inner.load(run))
        self._life.loaded(run, saved)
        return saved

    async def commit(self, ticket: Ticket, patch: Patch) -> None:
        await self._write("commit", ticket, lambda: self.inner.commit(ticket, patch))

    async def finish(self, ticket: Ticket, result: bytes, keep: float | None) -> None:
        await self._write("finish", ticket, lambda: self.inner.finish(ticket, result, keep))

    async def forget(self, run: str) -> None:
        self._life.check()
        await self.inner.forget(run)

    async def _write(self, name: str, ticket: Ticket, write: Callable[[], Awaitable[None]]) -> None:
        async def told() -> None:
            self._life.writes("sent", ticket.run, ticket.epoch)
            await write()
            self._life.writes("written", ticket.run, ticket.epoch)

        await self._call(name, told)

    async def _call(self, name: str, call: Callable[[], Awaitable[T]]) -> T:
        return await self._life.call(name, call, _store_away)


class MortalBroker:
    """A broker that settles in one step with its store, of a worker that may die."""

    def __init__(self, inner: Broker, life: Life) -> None:
        assert inner.store is not None
        self._inner = inner
        self._life = life
        self.store = MortalStore(inner.store, life)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def enqueue(self, jobs: Sequence[NewJob]) -> Sequence[bool]:
        return await self._life.call("enqueue", lambda: self._inner.enqueue(jobs), _broker_away)

    async def receive(
        self, limit: int, *, lease: float, wait: float, rate: RateLimit | None
    ) -> Sequence[Delivery]:
        if self._life.is_dead:
            await asyncio.sleep(0)  # until the worker has heard of its end
            return ()
        ask = partial(self._inner.receive, limit, lease=lease, wait=wait, rate=rate)
        in_vain = lost(self._inner) if self._life.next_moment("receive") == "lost" else None
        if in_vain is not None:
            with in_vain:
                return await self._life.call("receive", ask, _broker_away)
        found = await ask()
        for one in found:
            self._life.loaded(one.run, one.saved)

        async def received() -> Sequence[Delivery]:
            return found

        return await self._life.call("receive", received, _broker_away) if found else found

    async def renew(self, deliveries: Sequence[Delivery], lease: float) -> Sequence[LeaseState]:
        return await self._outside(partial(self._inner.renew, deliveries, lease))

    async def counts(self) -> Any:
        return await self._outside(self._inner.counts)

    async def settle(
        self, delivery: Delivery, settlement: Any, ticket: Ticket | None, ahead: Any = None
    ) -> Sequence[Delivery]:
        async def told() -> Sequence[Delivery]:
            self._tell("sent", delivery, ticket)
            with self._answers("settle"):
                answer = await self._inner.settle(delivery, settlement, ticket, ahead)
            self._settled(delivery, ticket, answer)
            return answer

        return await self._life.call("settle", told, _broker_away)

    async def complete(
        self, over: Sequence[tuple[Delivery, Any, Ticket | None]], ahead: Any
    ) -> Sequence[Sequence[Delivery] | Exception]:
        """As of a broker that completes jobs together."""
        inner = cast(CompletesTogether, self._inner)

        async def told() -> Sequence[Sequence[Delivery] | Exception]:
            for delivery, _, ticket in over:
                self._tell("sent", delivery, ticket)
            with self._answers("complete"):
                answers = await inner.complete(over, ahead)
            for (delivery, _, ticket), answer in zip(over, answers, strict=True):
                if not isinstance(answer, Exception):
                    self._settled(delivery, ticket, answer)
            return answers

        try:
            return await self._life.call("complete", told, _broker_away)
        except Exception as error:
            return [error for _ in over]

    def _answers(self, name: str) -> AbstractContextManager[None]:
        """Whether the broker hears any, while such a call is made."""
        is_lost = self._life.moment(name) == "lost"
        return (lost(self._inner) if is_lost else None) or nullcontext()

    def _settled(
        self, delivery: Delivery, ticket: Ticket | None, ahead: Sequence[Delivery]
    ) -> None:
        self._tell("written", delivery, ticket)
        for one in ahead:
            self._life.loaded(one.run, one.saved)

    def _tell(self, what: What, delivery: Delivery, ticket: Ticket | None) -> None:
        if ticket is not None:
            self._life.writes(what, delivery.run, ticket.epoch)

    async def _outside(self, call: Callable[[], Awaitable[T]]) -> T:
        await self._life.stand_still()
        self._life.check()
        return await call()


class MortalTransport:
    """A transport of messages, of a worker that may die."""

    def __init__(self, inner: Transport, life: Life) -> None:
        self._inner = inner
        self._life = life

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def take(self, limit: int, *, lease: float, wait: float) -> Sequence[Incoming]:
        if self._life.is_dead:
            await asyncio.sleep(0)
            return ()
        found = await self._inner.take(limit, lease=lease, wait=wait)

        async def taken() -> Sequence[Incoming]:
            delay = {"twice": 0.0, "late": 2 * lease}.get(self._life.moment("take"))
            if delay is not None:
                await self._inner.send([Outgoing(one.body, one.id, delay) for one in found])
            return found

        return await self._life.call("take", taken, _broker_away) if found else found

    async def keep(self, messages: Sequence[Incoming], lease: float) -> Sequence[bool]:
        await self._life.stand_still()
        self._life.check()
        return await self._inner.keep(messages, lease)

    async def send(self, messages: Sequence[Outgoing]) -> None:
        await self._call("send", lambda: self._inner.send(messages))

    async def done(self, message: Incoming) -> None:
        await self._call("done", lambda: self._inner.done(message))

    async def put_back(self, message: Incoming, delay: float) -> None:
        await self._call("put_back", lambda: self._inner.put_back(message, delay))

    async def bury(self, message: Incoming, body: bytes) -> None:
        await self._call("bury", lambda: self._inner.bury(message, body))

    async def _call(self, name: str, call: Callable[[], Awaitable[T]]) -> T:
        return await self._life.call(name, call, _broker_away)
