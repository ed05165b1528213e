"""Settlements, in BullMQ's words."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from cnstra.adapters.bullmq.options import JobOptions, keep_of, options_of
from cnstra.adapters.bullmq.wire import Fields, encode_args, headline, stacks_after
from cnstra.engine.payloads import encode_json
from cnstra.errors import JobCancelled
from cnstra.jobs.broker import Ahead
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

CANCELLED = str(JobCancelled())
CANCELLED_FIELDS = encode_args(
    ["failedReason", CANCELLED, "cn:error", JobCancelled.__name__, "stacktrace", "[]"]
)
UNRECOVERABLE = "UnrecoverableError"
"""What BullMQ calls an error that no attempt mends."""

NOT_ACTIVE = -3
"""BullMQ's code for a job that somebody has taken out of the active ones."""
REFUSALS: Mapping[int, tuple[str, str]] = {
    -4: ("it has children that are not over", "let it wait for them, as a flow's parent does"),
    -9: ("a child that it needs has failed", "retry that child, then this job"),
}
"""Why BullMQ does not complete a job, and what helps, by its codes."""
OTHER_REFUSAL = ("BullMQ does not say why", "look the code up in BullMQ's `ErrorCode`")


@dataclass(frozen=True, slots=True)
class Ending:
    """What the script `settle` is told of a job that is not completed.

    value: the reason of the failure. fields: what changes in the job's hash.
    keep: what BullMQ keeps of jobs that are over. detail: what an event tells.
    """

    kind: str
    value: bytes = b""
    delay: int = 0
    progress: bytes | None = None
    fields: list[Any] = field(default_factory=list[Any])
    keep: dict[str, Any] = field(default_factory=dict[str, Any])
    detail: dict[str, Any] = field(default_factory=dict[str, Any])

    def fields_for(self, delivery: Delivery, token: bytes) -> tuple[bytes, bool]:
        """The packed changes of the job's hash, and whether its progress is among them."""
        progress = self.progress
        changes = progress is not None and progress != delivery.progress
        fields = ["cn:end", b"%b %b" % (token, self.kind.encode()), *self.fields]
        if changes:
            fields += ["progress", progress]
        return encode_args(fields), changes

    def options(self, max_attempts: int) -> bytes:
        """What BullMQ is told about the end of a job, still without the token."""
        return _with_place_for_token(_finishing(self.keep, max_attempts))

    def told(self) -> bytes:
        """What the event of it tells."""
        return encode_json(self.detail) if self.detail else b"{}"


TOKEN = b"\xd9\x05TOKEN"
"""Where a packed text goes that is put in later."""


@lru_cache(maxsize=1024)
def packed(options: bytes, token: bytes) -> bytes:
    """The options with this lock token."""
    return options.replace(TOKEN, b"\xda%b%b" % (len(token).to_bytes(2, "big"), token))


@lru_cache(maxsize=256)
def completion_options(job_options: bytes | None, ahead: Ahead | None) -> bytes:
    """What BullMQ is told about the completion of a job with these options, still without the
    token.

    Where the next job is leased in the same step, that has the same token.
    """
    options = options_of(job_options)
    finishing = _finishing(keep_of(options.remove_on_complete), options.max_attempts)
    return _with_place_for_token(finishing | (_leasing(ahead) if ahead else {}))


@lru_cache(maxsize=64)
def lease_options(ahead: Ahead) -> bytes:
    """What BullMQ is told about a lease, still without the token."""
    return _with_place_for_token(_leasing(ahead))


def _finishing(keep: Mapping[str, Any], max_attempts: int) -> dict[str, Any]:
    return {
        "token": "TOKEN",
        "keepJobs": keep,
        "attempts": max_attempts,
        "maxMetricsSize": "",
    }


def _leasing(ahead: Ahead) -> dict[str, Any]:
    options: dict[str, Any] = {
        "token": "TOKEN",
        "name": "TOKEN",
        "lockDuration": round(ahead.lease * 1000),
    }
    if ahead.rate is not None:
        period = max(1, round(ahead.rate.per * 1000))
        options["limiter"] = {"max": ahead.rate.jobs, "duration": period}
    return options


def _with_place_for_token(options: dict[str, Any]) -> bytes:
    return encode_args(options).replace(b"\xa5TOKEN", TOKEN)


def doom_of(fields: Fields) -> WireError | None:
    """The error with which a leased job fails without being run, if it does: somebody has cancelled
    it, or it is the parent of a child that failed.
    """
    if b"cn:cancel" in fields:
        return {"name": JobCancelled.__name__, "message": CANCELLED, "stack": ""}
    if reason := fields.get(b"defa"):
        return {"name": UNRECOVERABLE, "message": reason.decode("utf-8", "replace"), "stack": ""}
    return None


def ending_of(settlement: Settlement, fields: Fields, options: JobOptions) -> Ending:
    """The settlement of a job that has these fields and options."""
    match settlement:
        case DeadLettered(error, progress):
            return Ending(
                "failed",
                str(error["message"]).encode("utf-8", "surrogatepass"),
                progress=progress,
                fields=_failure(error, fields, options),
                keep=keep_of(options.remove_on_fail),
                detail={"error": headline(error)},
            )
        case Retry(delay, progress, error):
            return Ending(
                "retried",
                delay=round(delay * 1000),
                progress=progress,
                fields=_failure(error, fields, options),
                keep=keep_of(options.remove_on_fail),
                detail={"delay": delay, "error": headline(error)},
            )
        case Requeued(progress, delay):
            return Ending(
                "requeued",
                delay=round(delay * 1000),
                progress=progress,
                keep=keep_of(options.remove_on_fail),
                detail={"delay": delay},
            )
        case Completed() | Lost():
            raise AssertionError("a completed or lost job does not end so")


def _failure(error: Any, fields: Fields, options: JobOptions) -> list[Any]:
    message = str(error["message"]).encode("utf-8", "surrogatepass")
    return [
        "failedReason",
        message,
        "cn:error",
        str(error["name"]).encode("utf-8", "surrogatepass"),
        "stacktrace",
        stacks_after(fields, str(error.get("stack") or ""), options),
    ]
