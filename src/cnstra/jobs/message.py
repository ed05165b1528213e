"""A job as one message: its data, and in the `cnstra` part all that brokers with job fields keep.

{"signal": {...}, "cnstra": {"id": "...", "run": "...", "attempts": 1, "generation": 2, ...}}
"""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import msgspec

from cnstra.engine.payloads import NOT_JSON, encode_json
from cnstra.jobs.broker import NewJob


class Header(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True, rename="camel"):
    """The `cnstra` part of a message. Times are in seconds since the epoch.

    attempts: how many attempts have failed. generation: how often the job was sent anew with other
    words; the highest counts. elsewhere: the data is too large for a message and lies in the store.
    is_wrapped: the data cannot be members of the message, and is `raw` there, in base64.
    """

    id: str
    run: str
    attempts: int = 0
    max_attempts: int = 1
    backoff: dict[str, Any] | None = None
    generation: int = 0
    created_at: float = 0.0
    run_at: float | None = None
    priority: int = 0
    ordering_key: str | None = None
    progress: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: dict[str, Any] | None = None
    elsewhere: bool = False
    is_wrapped: bool = False
    raw: bytes | None = None
    trace: str | None = None

    @property
    def carried(self) -> bytes | None:
        """The wire form of the progress, where the message carries it."""
        return None if isinstance(self.progress, msgspec.UnsetType) else bytes(self.progress)

    @staticmethod
    def of(job: NewJob, now: float) -> "Header":
        return Header(
            id=job.id,
            run=job.run,
            max_attempts=job.max_attempts,
            backoff=None if job.backoff is None else dict(job.backoff),
            created_at=now,
            run_at=job.run_at,
            priority=job.priority,
            ordering_key=job.ordering_key,
            trace=job.trace,
        )


_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_header = msgspec.json.Decoder(Header).decode


@dataclass(frozen=True, slots=True)
class Message:
    """A job, as a message holds it. `data` is the job data, as it was enqueued."""

    header: Header
    data: bytes

    @property
    def has_minted_id(self) -> bool:
        """Whether the job's id was minted for it, as that of its run: nobody has named it."""
        return self.header.id == self.header.run

    def body(self) -> bytes:
        """As it is sent."""
        header = self.header
        if header.elsewhere:
            return encode_json({"cnstra": header})
        fields = _object(self.data)
        if fields is None or header.is_wrapped:
            return encode_json({"cnstra": msgspec.structs.replace(header, raw=self.data)})
        return encode_json(fields | {"cnstra": header})

    def changed(self, **fields: Any) -> "Message":
        """The same job with other words about it."""
        return Message(msgspec.structs.replace(self.header, **fields), self.data)


def read_message(body: bytes, queue: str, id: str, sent_at: float) -> Message:
    """The job in a message. One that others put there has `id` as its own, and one attempt."""
    fields = _object(body)
    try:
        header = _header(fields["cnstra"]) if fields else None
    except (KeyError, *NOT_JSON):
        header = None
    if fields is None or header is None or not header.id or not header.run:
        job_id = id or sha256(body).hexdigest()
        run, is_wrapped = f"{queue}/{job_id}/{sent_at:.3f}", fields is None or "cnstra" in fields
        words = Header(id=job_id, run=run, created_at=sent_at, is_wrapped=is_wrapped)
        return Message(words, body)
    if header.raw is not None:
        return Message(msgspec.structs.replace(header, raw=None), header.raw)
    part = (
        {"run": header.run} if header.trace is None else {"run": header.run, "trace": header.trace}
    )
    return Message(header, b"" if header.elsewhere else encode_json(fields | {"cnstra": part}))


def _object(body: bytes) -> dict[str, msgspec.Raw] | None:
    """The members of a JSON object; `None` for anything else."""
    try:
        return _fields(body)
    except NOT_JSON:
        return None
