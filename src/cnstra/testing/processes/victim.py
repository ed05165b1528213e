"""A worker in a process that dies when it is told to, and writes down what it does until then."""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, TypeVar, cast

import msgspec

from cnstra.clock import SystemClock
from cnstra.durable.store import Patch, ProgressStore, Saved, Ticket
from cnstra.engine.cns import CNS
from cnstra.jobs.broker import Ahead, Broker
from cnstra.jobs.queue import Queue
from cnstra.jobs.settlement import Completed, Delivery, Lost, Settlement
from cnstra.jobs.worker import Worker
from cnstra.testing.faults import Fault, Kind
from cnstra.testing.observed import context_of, observed
from cnstra.testing.processes.orders import Strike
from cnstra.testing.witness import Activation

T = TypeVar("T")

_encode = msgspec.json.Encoder(enc_hook=repr).encode


class LaterClock(SystemClock):
    """So many seconds ahead of the real time: what an earlier process had leased is due.

    The run id is the same for each run of the job, so that its keys can be compared.
    """

    def __init__(self, seconds: float) -> None:
        self._ahead = seconds
        self._ids = 0

    def time(self) -> float:
        return super().time() + self._ahead

    def new_id(self) -> str:
        self._ids += 1
        return f"id-{self._ahead:.0f}-{self._ids}"


class Diary:
    """Events, each appended in one write: what was written is there, whatever dies then."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY)

    def note(self, event: str, *arguments: object) -> None:
        os.write(self._file, _encode([event, arguments]) + b"\n")


class Victim:
    """The `number`-th worker process of a job: a witness of its handlers."""

    def __init__(self, number: int, diary: Diary, strike: Strike | None) -> None:
        self.number = number
        self.diary = diary
        self.cns: CNS | None = None
        self._saved: Saved | None = None
        self._run: Any = None
        self._strike = strike
        self._left = strike.number if strike else 0

    def passes(self, kind: Kind, what: str, *faults: Fault) -> None:
        """A point is passed, at which it may die so."""
        strike = self._strike
        if strike is None or strike.kind != kind or strike.fault not in faults:
            return
        self._left -= 1
        if self._left == 0:
            self.diary.note("struck", what)
            os.kill(os.getpid(), signal.SIGKILL)

    async def strike(self, kind: Kind, what: str, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """A call that is a point."""
        self.passes(kind, what, Fault.DIE_BEFORE)
        answer = await work()
        self.passes(kind, what, Fault.DIE_AFTER)
        return answer

    def loaded(self, saved: Saved) -> None:
        self._saved, self._run = saved, None
        self.diary.note("loaded", self.number, saved.epoch)

    def finished(self, ticket: Ticket) -> None:
        assert self.cns is not None
        context = context_of(self._run, self._saved, self.cns)
        self.diary.note("finished", self.number, ticket.epoch, context)

    # --- a witness

    def started(self, activation: Activation, payload: str) -> None:
        key, neuron, is_inner = activation.key, activation.neuron, activation.is_inner
        self.diary.note("started", self.number, key, neuron, payload, is_inner)
        if not is_inner:
            self._run = activation.run
        self.passes("start", neuron, Fault.DIE)

    def returned(self, activation: Activation, children: Sequence[str]) -> None:
        self.diary.note("returned", activation.key, children)

    def asks(self, activation: Activation, name: str) -> None:
        self.passes("ask", f"{name!r} of neuron {activation.neuron!r}", Fault.DIE)

    def had_effect(self, activation: Activation, name: str, key: str | None) -> None:
        neuron, number = activation.neuron, activation.count(name)
        self.diary.note("had_effect", self.number, activation.key, neuron, name, number, key)
        self.passes("effect", f"{name!r} of neuron {neuron!r}", Fault.DIE)

    def overwrote(self, activation: Activation) -> None:
        self.diary.note("overwrote", activation.neuron)


class WatchedStore:
    """A progress store whose writes are written down, and are points."""

    def __init__(self, inner: ProgressStore, victim: Victim) -> None:
        self._inner = inner
        self._victim = victim

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def commit(self, ticket: Ticket, patch: Patch) -> None:
        async def work() -> None:
            await self._inner.commit(ticket, patch)
            self._victim.diary.note(
                "committed", self._victim.number, ticket.epoch, [*patch.puts], [*patch.deletes]
            )

        await self._victim.strike("commit", "", work)


class WatchedBroker:
    """A broker whose deliveries and settlements are written down, and are points."""

    def __init__(self, inner: Broker, victim: Victim) -> None:
        self._inner = inner
        self._victim = victim
        self.store = WatchedStore(cast(ProgressStore, inner.store), victim)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def receive(self, limit: int, **options: Any) -> Sequence[Delivery]:
        found = await self._inner.receive(limit, **options)
        for one in found:
            self._victim.loaded(cast(Saved, one.saved))
            self._victim.passes("receive", "", Fault.DIE_AFTER)
        return found

    async def settle(
        self,
        delivery: Delivery,
        settlement: Settlement,
        ticket: Ticket | None,
        ahead: Ahead | None = None,
    ) -> Sequence[Delivery]:
        del ahead

        async def work() -> Sequence[Delivery]:
            found = await self._inner.settle(delivery, settlement, ticket)
            if isinstance(settlement, Completed) and ticket is not None:
                self._victim.finished(ticket)
            return found

        if isinstance(settlement, Lost):
            return await work()
        return await self._victim.strike("settle", type(settlement).__name__, work)


def carry_into_threads(loop: Any) -> None:
    """Have what handlers run in threads of the loop's executors seen as theirs, too."""
    run = loop.run_in_executor

    def run_seen(executor: Executor | None, call: Callable[..., Any], *args: Any) -> Any:
        if isinstance(executor, ThreadPoolExecutor | None):
            return run(executor, copy_context().run, call, *args)
        return run(executor, call, *args)

    loop.run_in_executor = run_seen


async def work(worker: Worker, queue: Queue, victim: Victim) -> None:
    """Work until the queue is empty."""
    carry_into_threads(asyncio.get_running_loop())
    inner = queue.broker
    queue.broker = cast(Any, WatchedBroker(inner, victim))
    own = worker.with_queue(queue)
    own.cns = victim.cns = observed(own.cns, victim, queue.clock)
    await own.run(until_idle=True)
    queue.broker = inner
