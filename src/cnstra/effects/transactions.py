"""A neuron's step and its rows in one transaction: done once, whatever dies in between."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar, cast

from cnstra.effects.databases import take, take_async
from cnstra.effects.ledger import Ledger
from cnstra.effects.once import finish, found_done
from cnstra.effects.outbox import Outbox, Post, write
from cnstra.effects.records import Entry, Outcome
from cnstra.effects.statements import Call, Steps
from cnstra.engine.context import Context
from cnstra.engine.outcomes import Done, Failed, Unfinished, outcome_of_return
from cnstra.engine.recorder import Emission
from cnstra.engine.resources import Resource
from cnstra.engine.signals import Signal
from cnstra.jobs.queue import Queue

T = TypeVar("T")
P = TypeVar("P")
A = TypeVar("A")
C = TypeVar("C")
R = TypeVar("R")


class Transaction(Generic[T]):
    """The transaction that a transactional handler runs in.

    connection: the connection, or session, that it is open on. To commit it or roll it back is the
        decorator's business.
    """

    __slots__ = ("_key", "_outbox", "connection", "posts")

    def __init__(self, connection: T, outbox: Outbox, key: str) -> None:
        self.connection = connection
        self.posts: list[Post] = []
        self._outbox = outbox
        self._key = key

    def enqueue(
        self,
        queue: Queue,
        signal: Signal[Any] | Mapping[str, Any],
        *,
        job_id: str | None = None,
        **options: Any,
    ) -> str:
        """Have a job added to `queue`, once this transaction is committed; returns its id.

        The queue, on any broker, is one of those that the ledger was given. The options are those
        of `Queue.enqueue`, but `connection`. Without a `job_id` it comes from the activation's key:
        the same on every attempt.

        Raises what `Queue.enqueue` does for a signal or an option.
        """
        self._outbox.require(queue)
        position = len(self.posts)
        job = queue.prepare(signal, job_id=job_id or f"{self._key}-{position}", **options)
        self.posts.append(Post(self._key, position, queue.name, job))
        return job.id


class _TakenBack(Exception):
    """Ends a transaction whose handler was interrupted, as the engine will see for itself."""

    def __init__(self, output: object) -> None:
        self.output = output


class Transactional(Generic[T]):
    """What `transactional(ledger)` is: it makes a handler of one that takes a transaction too."""

    def __init__(self, ledger: Resource[Ledger[T]]) -> None:
        self._ledger = ledger

    def __call__(
        self, handler: Callable[[P, A, Context[C], Transaction[T]], R], /
    ) -> Callable[[P, A, Context[C]], R]:
        async def awaited(payload: P, axon: A, ctx: Context[C]) -> Any:
            ledger = ctx.resources[self._ledger]
            database = ledger.for_awaited(ctx)
            try:
                with ledger.holding(ctx):
                    async with database.transaction() as connection:
                        transaction = Transaction(connection, ledger.outbox, ctx.idempotency_key)
                        call = lambda: handler(payload, axon, ctx, transaction)  # noqa: E731
                        steps = _steps(ctx, transaction, call, ledger.now())
                        output = await take_async(database, connection, steps)
            except _TakenBack as taken_back:
                return taken_back.output
            if transaction.posts:
                ledger.outbox.nudge()
            return output

        def blocking(payload: P, axon: A, ctx: Context[C]) -> Any:
            ledger = ctx.resources[self._ledger]
            database = ledger.for_blocking(ctx)
            try:
                with ledger.holding(ctx), database.transaction() as connection:
                    transaction = Transaction(connection, ledger.outbox, ctx.idempotency_key)
                    call = lambda: handler(payload, axon, ctx, transaction)  # noqa: E731
                    steps = _steps(ctx, transaction, call, ledger.now())
                    output = take(database, connection, steps)
            except _TakenBack as taken_back:
                return taken_back.output
            if transaction.posts:
                ledger.outbox.nudge()
            return output

        step: Any = awaited if inspect.iscoroutinefunction(handler) else blocking
        for name in ("__module__", "__name__", "__qualname__", "__doc__"):
            setattr(step, name, getattr(handler, name, None))
        step.needs_checkpoint = True
        return cast(Callable[[P, A, Context[C]], R], step)


def transactional(ledger: Resource[Ledger[T]]) -> Transactional[T]:
    """A decorator for a handler whose step and rows are one transaction of `ledger`'s database.

    The handler takes a fourth argument, the `Transaction`. What it returns and what it writes to
    its context is written to the ledger in that transaction, by its idempotency key; an attempt
    that finds it there emits that, and does not call the handler. A handler that raises, or is
    interrupted, rolls all of it back. Before it starts, the checkpoint that holds its activation
    has landed. In a plain run it is a transaction, and no more.

    Raises `WrongLedger` in an activation whose handler and database do not go together: an async
    handler needs a database that is awaited, a sync one a database that blocks.

    >>> @clerk.dendrite(order)
    ... @transactional(books)
    ... async def book(payload: Order, axon: Axon, ctx: Context[None], tx: Transaction[Conn]): ...
    """
    return Transactional(ledger)


def _steps(ctx: Context[Any], transaction: Transaction[Any], call: Call, now: float) -> Steps[Any]:
    """All of the transaction: look, call the handler, write down what came of it."""
    entry = None if ctx.run.recorder is None else Entry.of(ctx)
    if entry is not None:
        known = yield from found_done(entry, now)
        if known is not None:
            return Outcome.from_text(known).replay(ctx)
    output = yield call
    emissions = yield from _emissions(ctx, output)
    yield from write(transaction.posts, now)
    if entry is not None:
        yield from finish(entry.key, Outcome.of(ctx, emissions).to_text())
    return [] if output is None else output


def _emissions(ctx: Context[Any], output: Any) -> Steps[Sequence[Emission]]:
    """What the engine will make of it. Raises what takes the transaction back."""
    rare = ctx.rare
    while rare is not None and rare.inner_runs:
        yield next(iter(rare.inner_runs)).wait_until_done
    match outcome_of_return(ctx.receiver, ctx, output, None):
        case Done(emissions):
            return emissions
        case Failed(error):
            raise error
        case Unfinished():
            raise AssertionError("a handler's awaitable was awaited, and its inner runs are over")
        case _:
            raise _TakenBack(output)
