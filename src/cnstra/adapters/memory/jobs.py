"""The jobs of one queue, in dictionaries and heaps."""

import json
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from math import inf
from typing import Any

from cnstra.adapters.memory.runs import Runs
from cnstra.durable.store import Patch, Ticket
from cnstra.errors import JobCancelled, LeaseLost
from cnstra.jobs.broker import (
    JOB_STATES,
    Event,
    EventKind,
    JobRecord,
    JobState,
    LeaseState,
    NewJob,
)
from cnstra.jobs.limits import RateLimit
from cnstra.jobs.settlement import (
    Completed,
    DeadLettered,
    Delivery,
    Lost,
    Requeued,
    Retry,
    Settlement,
    WireError,
)

EVENTS_KEPT = 10_000

CANCELLED: WireError = {"message": str(JobCancelled()), "name": JobCancelled.__name__, "stack": ""}
"""The error of a job that its owner ended."""


@dataclass(slots=True, eq=False)
class Job:
    """A job. `due_at`: when a delayed or leased one is due, or a completed one expires.

    `ends_at`: when its lease ends, renewed or not.
    """

    seq: int
    new: NewJob
    created_at: float
    state: JobState = "waiting"
    due_at: float = inf
    ends_at: float = inf
    token: str | None = None
    cancelled: bool = False
    attempts_made: int = 0
    finished_at: float | None = None
    error: Mapping[str, Any] | None = None
    result: bytes | None = None

    def __lt__(self, other: "Job") -> bool:
        return self.seq < other.seq

    def shown_state(self, now: float) -> JobState | None:
        """The state as people see it; `None` for a job that has expired."""
        is_due = self.due_at <= now
        if self.state == "delayed":
            return "waiting" if is_due else "delayed"
        return None if self.state == "completed" and is_due else self.state


@dataclass(frozen=True, slots=True)
class Claim:
    """What a worker asks for: `limit` jobs from now until `until`, and never after `ends_at`."""

    limit: int
    token: str
    now: float
    until: float
    ends_at: float
    rate: RateLimit | None


@dataclass(frozen=True, slots=True)
class Ending:
    """A delivery, how it ends, and when; a completed job is kept until `expires_at`."""

    delivery: Delivery
    settlement: Settlement
    ticket: Ticket | None
    now: float
    expires_at: float

    @property
    def token(self) -> str:
        """What the lease's token becomes, so that a repeat of the settlement is known as one."""
        return f"{self.delivery.token}:{type(self.settlement).__name__}"


