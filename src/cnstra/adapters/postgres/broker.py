"""The queues of a Postgres database."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, cast

from cnstra.adapters.postgres import claiming, enqueueing, jobs, settling
from cnstra.adapters.postgres.batching import Batcher
from cnstra.adapters.postgres.claiming import Claim
from cnstra.adapters.postgres.columns import to_key
from cnstra.adapters.postgres.database import Database
from cnstra.adapters.postgres.diagnosis import findings
from cnstra.adapters.postgres.listening import Listener
from cnstra.adapters.postgres.pool import Row
from cnstra.adapters.postgres.settling import Ending
from cnstra.adapters.postgres.store import PostgresStore
from cnstra.adapters.postgres.unheard import Unheard
from cnstra.clock import pause
from cnstra.durable.store import Ticket
from cnstra.errors import BrokerUnavailable
from cnstra.jobs.broker import (
    JOB_STATES,
    Ahead,
    Capabilities,
    Event,
    JobRecord,
    JobState,
    LeaseState,
    NewJob,
)
from cnstra.jobs.diagnosis import Finding
from cnstra.jobs.limits import RateLimit
from cnstra.jobs.settlement import Delivery, Lost, Settlement

LONGEST_UNCHECKED = 5.0
SHORTEST_WAIT = 0.001


class PostgresBroker:
    """One queue of a Postgres schema; a `Broker`."""

    def __init__(self, name: str, database: Database, keep_results: float) -> None:
        self._name = name
        self._database = database
        self._keep_results = keep_results
        self._store = PostgresStore(database)
        self._listener = Listener(database)
        self._unheard = Unheard(database.clock)
        self._giving_back: set[asyncio.Task[None]] = set()
        self._queue = 0
        self._is_open = False
        self._enqueues: Batcher[Sequence[NewJob], Sequence[bool]] = Batcher(self._enqueue)
        self._endings: Batcher[Ending, Sequence[Delivery]] = Batcher(
            self._settle, lambda ending: ending.job_id
        )

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            atomic_settlement=True,
            own_store=True,
            shared_rate_limit=True,
            priorities=True,
            transactional_enqueue=True,
        )

    @property
    def store(self) -> PostgresStore:
        return self._store

    async def open(self) -> None:
        if self._is_open:
            return
        await self._database.open(BrokerUnavailable)
        try:
            name = {"name": to_key(self._name)}
            found = await self._database.ask("register", name, BrokerUnavailable)
        except BaseException:
            await self._database.close()
            raise
        self._queue, channel, newest = found[0]
        self._listener.about(self._queue, channel, newest)
        self._is_open = True

    async def close(self) -> None:
        if not self._is_open:
            return
        self._is_open = False
        while self._giving_back:
            await asyncio.wait(self._giving_back)
        await self._database.close()
        await self._listener.close()

    async def diagnose(self) -> Sequence[Finding]:
        return await findings(self._database)

    # --- for those who enqueue

    async def enqueue(self, jobs: Sequence[NewJob]) -> Sequence[bool]:
        return await self._database.reached(self._enqueues.add(jobs), BrokerUnavailable)

    async def enqueue_within(self, connection: Any, jobs: Sequence[NewJob]) -> Sequence[bool]:
        name = to_key(self._name)
        return await self._database.reached(
            enqueueing.enqueue_within(connection, self._database.location, name, jobs),
            BrokerUnavailable,
        )

    # --- for a worker

    async def receive(
        self, limit: int, *, lease: float, wait: float, rate: RateLimit | None
    ) -> Sequence[Delivery]:
        clock = self._database.clock
        ends_at = clock.monotonic() + wait
        if wait > 0:
            await self._listener.ready()
        while True:
            bell = self._listener.jobs
            deliveries, due_in = await self._claim(limit, lease, rate)
            left = ends_at - clock.monotonic()
            if deliveries or left <= 0:
                return deliveries
            rest = max(min(left, due_in, LONGEST_UNCHECKED), SHORTEST_WAIT)
            await pause(clock, rest, bell)

    async def renew(self, deliveries: Sequence[Delivery], lease: float) -> Sequence[LeaseState]:
        leases = {
            "ids": [to_key(delivery.job_id) for delivery in deliveries],
            "tokens": [delivery.token for delivery in deliveries],
            "lease": lease,
        }
        states: Sequence[LeaseState] = [
            "lost" if not kept else "cancelled" if cancelled else "kept"
            for kept, cancelled in await self._ask("renew", **leases)
        ]
        return states

    async def settle(
        self,
        delivery: Delivery,
        settlement: Settlement,
        ticket: Ticket | None,
        ahead: Ahead | None = None,
    ) -> Sequence[Delivery]:
        if isinstance(settlement, Lost):
            return ()
        ending = Ending(delivery, settlement, ticket, ahead)
        return await self._database.reached(self._endings.add(ending), BrokerUnavailable)

    # --- for people

    async def get(self, job_id: str) -> JobRecord | None:
        found = await self._ask("get_job", id=to_key(job_id))
        return jobs.record_of(found[0]) if found else None

    async def jobs(
        self, state: JobState | None = None, *, limit: int = 100, offset: int = 0
    ) -> Sequence[JobRecord]:
        page = {"state": state or "all", "limit": limit, "offset": offset}
        return [jobs.record_of(row) for row in await self._ask("list_jobs", **page)]

    async def counts(self) -> Mapping[JobState, int]:
        found = dict(cast(Sequence[tuple[JobState, int]], await self._ask("count_jobs")))
        return {state: found.get(state, 0) for state in JOB_STATES}

    async def pause(self) -> None:
        await self._ask("set_paused", paused=True)

    async def resume(self) -> None:
        await self._ask("set_paused", paused=False)

    async def paused(self) -> bool:
        return bool((await self._ask("is_paused"))[0][0])

    async def cancel(self, job_id: str) -> bool:
        return bool((await self._ask("cancel", id=to_key(job_id)))[0][0])

    async def redrive(self, job_id: str) -> bool:
        return bool((await self._ask("redrive", id=to_key(job_id)))[0][0])

    async def remove(self, job_id: str) -> bool:
        return bool((await self._ask("remove", id=to_key(job_id)))[0][0])

    async def events(self, after: int | None, *, limit: int = 1000) -> Sequence[Event]:
        if after is None:
            return [jobs.event_of(row) for row in await self._ask("newest_event")]
        found = await self._ask("events_after", after=after, limit=limit)
        return [jobs.event_of(row) for row in found]

    async def watch(self, timeout: float, since: int | None = None) -> int:
        listener = self._listener
        if since is None:
            since = listener.generation  # its first look tells what happens until it is ready
        await listener.ready()
        if not listener.is_closed and since >= listener.generation:
            await pause(self._database.clock, timeout, listener.changes)
        return listener.generation

    # --- inside

    async def _ask(self, name: str, **parameters: Any) -> list[Row]:
        return await self._database.ask(
            name, {"queue": self._queue, **parameters}, BrokerUnavailable
        )

    async def _enqueue(self, calls: Sequence[Sequence[NewJob]]) -> Sequence[Sequence[bool]]:
        new = [job for call in calls for job in call]
        rows = await self._database.rows("enqueue", {"queue": self._queue, **jobs.columns_of(new)})
        answers = iter(jobs.accepted(new, rows))
        return [[next(answers) for _ in call] for call in calls]

    async def _claim(
        self, limit: int, lease: float, rate: RateLimit | None
    ) -> tuple[Sequence[Delivery], float]:
        """Claim in a task of its own: who is cancelled meanwhile gives back what was claimed."""
        while self._giving_back:
            await asyncio.wait(self._giving_back)
        claim = self._new_claim(lease, rate)
        under_way = asyncio.ensure_future(self._claim_now(limit, claim))
        try:
            return await asyncio.shield(under_way)
        except asyncio.CancelledError:
            self._give_back(claim.token, after=under_way)
            raise

    async def _claim_now(self, limit: int, claim: Claim) -> tuple[Sequence[Delivery], float]:
        with self._unheard.unless_told(claim):
            rows = await self._ask("claim", limit=limit, **claim.columns())
        return claiming.claimed(rows)

    def _new_claim(self, lease: float, rate: RateLimit | None) -> Claim:
        return Claim(self._database.clock.new_id(), lease, rate, self._unheard.tokens())

    async def _settle(self, endings: Sequence[Ending]) -> Sequence[Sequence[Delivery] | Exception]:
        """Settle, and lease as many jobs as those leave slots that ask for more."""
        ahead = next((one.ahead for one in endings if one.ahead is not None), Ahead(0.0, None))
        claim = self._new_claim(ahead.lease, ahead.rate)
        asked = {
            "queue": self._queue,
            "keep": self._keep_results,
            **settling.columns_of(endings),
            **claim.columns(),
        }
        with self._unheard.unless_told(claim):
            rows = await self._database.rows("settle", asked)
        verdicts: Sequence[int | None] = rows[0][0]
        next_ones = claiming.claimed([row[1:] for row in rows])[0]
        answers: list[Sequence[Delivery] | Exception] = []
        for ending, verdict in zip(endings, verdicts, strict=True):
            if verdict is not None:
                answers.append(ending.refusal(verdict))
            else:
                answers.append([next_ones.pop(0)] if ending.ahead and next_ones else ())
        return answers

    def _give_back(self, token: str, after: asyncio.Future[Any]) -> None:
        async def give_back() -> None:
            await asyncio.gather(after, return_exceptions=True)
            try:
                await self._ask("give_back", tokens=[token])
            except BrokerUnavailable:
                self._unheard.add(token)

        task = asyncio.ensure_future(give_back())
        self._giving_back.add(task)
        task.add_done_callback(self._giving_back.discard)
