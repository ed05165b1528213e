"""The queues of a SQLite file."""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from cnstra.adapters.sqlite import claiming, diagnosis, events, jobs, settling
from cnstra.adapters.sqlite.claiming import Claim
from cnstra.adapters.sqlite.columns import to_text
from cnstra.adapters.sqlite.database import Database
from cnstra.adapters.sqlite.settling import Ending
from cnstra.adapters.sqlite.statements import statement
from cnstra.adapters.sqlite.store import SqliteStore
from cnstra.durable.store import Ticket
from cnstra.errors import BrokerUnavailable
from cnstra.jobs.broker import (
    Ahead,
    Capabilities,
    Event,
    EventKind,
    JobRecord,
    JobState,
    LeaseState,
    NewJob,
)
from cnstra.jobs.diagnosis import Finding
from cnstra.jobs.limits import RateLimit
from cnstra.jobs.settlement import Delivery, Lost, Requeued, Settlement

T = TypeVar("T")

ADD_QUEUE = statement("add_queue")
FIND_QUEUE = statement("find_queue")
IS_PAUSED = statement("is_paused")
SET_PAUSED = statement("set_paused")
RENEW_LEASE = statement("renew_lease")

CAPABILITIES = Capabilities(
    atomic_settlement=True, own_store=True, shared_rate_limit=True, priorities=True
)