class Jobs:
    """One queue. The caller holds the world's lock, and gives the time."""

    __slots__ = (
        "_due",
        "_events",
        "_expiring",
        "_jobs",
        "_last_event",
        "_last_seq",
        "_runs",
        "_waiting",
        "_window_opened_at",
        "_window_started",
        "paused",
    )

    def __init__(self, runs: Runs) -> None:
        self.paused = False
        self._runs = runs
        self._jobs: dict[str, Job] = {}
        self._waiting: list[tuple[int, int, Job]] = []
        self._due: list[tuple[float, int, Job]] = []
        self._expiring: list[tuple[float, int, Job]] = []
        self._events: deque[Event] = deque(maxlen=EVENTS_KEPT)
        self._last_event = 0
        self._last_seq = 0
        self._window_opened_at = -inf
        self._window_started = 0

    # --- for those who enqueue

    def enqueue(self, jobs: Sequence[NewJob], now: float) -> list[bool]:
        return [self._add(new, now) for new in jobs]

    def _add(self, new: NewJob, now: float) -> bool:
        self._expire(now)
        if new.id in self._jobs:
            return False
        self._last_seq += 1
        job = Job(self._last_seq, new, now)
        self._jobs[new.id] = job
        self._put(job, new.run_at if new.run_at is not None else now, now)
        self._record(now, "enqueued", job)
        return True

    # --- for a worker

    def claim(self, wanted: Claim) -> list[Delivery]:
        if self.paused:
            return []
        self._expire(wanted.now)
        self._promote(wanted.now)
        allowed = min(wanted.limit, self._allowance(wanted.rate, wanted.now))
        leased = [self._lease(job, wanted) for job in self._next_waiting(allowed)]
        if wanted.rate is not None and leased:
            self._count_starts(wanted.rate, wanted.now, len(leased))
        return leased

    def due_at(self, rate: RateLimit | None, now: float) -> float:
        """When a job can be had, as far as is known by now; the past means: at once."""
        if self.paused:
            return inf
        self._promote(now)
        due = now if self._has_waiting() else self._next_due()
        if rate is None or self._allowance(rate, now) > 0:
            return due
        return max(due, self._window_opened_at + rate.per)

    def renew(self, delivery: Delivery, until: float) -> LeaseState:
        job = self._jobs.get(delivery.job_id)
        if job is None or job.token != delivery.token:
            return "lost"
        self._set_due(job, min(until, job.ends_at))
        return "cancelled" if job.cancelled else "kept"

    def settle(self, ending: Ending) -> None:
        """Raises `LeaseLost` or `Fenced`, and has then changed nothing."""
        delivery = ending.delivery
        job = self._jobs.get(delivery.job_id)
        if job and job.token == ending.token:
            return
        if not job or job.token != delivery.token:
            raise LeaseLost(job_id=delivery.job_id)
        if ending.ticket:
            self._end_run(ending.ticket, ending.settlement)
        job.token = ending.token
        self._end_lease(job, ending)

    # --- for people

    def get(self, job_id: str, now: float) -> JobRecord | None:
        job = self._jobs.get(job_id)
        return self._shown(job, now) if job else None

    def page(self, state: JobState | None, limit: int, offset: int, now: float) -> list[JobRecord]:
        newest_first = sorted(self._jobs.values(), key=lambda job: -job.seq)
        shown = [self._shown(job, now) for job in newest_first]
        chosen = [each for each in shown if each and state in (None, each.state)]
        return chosen[offset : offset + limit]

    def counts(self, now: float) -> Mapping[JobState, int]:
        found = Counter(job.shown_state(now) for job in self._jobs.values())
        return {state: found[state] for state in JOB_STATES}

    def set_paused(self, paused: bool, now: float) -> None:
        if self.paused != paused:
            self.paused = paused
            self._record(now, "paused" if paused else "resumed", None)

    def cancel(self, job_id: str, now: float) -> bool:
        job = self._jobs.get(job_id)
        if job is None or job.state in ("completed", "dead"):
            return False
        if not job.cancelled:
            self._record(now, "cancelled", job)
        if job.state == "active":
            job.cancelled = True
        else:
            job.token = None
            self._bury(job, CANCELLED, now)
        return True

    def redrive(self, job_id: str, now: float) -> bool:
        job = self._jobs.get(job_id)
        if job is None or job.state != "dead":
            return False
        job.token = job.error = job.finished_at = None
        job.cancelled = False
        job.attempts_made = 0
        self._runs.clear_counters(job.new.run)
        self._put(job, now, now)
        self._record(now, "redriven", job)
        return True

    def remove(self, job_id: str) -> bool:
        job = self._jobs.get(job_id)
        if job is None or job.state == "active":
            return False
        self._drop(job)
        return True

    def events_after(self, last: int, limit: int) -> list[Event]:
        return [event for event in self._events if event.id > last][:limit]

    def newest_event(self) -> list[Event]:
        return [self._events[-1]] if self._events else []

    # --- the heaps: an entry that its job has left behind is skipped when it comes up

    def _put(self, job: Job, due_at: float, now: float) -> None:
        if due_at > now:
            job.state = "delayed"
            self._set_due(job, due_at)
        else:
            job.state = "waiting"
            job.due_at = inf
            heappush(self._waiting, (-job.new.priority, job.seq, job))

    def _set_due(self, job: Job, at: float) -> None:
        job.due_at = at
        heappush(self._due, (at, job.seq, job))

    def _next_due(self) -> float:
        """When the next delayed or leased job is due."""
        while self._due and not _is_current(*self._due[0]):
            heappop(self._due)
        return self._due[0][0] if self._due else inf

    def _promote(self, now: float) -> None:
        """Make due what was delayed until now, and what a lease held until now."""
        while self._next_due() <= now:
            _, _, job = heappop(self._due)
            if job.state == "active":
                self._stall(job, now)
            else:
                self._put(job, now, now)

    def _stall(self, job: Job, now: float) -> None:
        job.token = None
        self._record(now, "stalled", job)
        if job.cancelled:
            self._bury(job, CANCELLED, now)
            self._runs.fence(job.new.run)
        else:
            self._put(job, now, now)

    def _has_waiting(self) -> bool:
        while self._waiting and self._waiting[0][2].state != "waiting":
            heappop(self._waiting)
        return bool(self._waiting)

    def _next_waiting(self, limit: float) -> Iterator[Job]:
        while limit > 0 and self._has_waiting():
            limit -= 1
            yield heappop(self._waiting)[2]

    def _expire(self, now: float) -> None:
        while self._expiring and self._expiring[0][0] <= now:
            _, _, job = heappop(self._expiring)
            if self._jobs.get(job.new.id) is job:
                self._drop(job)

    def _drop(self, job: Job) -> None:
        job.state = "completed"  # so that no heap yields it again
        job.due_at = -inf
        del self._jobs[job.new.id]
        self._runs.forget(job.new.run)

    # --- leases and their ends

    def _lease(self, job: Job, wanted: Claim) -> Delivery:
        job.state = "active"
        job.token = wanted.token
        job.ends_at = wanted.ends_at
        self._set_due(job, wanted.until)
        self._record(wanted.now, "started", job, {"attempt": job.attempts_made + 1})
        return Delivery(
            job_id=job.new.id,
            data=job.new.data,
            token=wanted.token,
            run=job.new.run,
            attempts_made=job.attempts_made,
            max_attempts=job.new.max_attempts,
            backoff=job.new.backoff,
            created_at=job.created_at,
            priority=job.new.priority,
            saved=self._runs.load(job.new.run, wanted.now),
        )

    def _end_run(self, ticket: Ticket, settlement: Settlement) -> None:
        match settlement:
            case Completed(result):
                self._runs.finish(ticket, result, expires_at=None)
            case _:
                self._runs.commit(ticket, Patch(release=True))

    def _end_lease(self, job: Job, ending: Ending) -> None:
        now = ending.now
        match ending.settlement:
            case Completed(result):
                self._complete(job, None if ending.ticket else result, ending)
            case DeadLettered(error):
                job.attempts_made += 1
                self._bury(job, error, now)
            case Retry() | Requeued() if job.cancelled:
                self._bury(job, CANCELLED, now)
            case Retry(delay, _, error):
                job.attempts_made += 1
                job.error = _as_written(error)
                self._put(job, now + delay, now)
                self._record(now, "retried", job, {"delay": delay, "error": _headline(error)})
            case Requeued(_, delay):
                self._put(job, now + delay, now)
                self._record(now, "requeued", job, {"delay": delay})
            case Lost():
                raise AssertionError("a lost job has nothing to settle")

    def _complete(self, job: Job, result: bytes | None, ending: Ending) -> None:
        """The result is kept once: by the run if the settlement ends it too, else by the job."""
        job.state = "completed"
        job.result = result
        job.error = None
        job.finished_at = ending.now
        job.due_at = ending.expires_at
        heappush(self._expiring, (ending.expires_at, job.seq, job))
        self._record(ending.now, "completed", job)

    def _bury(self, job: Job, error: WireError, now: float) -> None:
        job.state = "dead"
        job.error = _as_written(error)
        job.finished_at = now
        job.due_at = inf
        self._record(now, "dead", job, {"error": _headline(error)})

    # --- the rate: a window opens with its first job

    def _allowance(self, rate: RateLimit | None, now: float) -> float:
        if rate is None:
            return inf
        return rate.jobs - (self._window_started if self._is_open(rate, now) else 0)

    def _count_starts(self, rate: RateLimit, now: float, started: int) -> None:
        if not self._is_open(rate, now):
            self._window_opened_at = now
            self._window_started = 0
        self._window_started += started

    def _is_open(self, rate: RateLimit, now: float) -> bool:
        return self._window_opened_at <= now < self._window_opened_at + rate.per

    # --- what people see

    def _shown(self, job: Job, now: float) -> JobRecord | None:
        state = job.shown_state(now)
        if state is None:
            return None
        return JobRecord(
            id=job.new.id,
            state=state,
            data=job.new.data,
            run=job.new.run,
            attempts_made=job.attempts_made,
            max_attempts=job.new.max_attempts,
            created_at=job.created_at,
            backoff=job.new.backoff,
            priority=job.new.priority,
            run_at=job.due_at if state == "delayed" else None,
            finished_at=job.finished_at,
            result=job.result or self._runs.result(job.new.run),
            error=job.error,
        )

    def _record(
        self, now: float, kind: EventKind, job: Job | None, detail: Mapping[str, Any] | None = None
    ) -> None:
        self._last_event += 1
        job_id = job.new.id if job else None
        self._events.append(Event(self._last_event, now, kind, job_id, detail or {}))


def _is_current(at: float, _: int, job: Job) -> bool:
    return job.due_at == at and job.state in ("delayed", "active")


def _as_written(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """What would be read back if the value had been stored as JSON."""
    written: Mapping[str, Any] = json.loads(json.dumps(value, default=str))
    return written


def _headline(error: WireError) -> dict[str, Any]:
    """An error without its stack, which is too long to be told again and again."""
    return {part: error.get(part) for part in ("name", "message")}
