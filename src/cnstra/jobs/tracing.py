"""How a trace gets from whoever enqueues a job into that job, and back out of it."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from cnstra.engine.payloads import decode_json


class Tracing(Protocol):
    """What a queue tells of what it sends."""

    def sending(self, queue: str, url: str, count: int) -> AbstractContextManager[str | None]:
        """Entered while `count` jobs are sent; yields the `traceparent` that they carry."""
        ...

    def creating(self, queue: str, url: str) -> AbstractContextManager[str | None]:
        """Entered while a job is made that is sent later; yields the `traceparent` it carries."""
        ...

    def sending_on(
        self, queue: str, url: str, traces: Sequence[str | None]
    ) -> AbstractContextManager[object]:
        """Entered while jobs are sent that were made before, with what each of them carries."""
        ...


def trace_in(data: bytes) -> str | None:
    """The `traceparent` in the job data, if whoever enqueued it was traced."""
    try:
        trace: Any = decode_json(data)["cnstra"]["trace"]
    except (ValueError, KeyError, TypeError):
        return None
    return trace if isinstance(trace, str) else None
