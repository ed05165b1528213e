"""Job schedulers of BullMQ's: whoever takes up one of their jobs adds the next."""

from dataclasses import dataclass
from typing import Any, cast

import msgspec

from cnstra.adapters.bullmq.wire import Fields, encode_args
from cnstra.engine.payloads import decode_json


@dataclass(frozen=True, slots=True)
class Iteration:
    """The job of a scheduler that follows on another.

    due_at: milliseconds; of no account where the scheduler has an interval, which BullMQ's script
    adds up itself. options: the job's, packed.
    """

    scheduler: bytes
    due_at: int
    options: bytes


class _Repeat(msgspec.Struct, rename="camel"):
    pattern: str | None = None
    every: float | None = None
    limit: float | None = None
    end_date: float | None = None
    count: int = 0


class _Options(msgspec.Struct, rename="camel"):
    repeat: _Repeat
    prev_millis: int = 0


def iteration_after(fields: Fields, now: int) -> Iteration | None:
    """What follows on this job; `None` where it is no scheduler's, or its last.

    Raises `ValueError` for a schedule that cannot be read.
    """
    scheduler = fields.get(b"rjk")
    if not scheduler:
        return None
    options = decode_json(fields.get(b"opts", b""))
    known = _read(options)
    repeat, number = known.repeat, known.repeat.count + 1
    if repeat.limit is not None and number > repeat.limit:
        return None
    if repeat.end_date is not None and now > repeat.end_date:
        return None
    changes: dict[str, Any] = {
        "repeatJobKey": scheduler.decode("utf-8", "surrogatepass"),
        "timestamp": now,
        "repeat": {**options["repeat"], "count": number},
    }
    due_at = now
    if repeat.pattern:
        due_at = changes["prevMillis"] = _due_after(max(now, known.prev_millis), options["repeat"])
    return Iteration(scheduler, due_at, encode_args({**options, **changes}))


def _read(options: Any) -> _Options:
    known = msgspec.convert(options, _Options)
    if bool(known.repeat.pattern) == bool(known.repeat.every):
        raise ValueError("it must have either a pattern or an interval")
    return known


def _due_after(moment: int, repeat: Any) -> int:
    """When the pattern matches next, by the rules of BullMQ for Python."""
    from bullmq.job_scheduler import default_repeat_strategy  # pyright: ignore

    try:
        return cast(int, default_repeat_strategy(moment, repeat))
    except Exception as error:
        raise ValueError(f"its pattern is not understood: {error}") from error
