"""What happens in a queue, read from BullMQ's own event stream."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from cnstra.adapters.bullmq.names import decode_id
from cnstra.adapters.bullmq.wire import fields_of
from cnstra.engine.payloads import decode_json
from cnstra.jobs.broker import Event, EventKind

LOOK_AHEAD = 32
"""Entries read beyond a page, so that it does not end between an event of BullMQ's and ours about
it.
"""

SEQ_BITS = 20

NATIVE: Mapping[tuple[str, str], EventKind] = {
    ("added", ""): "enqueued",
    ("active", ""): "started",
    ("completed", ""): "completed",
    ("failed", ""): "dead",
    ("delayed", ""): "retried",
    ("waiting", "active"): "retried",
    ("waiting", "failed"): "redriven",
    ("waiting", "completed"): "redriven",
    ("stalled", ""): "stalled",
    ("paused", ""): "paused",
    ("resumed", ""): "resumed",
}
"""By BullMQ's event, and by where the job came from for those that mean different things."""

Entry = tuple[bytes, list[bytes]]


def number_of(stream_id: bytes) -> int:
    """A stream's id as one number that rises alike."""
    at, _, seq = stream_id.partition(b"-")
    return int(at) << SEQ_BITS | int(seq or 0)


def stream_id(number: int) -> bytes:
    """The inverse of `number_of`."""
    return b"%d-%d" % (number >> SEQ_BITS, number & (1 << SEQ_BITS) - 1)


def events_in(entries: Sequence[Entry]) -> list[Event]:
    """The events that the entries of a stream tell of.

    One happening may be several entries: a job that is added with a delay, or one that stalled.
    Where BullMQ's words leave open what happened, an entry of ours follows, and takes the place of
    BullMQ's.
    """
    told: list[Event] = []
    for entry_id, flat in entries:
        event = _event(entry_id, flat)
        if event is None:
            continue
        before = told[-1] if told and told[-1].job_id == event.job_id else None
        if before is not None and _is_told_by(before, event, flat):
            told.pop()
        if before is not None and before.kind == "enqueued" and event.kind == "retried":
            continue
        told.append(event)
    return told


def _is_told_by(before: Event, event: Event, flat: list[bytes]) -> bool:
    """Whether the later of two events about a job is the better word for the earlier one."""
    if event.kind == "stalled":
        return before.kind == "retried"
    is_ours = flat[1] == b"cnstra"
    return is_ours and event.kind != "cancelled" and before.kind in ("retried", "dead")


def _event(entry_id: bytes, flat: list[bytes]) -> Event | None:
    text = {name.decode(): value.decode("utf-8", "surrogatepass") for name, value in _pairs(flat)}
    native = text.get("event", "")
    if native == "cnstra":
        kind, detail = cast(EventKind, text["kind"]), cast(Mapping[str, Any], _object(text))
    else:
        origin = text.get("prev", "") if native == "waiting" else ""
        found = NATIVE.get((native, origin))
        if found is None:
            return None
        kind, detail = found, _detail(native, text, entry_id)
    job_id = text.get("jobId")
    return Event(
        number_of(entry_id),
        int(entry_id.partition(b"-")[0]) / 1000,
        kind,
        None if job_id is None else decode_id(job_id.encode("utf-8", "surrogatepass")),
        detail,
    )


def _pairs(flat: list[bytes]) -> Iterator[tuple[bytes, bytes]]:
    return iter(fields_of(flat).items())


def _object(text: Mapping[str, str]) -> Any:
    try:
        return decode_json(text.get("detail", "{}").encode())
    except ValueError:
        return {}


def _detail(native: str, text: Mapping[str, str], entry_id: bytes) -> Mapping[str, Any]:
    if native == "failed":
        return {"error": {"name": "Error", "message": text.get("failedReason", "")}}
    if native == "delayed":
        due, now = text.get("delay", "0"), int(entry_id.partition(b"-")[0])
        return {"delay": max(0.0, (float(due) - now) / 1000)}
    return {}
