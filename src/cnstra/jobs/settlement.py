"""What a broker hands to a worker, and what a worker hands back."""

from collections.abc import Mapping
from typing import Any

import msgspec

from cnstra.durable.store import Saved


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """One job, leased to this worker until its lease runs out or it is settled.

    job_id: the job's id, as its owner gave it.
    data: the job data, as the bytes that were enqueued.
    token: what proves the lease; the broker's own business.
    run: the run id of the job.
    attempts_made: how many attempts have failed before this one.
    max_attempts: after so many failed attempts the job is dead-lettered.
    backoff: the wire form of the job's backoff, or `None` for the worker's default.
    generation: how often the message was republished; 0 where a broker never does.
    created_at: seconds since the epoch.
    priority: larger runs first.
    progress: the wire form of the progress, on brokers that carry it with the job; else `None`.
    saved: the run, already loaded from the store in the step that leased the job, by a broker that
        is its own store; else `None`.
    name: what BullMQ calls the job.
    """

    job_id: str
    data: bytes
    token: str
    run: str
    attempts_made: int = 0
    max_attempts: int = 1
    backoff: Mapping[str, Any] | None = None
    generation: int = 0
    created_at: float = 0.0
    priority: int = 0
    progress: bytes | None = None
    saved: Saved | None = None
    name: str = ""


WireError = Mapping[str, Any]
"""An error as it is written down: `{"message", "name", "stack"}`."""


class Completed(msgspec.Struct, frozen=True, gc=False):
    """The run is complete: `result` is its result as JSON, `{"results": [...]}`."""

    result: bytes


class Retry(msgspec.Struct, frozen=True, gc=False):
    """The attempt failed and another is due in `delay` seconds; it uses up one attempt.

    `progress` is the wire form of the progress for a broker that carries it with the job; a broker
    that is its own store has it already, as the entries that were committed.
    """

    delay: float
    progress: bytes | None
    error: WireError


class Requeued(msgspec.Struct, frozen=True, gc=False):
    """The job is put back at once, without using up an attempt: a shutdown, or a park.

    `delay` is for a worker that cannot judge this job and leaves it to others for a while.
    """

    progress: bytes | None
    delay: float = 0.0


class DeadLettered(msgspec.Struct, frozen=True, gc=False):
    """The job will not be tried again by itself. Its progress stays, so that it can be redriven.

    The attempt that ends so counts as made.
    """

    error: WireError
    progress: bytes | None


class Lost(msgspec.Struct, frozen=True, gc=False):
    """The job is out of our hands, or given up. There is nothing to tell the broker."""


Settlement = Completed | Retry | Requeued | DeadLettered | Lost
"""What became of an attempt: one of these."""
