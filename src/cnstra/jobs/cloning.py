"""A job like another."""

from typing import Any

from cnstra.jobs.broker import JobRecord
from cnstra.jobs.retry import backoff_from_wire


def options_of(job: JobRecord) -> dict[str, Any]:
    """What `Queue.enqueue` is to be told, so that a job is treated as that one was."""
    return {
        "max_attempts": job.max_attempts,
        "backoff": None if job.backoff is None else backoff_from_wire(job.backoff),
        "priority": job.priority,
    }
