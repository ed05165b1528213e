"""BullMQ's job hashes, as deliveries and records."""

import contextlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import msgspec
from msgpack import Packer  # pyright: ignore

from cnstra.adapters.bullmq.names import decode_id, text_of
from cnstra.adapters.bullmq.options import JobOptions, backoff_from_bullmq, options_of
from cnstra.durable.store import Saved
from cnstra.engine.payloads import NOT_JSON, decode_json, encode_json
from cnstra.jobs.broker import JobRecord, JobState
from cnstra.jobs.settlement import Delivery, WireError

Fields = Mapping[bytes, bytes]

LONGEST_NUMBER = 16
"""Digits of what JavaScript counts with, its sign included."""

_packer: Any = Packer(use_bin_type=False, unicode_errors="surrogatepass")  # pyright: ignore


def encode_args(arguments: Any) -> bytes:
    """For BullMQ's scripts: the `cmsgpack` of Redis knows texts, and no bytes beside them."""
    packed: bytes = _packer.pack(arguments)
    return packed


class _Run(msgspec.Struct):
    run: str = ""


class _Data(msgspec.Struct):
    cnstra: _Run = msgspec.field(default_factory=_Run)


_decode_data = msgspec.json.Decoder(_Data).decode
_decode_stacks = msgspec.json.Decoder(list[str]).decode


def fields_of(flat: list[bytes]) -> dict[bytes, bytes]:
    """A hash, out of Redis' flat answer."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def run_of(prefix: bytes, native: bytes, fields: Fields, options: JobOptions) -> str:
    """The run id that `enqueue` minted; for a job of others, one that no other job has."""
    try:
        if options.cnstra.run is not None:
            return unquote(options.cnstra.run, errors="surrogatepass")
        run = _decode_data(fields.get(b"data", b"")).cnstra.run
    except NOT_JSON:
        run = ""
    if run:
        return run
    name = b"%b%b@%b" % (prefix, native, fields.get(b"timestamp", b"0"))
    return text_of(name)


def names_its_run(data: bytes, run: str) -> bool:
    """Whether the run id can be read from the job data."""
    try:
        return _decode_data(data).cnstra.run == run
    except NOT_JSON:
        return False


def delivery_of(
    native: bytes, proof: str, fields: Fields, options: JobOptions, run: str, saved: Saved
) -> Delivery:
    """What a worker gets to see of a leased job."""
    return Delivery(
        job_id=decode_id(native),
        data=fields.get(b"data", b""),
        token=proof,
        run=run,
        attempts_made=number_in(fields, b"atm"),
        max_attempts=options.max_attempts,
        backoff=backoff_from_bullmq(options.backoff),
        created_at=number_in(fields, b"timestamp") / 1000,
        priority=options.priority_here(),
        progress=fields.get(b"progress"),
        saved=saved,
        name=text_of(fields.get(b"name", b"")),
    )


def proof_of(native: bytes, token: bytes) -> str:
    """What proves a lease: the lock token and the id in BullMQ."""
    return f"{token.decode()} {native.decode('latin-1')}"


def lock_of(delivery: Delivery) -> tuple[bytes, bytes]:
    """The id in BullMQ and the lock token of a delivery."""
    token, _, native = delivery.token.partition(" ")
    return native.encode("latin-1"), token.encode()


def record_of(prefix: bytes, shown: list[Any]) -> JobRecord:
    """A job as people see it, from what the scripts `get` and `list` answer."""
    native, state_name, due, flat = shown
    fields = fields_of(flat)
    options = options_of(fields.get(b"opts"))
    state: JobState = state_name.decode()
    made = number_in(fields, b"atm")
    is_over = state in ("completed", "dead")
    return JobRecord(
        id=decode_id(native),
        state=state,
        data=fields.get(b"data", b""),
        run=run_of(prefix, native, fields, options),
        attempts_made=max(0, made - 1) if state == "completed" else made,
        max_attempts=options.max_attempts,
        created_at=number_in(fields, b"timestamp") / 1000,
        backoff=backoff_from_bullmq(options.backoff),
        priority=options.priority_here(),
        run_at=due / 1000 if state == "delayed" else None,
        finished_at=number_in(fields, b"finishedOn") / 1000 if is_over else None,
        result=_result(fields.get(b"returnvalue")) if state == "completed" else None,
        error=None if state == "completed" else _error(fields),
        progress=None if state == "completed" else fields.get(b"progress"),
        name=text_of(fields.get(b"name", b"")),
    )


def stacks_after(fields: Fields, stack: str, options: JobOptions) -> bytes:
    """BullMQ's list of stack traces, with one more."""
    stacks: list[str] = []
    with contextlib.suppress(*NOT_JSON):
        stacks = _decode_stacks(fields.get(b"stacktrace", b"[]"))
    kept = options.stacks_kept
    return msgspec.json.encode([*stacks, stack][-kept:] if kept else [])


def has_died(fields: Fields) -> bool:
    """Whether the last that we know of the job is that it failed for good."""
    return fields.get(b"cn:end", b"").endswith(b" failed")


def without_crashes(progress: bytes | None) -> bytes | None:
    """The progress of a job without the crashes that it counts, or `None` where it counts none."""
    try:
        wire: Any = decode_json(progress or b"null")
        entries = wire["cnstra"]["entries"]
        crashes = [key for key in entries if key.startswith("s/")]
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    for key in crashes:
        del entries[key]
    return encode_json(wire) if crashes else None


def headline(error: WireError) -> dict[str, Any]:
    """An error without its stack, which is too long to be told again and again."""
    return {part: error.get(part) for part in ("name", "message")}


def number_in(fields: Fields, name: bytes) -> int:
    """A number, or 0 for what is none that BullMQ would write."""
    value = fields.get(name, b"")
    try:
        return int(value) if len(value) <= LONGEST_NUMBER else 0
    except ValueError:
        return 0


def _result(value: bytes | None) -> bytes:
    """A job's result is an object; what a worker of others returned is its one result."""
    text = (value or b"null").strip()
    if text.startswith(b"{"):
        return text
    return b'{"results":[]}' if text == b"null" else b'{"results":[%b]}' % text


def _error(fields: Fields) -> WireError | None:
    reason = fields.get(b"failedReason")
    if reason is None:
        return None
    stack = ""
    with contextlib.suppress(*NOT_JSON, IndexError):
        stack = _decode_stacks(fields.get(b"stacktrace", b"[]"))[-1]
    name = fields.get(b"cn:error", b"Error").decode("utf-8", "replace")
    return {"message": reason.decode("utf-8", "replace"), "name": name, "stack": stack}
