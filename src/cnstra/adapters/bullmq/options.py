"""A job's options: ours, and BullMQ's, as they are stored with the job."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, cast
from urllib.parse import quote

import msgspec

from cnstra.clock import Clock
from cnstra.engine.payloads import NOT_JSON
from cnstra.jobs.broker import NewJob
from cnstra.jobs.retry import MAX_DELAY

LOWEST = 2**21
"""BullMQ's lowest priority. Its highest is 1, and a job without one goes before them all."""

LARGEST_STACKS = 10
LARGEST_ATTEMPTS = 2**53
"""What JavaScript counts exactly."""


class Ours(msgspec.Struct, omit_defaults=True):
    """What BullMQ has no word for. run: where the data does not say it."""

    run: str | None = None
    priority: int = 0


class JobOptions(msgspec.Struct, frozen=True, rename="camel"):
    """The options of a job, whoever added it."""

    attempts: float | None = 1
    backoff: float | dict[str, Any] | None = None
    priority: float | None = 0
    remove_on_complete: bool | float | dict[str, Any] | None = None
    remove_on_fail: bool | float | dict[str, Any] | None = None
    stack_trace_limit: float | None = None
    cnstra: Ours = msgspec.field(default_factory=Ours)

    @property
    def max_attempts(self) -> int:
        return max(1, int(min(self.attempts or 1, LARGEST_ATTEMPTS)))

    @property
    def stacks_kept(self) -> int:
        limit = self.stack_trace_limit
        return LARGEST_STACKS if limit is None else max(0, int(limit))

    def priority_here(self) -> int:
        return self.cnstra.priority or -int(self.priority or 0)


_decode = msgspec.json.Decoder(JobOptions).decode


@lru_cache(maxsize=1024)
def options_of(text: bytes | None) -> JobOptions:
    """The stored options. What nobody can read is as if nothing had been said.

    They are the same for very many jobs.
    """
    try:
        return _decode(text or b"{}")
    except NOT_JSON:
        return JobOptions()


def options_for(job: NewJob, delay: int, keep_results: float, *, names_run: bool) -> dict[str, Any]:
    """What is stored with a job of ours. `delay` in milliseconds."""
    options: dict[str, Any] = {
        "attempts": job.max_attempts,
        "removeOnComplete": {"age": keep_results},
    }
    if job.backoff is not None:
        options["backoff"] = backoff_to_bullmq(job.backoff)
    if delay:
        options["delay"] = delay
    if job.priority < 0:
        options["priority"] = min(-job.priority, LOWEST)
    ours: dict[str, Any] = {} if names_run else {"run": quote(job.run, errors="surrogatepass")}
    if job.priority > 0 or job.priority < -LOWEST:
        ours["priority"] = job.priority
    if ours:
        options["cnstra"] = ours
    return options


def backoff_to_bullmq(wire: Mapping[str, Any]) -> dict[str, Any]:
    """The backoff as BullMQ's workers read it, in milliseconds; with ours where that says less."""
    kind = wire.get("type")
    plain: dict[str, Any] = {
        "type": kind if kind in ("fixed", "exponential") else "exponential",
        "delay": round(wire.get("delay", 1.0) * 1000),
    }
    if wire.get("jitter"):
        plain["jitter"] = wire["jitter"]
    return plain if _in_seconds(plain) == wire else {**plain, "cnstra": dict(wire)}


def backoff_from_bullmq(found: float | dict[str, Any] | None) -> Mapping[str, Any] | None:
    """The wire form of a stored backoff: ours where it is there, else what BullMQ's says."""
    if found is None or found == 0:
        return None
    if isinstance(found, int | float):
        return _in_seconds({"type": "fixed", "delay": found})
    ours = found.get("cnstra")
    return cast(Mapping[str, Any], ours) if isinstance(ours, dict) else _in_seconds(found)


def _in_seconds(found: Mapping[str, Any]) -> dict[str, Any]:
    kind, delay, jitter = found.get("type"), found.get("delay"), found.get("jitter")
    if not isinstance(delay, int | float):
        return {"type": kind}
    wire: dict[str, Any] = {
        "type": kind,
        "delay": delay / 1000,
        "jitter": jitter if isinstance(jitter, int | float) else 0.0,
    }
    return wire | {"factor": 2.0, "max": MAX_DELAY} if kind == "exponential" else wire


def keep_of(found: bool | float | dict[str, Any] | None) -> dict[str, Any]:
    """`removeOnComplete` or `removeOnFail`, as BullMQ's scripts take it."""
    if isinstance(found, dict):
        return found
    if found is None or found is False:
        return {"count": -1}
    return {"count": 0 if found is True else int(found)}


def milliseconds(clock: Clock) -> int:
    """The time, as BullMQ writes it."""
    return round(clock.time() * 1000)
