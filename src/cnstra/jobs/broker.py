"""What a broker promises, and what it may not be able to do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import msgspec

from cnstra.clock import Clock
from cnstra.durable.store import ProgressStore, Ticket
from cnstra.jobs.limits import RateLimit
from cnstra.jobs.settlement import Completed, Delivery, Settlement

JobState = Literal["waiting", "delayed", "active", "completed", "dead"]
"""waiting: due, in the queue. delayed: due later (a delay, or a backoff). active: leased to a
worker. completed: over, with its result. dead: in the dead letters, with its error and progress."""

JOB_STATES: tuple[JobState, ...] = ("waiting", "delayed", "active", "completed", "dead")

LeaseState = Literal["kept", "lost", "cancelled"]

EventKind = Literal[
    "enqueued", "started", "completed", "retried", "requeued", "dead", "redriven", "cancelled",
    "stalled", "paused", "resumed",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a broker can do. What it cannot is refused with a clear error, never silently different.

    atomic_settlement: `settle` finishes the run in the store in the same step as the job.
    own_store: the broker brings a progress store.
    shared_rate_limit: a rate limit holds across all workers of the queue.
    priorities: jobs of a larger priority run first.
    carries_progress: the job itself carries the wire form of the progress between attempts.
    longest_lease: seconds after which a lease ends, renewed or not; `None`: it never does.
    transactional_enqueue: jobs may be added inside a transaction of the caller's: the broker is a
        `TransactionalBroker`.
    hands_over: a handler may outlast that lease: the store's takes over, with a guard in the queue.
    ordering: jobs of one `ordering_key` run one after the other, in the order they were enqueued.
    lists: the states whose jobs can be listed. Completed jobs that cannot are not counted either.
    events: what happens in the queue can be followed.
    max_payload: bytes of job data that a job can carry; `None`: as many as memory holds.
    durable: jobs outlive the process that enqueued them.
    completes_together: how many completed jobs are best settled in one step; above 1 the broker is
        a `CompletesTogether`.
    """

    atomic_settlement: bool
    own_store: bool
    shared_rate_limit: bool
    priorities: bool
    carries_progress: bool = False
    longest_lease: float | None = None
    transactional_enqueue: bool = False
    hands_over: bool = False
    ordering: bool = False
    lists: tuple[JobState, ...] = JOB_STATES
    events: bool = True
    max_payload: int | None = None
    durable: bool = True
    completes_together: int = 1


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to be enqueued.

    `data` is its wire form; `run_at` is in seconds since the epoch, or `None`. delay: where that is
    so many seconds from now: a broker with a clock of its own counts them by it. `trace` is in the
    data too, for brokers that write its `cnstra` part anew.
    """

    id: str
    data: bytes
    run: str
    max_attempts: int = 1
    backoff: Mapping[str, Any] | None = None
    run_at: float | None = None
    delay: float | None = None
    priority: int = 0
    ordering_key: str | None = None
    trace: str | None = None


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A job as the broker holds it. Times are in seconds since the epoch.

    progress: the wire form of the progress, where the job carries it and the store has nothing
        newer.
    """

    id: str
    state: JobState
    data: bytes
    run: str
    attempts_made: int
    max_attempts: int
    created_at: float
    backoff: Mapping[str, Any] | None = None
    priority: int = 0
    run_at: float | None = None
    finished_at: float | None = None
    result: bytes | None = None
    error: Mapping[str, Any] | None = None
    progress: bytes | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a job, or to the queue (`job_id` is then `None`).

    `id` rises; `at` is in seconds since the epoch.
    """

    id: int
    at: float
    kind: EventKind
    job_id: str | None
    detail: Mapping[str, Any] = field(default_factory=dict[str, Any])


class Ahead(msgspec.Struct, frozen=True, gc=False):
    """What a worker would lease next, for `lease` seconds and under `rate`, as it would with
    `receive`.
    """

    lease: float
    rate: RateLimit | None


class Broker(Protocol):
    """One queue of a broker. All calls come from one event loop, the I/O thread's, and may overlap.

    What cannot be reached raises `BrokerUnavailable`; the caller tries again.
    """

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""
        ...

    @property
    def store(self) -> ProgressStore | None:
        """The broker's own store, sharing its connection; `None` where it brings none."""
        ...

    async def open(self) -> None:
        """Connect, and make what is missing. Raises a clear error where it cannot."""
        ...

    async def close(self) -> None:
        """Let go of everything; what is leased stays so until it runs out. Harmless twice."""
        ...

    # --- for those who enqueue

    async def enqueue(self, jobs: Sequence[NewJob]) -> Sequence[bool]:
        """Accept the jobs, all or none. For each: whether it is new.

        A job whose id the queue still holds, in whatever state, is not accepted again and not
        changed.
        """
        ...

    # --- for a worker

    async def receive(
        self, limit: int, *, lease: float, wait: float, rate: RateLimit | None
    ) -> Sequence[Delivery]:
        """Lease up to `limit` due jobs for `lease` seconds, the oldest of the highest priority
        first.

        Waits up to `wait` seconds for the first one, then returns what there is. Jobs whose lease
        has run out are due again. A paused queue yields none. Under `rate`, no more are leased than
        it allows.
        """
        ...

    async def renew(self, deliveries: Sequence[Delivery], lease: float) -> Sequence[LeaseState]:
        """Extend the leases to `lease` seconds from now; for each, whether it was kept.

        "lost": another worker has it, or the job is gone. "cancelled": `cancel` asks for its end.
        """
        ...

    async def settle(
        self,
        delivery: Delivery,
        settlement: Settlement,
        ticket: Ticket | None,
        ahead: Ahead | None = None,
    ) -> Sequence[Delivery]:
        """Carry the settlement out. Raises `LeaseLost` or `Fenced` where the job is no longer ours.

        With `atomic_settlement`, a `ticket` makes this the last write of its run too: on
        `Completed` the store holds the result and nothing else, on any other the run is released,
        and all of it happens or nothing. Settling the same delivery alike again succeeds and
        changes nothing.

        ahead: the job's slot is free now: a broker that can lease the next job in the same step
            does so and returns it. Others return nothing.
        """
        ...

    # --- for people

    async def get(self, job_id: str) -> JobRecord | None:
        """What is kept of a job; `None`: nothing, or no longer."""
        ...

    async def jobs(
        self, state: JobState | None = None, *, limit: int = 100, offset: int = 0
    ) -> Sequence[JobRecord]:
        """Jobs, newest first."""
        ...

    async def counts(self) -> Mapping[JobState, int]:
        """How many jobs are in each state, as far as the broker can count them."""
        ...

    async def pause(self) -> None:
        """Stop handing out jobs, on every worker. Running ones go on."""
        ...

    async def resume(self) -> None:
        """Hand out jobs again."""
        ...

    async def paused(self) -> bool:
        """Whether no jobs are handed out."""
        ...

    async def cancel(self, job_id: str) -> bool:
        """End the job: dead-lettered as `JobCancelled`, at once or when its worker hears of it.

        `False` for a job that is unknown or over.
        """
        ...

    async def redrive(self, job_id: str) -> bool:
        """Put a dead job back, with all its attempts; it resumes from its progress.

        `False` for a job that is not dead.
        """
        ...

    async def remove(self, job_id: str) -> bool:
        """Drop a job that is not active, with its progress and result. `False` otherwise."""
        ...

    async def events(self, after: int | None, *, limit: int = 1000) -> Sequence[Event]:
        """Events with an id above `after`, oldest first; `None` means: only from now on.

        With `None` it returns one event at most, the newest, to start from.
        """
        ...

    async def watch(self, timeout: float, since: int | None = None) -> int:
        """Return when something may have changed in the queue, or after `timeout` seconds.

        What it returns marks that moment. Who passes it back as `since` misses nothing that changed
        while they looked: then `watch` returns at once. `None` means: only from now on.
        """
        ...


