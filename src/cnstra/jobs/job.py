"""A job, as whoever enqueued it sees it."""

import asyncio
from datetime import timedelta
from typing import Any, Protocol

from cnstra.clock import seconds
from cnstra.engine.payloads import decode_json
from cnstra.errors import BrokerUnavailable, JobFailed
from cnstra.jobs.broker import JobRecord, JobState

LONGEST_WATCH = 5.0
PAUSE = 0.2
"""Seconds until a broker that is away is asked again for a result."""


class QueueOfJob(Protocol):
    """The part of a queue that its jobs use."""

    async def record(self, job_id: str) -> JobRecord | None: ...

    async def watch(self, timeout: float, since: int | None = None) -> int: ...

    async def cancel(self, job_id: str) -> bool: ...

    async def redrive(self, job_id: str) -> bool: ...


class Job:
    """A job of a queue. It holds no connection: ask it when you want to know.

    new: whether this call of `enqueue` added it; `False` for a `job_id` that the queue already had.
    """

    __slots__ = ("_queue", "id", "new")

    def __init__(self, queue: QueueOfJob, job_id: str, *, new: bool = False) -> None:
        self._queue = queue
        self.id = job_id
        self.new = new

    async def record(self) -> JobRecord | None:
        """All that the broker holds of the job, or `None` once it is removed or expired."""
        return await self._queue.record(self.id)

    async def state(self) -> JobState | None:
        """Waiting, delayed, active, completed or dead; `None` if the job is gone."""
        record = await self.record()
        return None if record is None else record.state

    async def result(self, timeout: float | timedelta | None = None) -> dict[str, Any]:
        """Wait for the result: `{"results": [payloads of the worker's result collaterals]}`.

        timeout: seconds, or a `timedelta`; 0 looks once, `None` waits for ever.

        A broker that is away meanwhile is asked again. Raises `TimeoutError` when the result is
        not there in time, `JobFailed` when the job is dead or gone.
        """
        limit = None if timeout is None else seconds(timeout)
        seen = 0
        try:
            seen = await self._queue.watch(0)
            result = await self._look()
            if result is not None:
                return result
        except BrokerUnavailable:
            if limit == 0:
                raise
        try:
            async with asyncio.timeout(limit):
                return await self._wait(seen)
        except TimeoutError as error:
            raise TimeoutError(f"Job {self.id!r} has no result after {limit:g} s.") from error

    async def cancel(self) -> bool:
        """End the job: it goes to the dead letters. `False` if it is over or gone."""
        return await self._queue.cancel(self.id)

    async def redrive(self) -> bool:
        """Put the dead job back, with all its attempts. `False` if it is not dead."""
        return await self._queue.redrive(self.id)

    async def _wait(self, seen: int) -> dict[str, Any]:
        while True:
            try:
                seen = await self._queue.watch(LONGEST_WATCH, seen)
                result = await self._look()
            except BrokerUnavailable:
                await asyncio.sleep(PAUSE)
                continue
            if result is not None:
                return result

    async def _look(self) -> dict[str, Any] | None:
        """The result, if it is there. Raises `JobFailed` if there will be none."""
        record = await self.record()
        if record is None:
            reason = "the queue does not have it: it was removed, or has expired"
            raise JobFailed(job_id=self.id, reason=reason, error=None)
        if record.state == "dead":
            error = dict(record.error or {})
            reason = f"{error.get('name', 'Error')}: {error.get('message', '')}"
            raise JobFailed(job_id=self.id, reason=reason.rstrip("."), error=error)
        return dict(decode_json(record.result or b"{}")) if record.state == "completed" else None

    def __repr__(self) -> str:
        return f"<Job {self.id!r}>"