class SqliteBroker:
    """One queue of a SQLite file; a `Broker`."""

    __slots__ = ("_database", "_is_open", "_keep_results", "_name", "_queue", "_store")

    def __init__(self, name: str, database: Database, keep_results: float) -> None:
        self._name = name
        self._database = database
        self._keep_results = keep_results
        self._store = SqliteStore(database)
        self._queue = 0
        self._is_open = False

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES

    @property
    def store(self) -> SqliteStore:
        return self._store

    async def open(self) -> None:
        if self._is_open:
            return
        await self._database.open(BrokerUnavailable)
        try:
            self._queue = await self._write(self._register)
        except BaseException:
            self._database.close()
            raise
        self._is_open = True

    async def close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._database.close()

    async def diagnose(self) -> Sequence[Finding]:
        return await self._database.read(diagnosis.findings, BrokerUnavailable)

    # --- for those who enqueue

    async def enqueue(self, new: Sequence[NewJob]) -> Sequence[bool]:
        return await self._write(
            lambda connection: jobs.enqueue(connection, self._queue, new, self._now()), rings=True
        )

    # --- for a worker

    async def receive(
        self, limit: int, *, lease: float, wait: float, rate: RateLimit | None
    ) -> Sequence[Delivery]:
        ends_at = self._database.clock.monotonic() + wait
        while True:
            bell = self._database.bell
            deliveries = await self._claim(limit, lease, rate)
            if deliveries or not await self._until_due(bell, ends_at, rate):
                return deliveries

    async def renew(self, deliveries: Sequence[Delivery], lease: float) -> Sequence[LeaseState]:
        def operation(connection: sqlite3.Connection) -> list[LeaseState]:
            until = self._now() + lease
            return [self._renewed(connection, delivery, until) for delivery in deliveries]

        return await self._write(operation)

    async def settle(
        self,
        delivery: Delivery,
        settlement: Settlement,
        ticket: Ticket | None,
        ahead: Ahead | None = None,
    ) -> Sequence[Delivery]:
        del ahead
        if not isinstance(settlement, Lost):
            await self._settle(delivery, settlement, ticket)
        return ()

    # --- for people

    async def get(self, job_id: str) -> JobRecord | None:
        return await self._read(
            lambda connection: jobs.get(connection, self._queue, job_id, self._now())
        )

    async def jobs(
        self, state: JobState | None = None, *, limit: int = 100, offset: int = 0
    ) -> Sequence[JobRecord]:
        page = jobs.Page(state, limit, offset)
        return await self._read(
            lambda connection: jobs.page(connection, self._queue, page, self._now())
        )

    async def counts(self) -> Mapping[JobState, int]:
        return await self._read(
            lambda connection: jobs.counts(connection, self._queue, self._now())
        )

    async def pause(self) -> None:
        await self._write(lambda connection: self._set_paused(connection, True), rings=True)

    async def resume(self) -> None:
        await self._write(lambda connection: self._set_paused(connection, False), rings=True)

    async def paused(self) -> bool:
        def operation(connection: sqlite3.Connection) -> bool:
            (paused,) = connection.execute(IS_PAUSED, (self._queue,)).fetchone()
            return bool(paused)

        return await self._read(operation)

    async def cancel(self, job_id: str) -> bool:
        return await self._write(
            lambda connection: jobs.cancel(connection, self._queue, job_id, self._now()), rings=True
        )

    async def redrive(self, job_id: str) -> bool:
        return await self._write(
            lambda connection: jobs.redrive(connection, self._queue, job_id, self._now()),
            rings=True,
        )

    async def remove(self, job_id: str) -> bool:
        return await self._write(
            lambda connection: jobs.remove(connection, self._queue, job_id), rings=True
        )

    async def events(self, after: int | None, *, limit: int = 1000) -> Sequence[Event]:
        if after is None:
            return await self._read(lambda connection: events.newest(connection, self._queue))
        return await self._read(
            lambda connection: events.after(connection, self._queue, after, limit)
        )

    async def watch(self, timeout: float, since: int | None = None) -> int:
        await self._database.listen(BrokerUnavailable)
        if since is None or since >= self._database.generation:
            await self._database.rest(self._database.bell, timeout, BrokerUnavailable)
        return self._database.generation

    # --- inside

    async def _claim(self, limit: int, lease: float, rate: RateLimit | None) -> Sequence[Delivery]:
        def operation(connection: sqlite3.Connection) -> list[Delivery]:
            now, token = self._now(), self._database.clock.new_id()
            wanted = Claim(self._queue, limit, token, now, now + lease, rate)
            return claiming.claim(connection, wanted)

        claimed = self._submit(operation)
        try:
            return await claimed
        except asyncio.CancelledError:
            if claimed.done() and not claimed.cancelled() and not claimed.exception():
                self._give_back(claimed.result())
            raise

    def _give_back(self, deliveries: Sequence[Delivery]) -> None:
        """Put back what was leased for a caller who had left by then."""
        for delivery in deliveries:
            assert delivery.saved is not None
            ticket = Ticket(delivery.run, delivery.saved.epoch, delivery.saved.seq + 1)
            self._settle(delivery, Requeued(None), ticket).add_done_callback(_ignore_failure)

    async def _until_due(self, bell: asyncio.Event, ends_at: float, rate: RateLimit | None) -> bool:
        """Wait until a job can be had; `False` if that is not so at `ends_at`."""
        while (left := ends_at - self._database.clock.monotonic()) > 0:
            due_at = await self._read(
                lambda connection: claiming.due_at(connection, self._queue, rate, self._now())
            )
            pause = due_at - self._now()
            if pause <= 0:
                return True
            await self._database.rest(bell, min(left, pause), BrokerUnavailable)
            bell = self._database.bell
        return False

    def _settle(
        self, delivery: Delivery, settlement: Settlement, ticket: Ticket | None
    ) -> asyncio.Future[None]:
        def operation(connection: sqlite3.Connection) -> None:
            now = self._now()
            expires_at = now + self._keep_results
            ending = Ending(self._queue, delivery, settlement, ticket, now, expires_at)
            settling.settle(connection, ending)

        return self._submit(operation, rings=True)

    def _renewed(
        self, connection: sqlite3.Connection, delivery: Delivery, until: float
    ) -> LeaseState:
        lease = (until, self._queue, to_text(delivery.job_id), delivery.token)
        found = connection.execute(RENEW_LEASE, lease).fetchall()
        if not found:
            return "lost"
        return "cancelled" if found[0][0] else "kept"

    def _register(self, connection: sqlite3.Connection) -> int:
        name = (to_text(self._name),)
        connection.execute(ADD_QUEUE, name)
        queue: int = connection.execute(FIND_QUEUE, name).fetchone()[0]
        return queue

    def _set_paused(self, connection: sqlite3.Connection, paused: bool) -> None:
        terms = {"queue": self._queue, "paused": paused}
        if connection.execute(SET_PAUSED, terms).rowcount:
            kind: EventKind = "paused" if paused else "resumed"
            events.record(connection, self._queue, self._now(), kind, None)

    def _now(self) -> float:
        return self._database.clock.time()

    def _submit(
        self, operation: Callable[[sqlite3.Connection], T], *, rings: bool = False
    ) -> asyncio.Future[T]:
        return self._database.write(operation, BrokerUnavailable, rings=rings)

    async def _write(
        self, operation: Callable[[sqlite3.Connection], T], *, rings: bool = False
    ) -> T:
        return await self._submit(operation, rings=rings)

    async def _read(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        return await self._database.read(operation, BrokerUnavailable)


def _ignore_failure(future: asyncio.Future[None]) -> None:
    """A lease that cannot be given back runs out by itself."""
    if not future.cancelled():
        future.exception()