class TransactionalBroker(Broker, Protocol):
    """A broker in the database in which its callers keep their own data."""

    async def enqueue_within(self, connection: Any, jobs: Sequence[NewJob]) -> Sequence[bool]:
        """As `enqueue`, in the transaction that `connection` has open: the jobs are there once the
        caller commits it. Called on the event loop of the caller.
        """
        ...


@runtime_checkable
class RewritesProgress(Protocol):
    """A broker whose jobs carry a progress that may be newer than its store's."""

    async def rewrite_progress(self, job_id: str, before: bytes, after: bytes) -> bool:
        """Replace the progress that a dead job carries, in its wire form.

        `False` where the job is not dead, or carries another than `before`.
        """
        ...


class CompletesTogether(Broker, Protocol):
    """A broker for which a step costs more than a job in it."""

    async def complete(
        self, over: Sequence[tuple[Delivery, Completed, Ticket | None]], ahead: Ahead | None
    ) -> Sequence[Sequence[Delivery] | Exception]:
        """Settle completed jobs, as `settle` does, each by itself: for each, what that would have
        returned or raised. Raises nothing.
        """
        ...


class HandsOver(Protocol):
    """What a broker that `hands_over` can do beside."""

    async def hand_over(self, delivery: Delivery, lease: float) -> None:
        """Have the job guarded by the store for `lease` seconds, renewed by `renew` as before, and
        let go of its message; a guard in the queue takes over should that run out.
        """
        ...


class Adapter(Protocol):
    """What an entry point of the group `cnstra.adapters` names: a module with these functions."""

    def broker(
        self,
        queue: str,
        url: str,
        clock: Clock,
        keep_results: float,
        store: ProgressStore | None = None,
    ) -> Broker:
        """The queue named `queue` of the broker at `url`.

        Completed jobs are kept for `keep_results` s. `store` is for brokers that do not keep
        progress in one step with the job; others do without.
        """
        ...

    def store(self, url: str, clock: Clock) -> ProgressStore:
        """The store at `url`. Raises `StoreError` where the adapter brings none."""
        ...


class LocalAdapter(Adapter, Protocol):
    """An adapter whose data are a file, made by whoever opens it first."""

    def missing(self, url: str) -> Path | None:
        """The file that the URL names, if it is not there."""
        ...


class MigratingAdapter(Adapter, Protocol):
    """An adapter whose tables change from version to version."""

    async def migrate(self, url: str) -> Sequence[int]:
        """Bring the tables at `url` up to date; the versions that they went through."""
        ...

    def migration(self, url: str) -> str:
        """What `migrate` does where there is nothing yet, for people to carry out themselves."""
        ...
