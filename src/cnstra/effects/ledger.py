"""What has happened already, written down in the user's own database."""

import asyncio
import inspect
import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from types import TracebackType
from typing import Any, Generic, Self, TypedDict, TypeVar, cast

import msgspec

from cnstra.clock import SYSTEM_CLOCK, Clock, seconds
from cnstra.effects.bell import Bell
from cnstra.effects.databases import (
    AsyncDatabase,
    BlockingDatabase,
    awaited,
    called,
    take,
    take_async,
)
from cnstra.effects.once import Turns, finish, once, withdraw
from cnstra.effects.outbox import Outbox
from cnstra.effects.records import Entry
from cnstra.effects.statements import Statement, Steps, ask, ddl
from cnstra.engine.context import Context
from cnstra.engine.effects import Unknown
from cnstra.engine.payloads import PayloadCodec
from cnstra.errors import InvalidOption, LedgerBusy, LedgerMissing, WrongLedger
from cnstra.jobs.queue import Queue

T = TypeVar("T")
R = TypeVar("R")

logger = logging.getLogger("cnstra.effects")

KEEP = timedelta(hours=1)
"""How long the rows of a run outlive it: longer than any copy of its worker can have been asleep.
"""
PRUNE_EVERY = 60.0


class LedgerOptions(TypedDict, total=False):
    """The options of a ledger.

    queues: where `transaction.enqueue` may send jobs to.
    keep: seconds (or a `timedelta`) for which the rows of a run are kept once it is complete: for a
        worker that was asleep all that time, and would do it again. An hour.
    create: make the tables that are missing when the ledger is opened.
    """

    queues: Iterable[Queue]
    keep: float | timedelta
    create: bool
    clock: Clock


class Unsettled(msgspec.Struct, frozen=True):
    """An effect that began, and whose end nobody has written down.

    started_at: seconds since the epoch.
    """

    key: str
    run: str
    neuron: str
    effect: str | None
    started_at: float


