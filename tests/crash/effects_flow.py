"""A flow of three effects: rows in a transaction, a charge through `once`, a mail with its key."""

import asyncio
import random
import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from typing import Any, cast

import psycopg
from psycopg_pool import AsyncConnectionPool

from cnstra import CNS, Context, Queue, Resource, collateral, neuron
from cnstra.clock import SYSTEM_CLOCK, Clock
from cnstra.effects import Happened, Ledger, Transaction, on_psycopg_async, on_sqlite
from cnstra.effects import transactional as transactional_on
from tests.crash.bank import Bank, ask, tell
from tests.crash.flow import Log

STEPS = ("book", "charge", "notify")
Passes = Callable[[str], None]

books: Resource[Ledger[Any]] = Resource("books")
order = collateral("order", int)
booked = collateral("booked", int)
charged = collateral("charged", int)
result = collateral("result", int)


class Rows:
    """The database: a table that would show a row that was written twice, and the ledger."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.on_postgres = url.startswith("postgresql:")

    def make(self) -> None:
        self.execute("CREATE TABLE rows (job integer, key text)")

    def of(self, job: int | None = None) -> list[tuple[int, str]]:
        where = "" if job is None else f" WHERE job = {job}"
        return self.execute(f"SELECT job, key FROM rows{where}")

    def left_in_outbox(self) -> int:
        return len(self.execute("SELECT 1 FROM cnstra_outbox"))

    def execute(self, statement: str) -> list[Any]:
        if not self.on_postgres:
            with closing(sqlite3.connect(self.url, isolation_level=None)) as connection:
                return connection.execute(statement).fetchall()
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(cast(Any, statement))
            return cursor.fetchall() if cursor.description else []

    @asynccontextmanager
    async def ledger(self, **options: Any) -> AsyncGenerator[Ledger[Any], None]:
        if not self.on_postgres:
            async with on_sqlite(self.url, **options) as ledger:
                yield ledger
            return
        pool = AsyncConnectionPool(self.url, min_size=1, max_size=4, open=False)
        async with pool, on_psycopg_async(pool.connection, **options) as ledger:
            yield ledger


@dataclass
class EffectsFlow:
    """The flow, and what must hold of its effects.

    passes: is told each point of it. longest: seconds that a step takes, at most. guarded: whether
    it has its ledger; without, the steps do the same as they are.
    """

    rows: Rows
    bank: Bank
    log: Log
    longest: float = 0.0
    guarded: bool = True
    passes: Passes = lambda point: None
    clock: Clock = SYSTEM_CLOCK
    wrap: Callable[[Any], Any] = lambda database: database

    def cns(self, mails: Queue | None = None) -> CNS:
        book, till, clerk = (
            neuron("book", {"out": booked}),
            neuron("charge", {"out": charged}),
            neuron("notify", {"out": result}),
        )
        book.dendrite(order, self._book(mails))
        till.dendrite(booked, self._charge)
        clerk.dendrite(charged, self._notify)

        @asynccontextmanager
        async def opened() -> AsyncGenerator[Ledger[Any], None]:
            queues = [] if mails is None else [mails]
            async with self.rows.ledger(queues=queues, clock=self.clock) as ledger:
                ledger._database = self.wrap(ledger._database)  # pyright: ignore[reportPrivateUsage]
                yield ledger

        return CNS([book, till, clerk], resources=[books.opened_by(opened)])

    def _book(self, mails: Queue | None) -> Any:
        insert = "INSERT INTO rows VALUES ({}, '{}')"

        async def awaited(job: int, axon: Any, ctx: Context[Any], tx: Transaction[Any]) -> Any:
            await self._act(job, 0, lambda: tx.connection.execute(_insert(job, ctx)))
            if mails is not None:
                tx.enqueue(mails, order.create_signal(job))
            return axon.out.create_signal(job)

        def blocking(job: int, axon: Any, ctx: Context[Any], tx: Transaction[Any]) -> Any:
            self.log.write("start", {"job": job, "branch": 0, "step": 0})
            tx.connection.execute(_insert(job, ctx))
            if mails is not None:
                tx.enqueue(mails, order.create_signal(job))
            self.log.write("end", {"job": job, "branch": 0, "step": 0})
            return axon.out.create_signal(job)

        async def bare(job: int, axon: Any, ctx: Context[Any]) -> Any:
            async def write() -> None:
                async with await psycopg.AsyncConnection.connect(self.rows.url) as connection:
                    await connection.execute(_insert(job, ctx))

            await self._act(job, 0, write)
            return axon.out.create_signal(job)

        def _insert(job: int, ctx: Context[Any]) -> Any:
            return insert.format(job, ctx.idempotency_key)

        if not self.guarded:
            return bare
        return transactional_on(books)(awaited if self.rows.on_postgres else blocking)  # pyright: ignore

    async def _charge(self, job: int, axon: Any, ctx: Context[Any]) -> Any:
        async def charge(key: str) -> bool:
            self.passes("charge")
            await self._pause()
            done = await tell(self.bank.url, "charge", job, key)
            await self._pause()
            self.passes("charged")
            return done

        async def find(key: str) -> Happened[bool] | None:
            self.passes("reconcile")
            return Happened(True) if await ask(self.bank.url, "charge", job, key) else None

        async def once() -> None:
            if self.guarded:
                await ctx.once("charge", charge, reconcile=find, ledger=books)
            else:
                await charge(ctx.idempotency_key)

        await self._act(job, 1, once)
        return axon.out.create_signal(job)

    async def _notify(self, job: int, axon: Any, ctx: Context[Any]) -> Any:
        await self._act(job, 2, lambda: tell(self.bank.url, "notify", job, ctx.idempotency_key))
        self.passes("notified")
        return axon.out.create_signal(job)

    async def _act(self, job: int, step: int, effect: Callable[[], Awaitable[Any]]) -> None:
        work: Any = {"job": job, "branch": 0, "step": step}
        self.log.write("start", work)
        await self._pause()
        await effect()
        await self._pause()
        self.log.write("end", work)

    async def _pause(self) -> None:
        await asyncio.sleep(random.uniform(0.0, 0.5) * self.longest)

    # --- what must hold

    def complaints(self, jobs: Sequence[int]) -> Iterator[str]:
        """Rows and charges once a job; mails at least once, each with the same key."""
        rows, charges = self.rows.of(), self.bank.told("charge")
        mails = self.bank.told("notify")
        for job in jobs:
            found = [key for one, key in rows if one == job]
            if len(found) != 1:
                yield f"job {job} has {len(found)} rows"
            counts = charges.get(job, {})
            if list(counts.values()) != [1]:
                yield f"job {job} was charged {counts}"
            if len(mails.get(job, {})) != 1:
                yield f"the mails of job {job} have the keys {mails.get(job)}"
