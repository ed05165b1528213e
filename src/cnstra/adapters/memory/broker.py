"""The queues of a world in memory."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from math import inf

from cnstra.adapters.memory.jobs import Claim, Ending, Jobs
from cnstra.adapters.memory.store import MemoryStore
from cnstra.adapters.memory.world import Bell, World
from cnstra.clock import Clock, pause
from cnstra.durable.store import Ticket
from cnstra.errors import BrokerUnavailable
from cnstra.jobs.broker import Ahead, Capabilities, Event, JobRecord, JobState, LeaseState, NewJob
from cnstra.jobs.limits import RateLimit
from cnstra.jobs.settlement import Delivery, Lost, Settlement

TICK = 0.001
"""The shortest wait: less may be nothing at all to a clock that counts in floats."""


class MemoryBroker:
    """One queue in memory; a `Broker`."""

    __slots__ = (
        "_bell", "_capabilities", "_clock", "_jobs", "_keep_results", "_longest_lease", "_store",
        "_world",
    )  # fmt: skip

    def __init__(
        self,
        queue: str,
        world: World,
        clock: Clock,
        keep_results: float,
        longest_lease: float | None = None,
    ) -> None:
        self._world = world
        self._clock = clock
        self._keep_results = keep_results
        self._longest_lease = longest_lease
        self._capabilities = Capabilities(
            atomic_settlement=True,
            own_store=True,
            shared_rate_limit=True,
            priorities=True,
            longest_lease=longest_lease,
            durable=False,
        )
        self._jobs = world.queue(queue)
        self._store = MemoryStore(world, clock)
        self._bell: Bell | None = None

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    @property
    def store(self) -> MemoryStore:
        return self._store

    async def open(self) -> None:
        if self._bell is None:
            self._bell = self._world.new_bell()

    async def close(self) -> None:
        if self._bell is not None:
            self._world.drop_bell(self._bell)
            self._bell.ring()
            self._bell = None

    # --- for those who enqueue

    async def enqueue(self, jobs: Sequence[NewJob]) -> Sequence[bool]:
        with self._changed() as queue:
            return queue.enqueue(jobs, self._clock.time())

    # --- for a worker

    async def receive(
        self, limit: int, *, lease: float, wait: float, rate: RateLimit | None
    ) -> Sequence[Delivery]:
        waits_until = self._clock.monotonic() + wait
        while True:
            event = self._opened().event
            now = self._clock.time()
            with self._locked() as queue:
                ends_at = now + (self._longest_lease or inf)
                until = min(now + lease, ends_at)
                claim = Claim(limit, self._clock.new_id(), now, until, ends_at, rate)
                deliveries = queue.claim(claim)
                due_in = queue.due_at(rate, now) - now
            left = waits_until - self._clock.monotonic()
            if deliveries or left <= 0:
                return deliveries
            await pause(self._clock, max(min(left, due_in), TICK), event)

    async def renew(self, deliveries: Sequence[Delivery], lease: float) -> Sequence[LeaseState]:
        until = self._clock.time() + lease
        with self._locked() as queue:
            return [queue.renew(delivery, until) for delivery in deliveries]

    async def settle(
        self,
        delivery: Delivery,
        settlement: Settlement,
        ticket: Ticket | None,
        ahead: Ahead | None = None,
    ) -> Sequence[Delivery]:
        del ahead
        if not isinstance(settlement, Lost):
            now = self._clock.time()
            with self._changed() as queue:
                queue.settle(Ending(delivery, settlement, ticket, now, now + self._keep_results))
        return ()

    # --- for people

    async def get(self, job_id: str) -> JobRecord | None:
        with self._locked() as queue:
            return queue.get(job_id, self._clock.time())

    async def jobs(
        self, state: JobState | None = None, *, limit: int = 100, offset: int = 0
    ) -> Sequence[JobRecord]:
        with self._locked() as queue:
            return queue.page(state, limit, offset, self._clock.time())

    async def counts(self) -> Mapping[JobState, int]:
        with self._locked() as queue:
            return queue.counts(self._clock.time())

    async def pause(self) -> None:
        with self._changed() as queue:
            queue.set_paused(True, self._clock.time())

    async def resume(self) -> None:
        with self._changed() as queue:
            queue.set_paused(False, self._clock.time())

    async def paused(self) -> bool:
        with self._locked() as queue:
            return queue.paused

    async def cancel(self, job_id: str) -> bool:
        with self._changed() as queue:
            return queue.cancel(job_id, self._clock.time())

    async def redrive(self, job_id: str) -> bool:
        with self._changed() as queue:
            return queue.redrive(job_id, self._clock.time())

    async def remove(self, job_id: str) -> bool:
        with self._changed() as queue:
            return queue.remove(job_id)

    async def events(self, after: int | None, *, limit: int = 1000) -> Sequence[Event]:
        with self._locked() as queue:
            return queue.newest_event() if after is None else queue.events_after(after, limit)

    async def watch(self, timeout: float, since: int | None = None) -> int:
        event = self._opened().event
        if since is None or since >= self._world.generation:
            await pause(self._clock, timeout, event)
        return self._world.generation

    # --- inside

    def _opened(self) -> Bell:
        if self._bell is None:
            raise BrokerUnavailable(url=f"memory://{self._world.name}", reason="it is closed")
        return self._bell

    @contextmanager
    def _locked(self) -> Generator[Jobs, None, None]:
        self._opened()
        with self._world.lock:
            yield self._jobs

    @contextmanager
    def _changed(self) -> Generator[Jobs, None, None]:
        """The queue under its lock; all who wait hear of it afterwards."""
        with self._locked() as queue:
            yield queue
            self._world.ring()