class Ledger(Generic[T]):
    """A ledger in a database. Made by `on_sqlite`, `on_psycopg`, `on_psycopg_async` and those of
    `cnstra.effects.sqlalchemy`; an async context manager, so that a CNS can open it.

    `T` is what its transactions hand to a handler: a connection, or a session.
    """

    def __init__(
        self,
        database: AsyncDatabase[T] | BlockingDatabase[T],
        *,
        queues: Iterable[Queue] = (),
        keep: float | timedelta = KEEP,
        create: bool = False,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._database = database
        self._awaited = inspect.iscoroutinefunction(database.execute)
        self._keep = seconds(keep)
        self._create = create
        self._clock = clock
        self._held: set[str] = set()
        self._ended: list[str] = []
        self._bell = Bell()
        self.outbox = Outbox(self.ask, queues, clock)

    # --- opening

    async def __aenter__(self) -> Self:
        """Look whether the tables are there. Raises `LedgerMissing`."""
        if self._create:
            await self.create()
        await self.check()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Write down what has ended, and send what is still to be sent."""
        try:
            await self._write_ended()
            await self.drain()
        except Exception as failure:
            logger.warning("The ledger is closed before its time; another goes on: %s", failure)

    async def create(self) -> None:
        """Make the tables that are missing: `cnstra_ledger` and `cnstra_outbox`."""
        await self.ask(_create())

    async def check(self) -> None:
        """Raise `LedgerMissing`, unless the tables are there."""
        try:
            await self.ask(ask("look"))
        except Exception as error:
            raise LedgerMissing(reason=str(error).partition("\n")[0]) from error

    # --- looking, and saying what happened

    async def unsettled(self) -> list[Unsettled]:
        """The effects of which nobody knows whether they happened, and those that run just now."""
        return [Unsettled(*row) for row in await self.ask(ask("unknown"))]

    async def happened(self, key: str, result: Any = None) -> bool:
        """Say that an effect did happen, with this result; `False` if nobody waits to know.

        The next attempt gets the result from `ctx.once`, and does not repeat the effect.
        """
        codec: PayloadCodec[Any] = PayloadCodec("result", Any)
        return await self.ask(finish(key, codec.encode(result).decode()))

    async def withdraw(self, key: str) -> bool:
        """Say that an effect did not happen: the next attempt begins it anew."""
        return await self.ask(withdraw(key))

    # --- the end of its rows

    async def prune(self, *, older_than: float | timedelta) -> int:
        """Delete the rows made so many seconds ago or longer, whatever has become of their runs.

        For those of jobs that were removed, or whose worker died once the broker had its word.
        Give more than a job can take, its time in the dead letters included: a job whose rows are
        gone would have its effects again. Returns how many.
        """
        before = self.now() - seconds(older_than)
        return len(await self.ask(ask("prune_old", created_before=before)))

    async def drain(self) -> int:
        """Send all jobs that lie in the outbox, those that a dead process left behind included; how
        many.
        """
        return await self.outbox.drain()

    # --- for a worker

    def run_ended(self, run: str) -> None:
        """A run is complete, and its broker knows: its rows may go when their time is up."""
        self._ended.append(run)
        self._bell.ring()

    async def tend(self) -> None:
        """Send what is in the outbox, and prune, until cancelled. A worker does that."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.outbox.relay())
            tasks.create_task(self._keep_short())

    async def _keep_short(self) -> None:
        pruned_at = -PRUNE_EVERY
        while True:
            heard = self._bell.rings
            try:
                await self._write_ended()
                if self._clock.monotonic() - pruned_at >= PRUNE_EVERY:
                    pruned_at = self._clock.monotonic()
                    await self.ask(ask("prune", ended_before=self.now() - self._keep))
            except Exception:
                logger.exception("The ledger cannot be pruned just now; it is tried again.")
                await self._clock.sleep(1.0)
            await self._bell.wait(heard, PRUNE_EVERY, self._clock)

    async def _write_ended(self) -> None:
        runs, self._ended = self._ended, []
        if not runs:
            return
        try:
            await self.ask(_end_runs(runs, self.now()))
        except BaseException:
            self._ended[:0] = runs
            raise

    # --- for handlers

    def once(
        self,
        ctx: Context[Any],
        name: str,
        fn: Callable[[str], Any],
        *,
        reconcile: Callable[[str], Any] | None,
        unknown: Unknown,
        returns: Any,
    ) -> Any:
        """`ctx.once`."""
        if not name:
            raise InvalidOption(option="name", value=name, remedy="name the effect")
        if unknown not in ("repeat", "dead_letter"):
            remedy = 'choose "repeat" or "dead_letter"'
            raise InvalidOption(option="unknown", value=unknown, remedy=remedy)
        if any(one.idempotency_key in self._held for one in _around(ctx)):
            raise LedgerBusy(neuron=ctx.receiver.neuron_name)
        entry = Entry.of(ctx, name)
        codec: PayloadCodec[Any] = PayloadCodec(f"once {name}", returns)
        turns = (
            _just_once(entry, fn)
            if ctx.run.recorder is None
            else once(entry, fn, reconcile=reconcile, unknown=unknown, codec=codec, now=self.now())
        )
        blocks = not ctx.receiver.is_async or ctx.receiver.in_thread
        return self._take_turns(ctx, turns) if blocks else self._await_turns(turns)

    async def _await_turns(self, turns: Turns) -> Any:
        answer: Any = None
        error: BaseException | None = None
        while True:
            try:
                asked = turns.send(answer) if error is None else turns.throw(error)
            except StopIteration as end:
                return end.value
            answer = error = None
            try:
                answer = await (awaited(asked) if callable(asked) else self.ask(asked))
            except BaseException as raised:
                error = raised

    def _take_turns(self, ctx: Context[Any], turns: Turns) -> Any:
        database = self.for_blocking(ctx)
        answer: Any = None
        error: BaseException | None = None
        while True:
            try:
                asked = turns.send(answer) if error is None else turns.throw(error)
            except StopIteration as end:
                return end.value
            answer = error = None
            try:
                answer = called(asked) if callable(asked) else _ask_blocking(database, asked)
            except BaseException as raised:
                error = raised

    @contextmanager
    def holding(self, ctx: Context[Any]) -> Generator[None, None, None]:
        """While an activation has a transaction open here, `once` must not wait for it."""
        self._held.add(ctx.idempotency_key)
        try:
            yield
        finally:
            self._held.discard(ctx.idempotency_key)

    def for_awaited(self, ctx: Context[Any]) -> AsyncDatabase[T]:
        """The database, for an async handler. Raises `WrongLedger` where it blocks."""
        if not self._awaited:
            remedy = (
                "give the ledger an async engine or connection, or make the handler a plain def"
            )
            raise WrongLedger(
                handler="async", neuron=ctx.receiver.neuron_name, database="one that blocks",
                remedy=remedy,
            )  # fmt: skip
        return cast(AsyncDatabase[T], self._database)

    def for_blocking(self, ctx: Context[Any]) -> BlockingDatabase[T]:
        """The database, for a sync handler. Raises `WrongLedger` where it must be awaited."""
        if self._awaited:
            remedy = "make the handler async, or give the ledger a database that blocks"
            raise WrongLedger(
                handler="sync", neuron=ctx.receiver.neuron_name, database="one that is awaited",
                remedy=remedy,
            )  # fmt: skip
        return cast(BlockingDatabase[T], self._database)

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._clock.time()

    async def ask(self, steps: Steps[R]) -> R:
        """Take the steps in a transaction of their own, off the loop where the database blocks."""
        if not self._awaited:
            database = cast(BlockingDatabase[T], self._database)
            return await asyncio.to_thread(_ask_blocking, database, steps)
        awaited_database = cast(AsyncDatabase[T], self._database)
        async with awaited_database.transaction() as within:
            return await take_async(awaited_database, within, steps)


def _ask_blocking(database: BlockingDatabase[T], steps: Steps[R]) -> R:
    with database.transaction() as within:
        return take(database, within, steps)


def _around(ctx: Context[Any]) -> Iterator[Context[Any]]:
    """The activation, and those that it is an inner one of."""
    around: Context[Any] | None = ctx
    while around is not None:
        yield around
        around = around.run.outer


def _just_once(entry: Entry, fn: Callable[[str], Any]) -> Turns:
    """In a plain run: no attempt comes after this one."""
    return (yield lambda: fn(entry.key))


def _create() -> Steps[None]:
    for number in range(len(ddl())):
        yield Statement(f"tables#{number}")


def _end_runs(runs: Sequence[str], now: float) -> Steps[None]:
    for run in runs:
        yield Statement("end_run", {"run": run, "now": now})
