"""Jobs that other programs have added in a form of their own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cnstra.engine.payloads import decode_json
from cnstra.engine.signals import Signal
from cnstra.errors import ForeignJobUnread, UndecodableJob, text_of
from cnstra.jobs.envelope import entry_in, job_data, run_in


@dataclass(frozen=True, slots=True)
class ForeignJob:
    """A job whose data is no signal.

    data: what its JSON holds; bytes, where it is not JSON. name: BullMQ's name of the job, which
    other brokers do not have.
    """

    id: str
    data: Any
    name: str = ""


ForeignReader = Callable[[ForeignJob], Signal[Any] | Mapping[str, Any]]
"""Makes the signal of such a job. It is called on every attempt, by workers and by who looks on, so
it must say the same each time.
"""


def in_our_form(job_id: str, data: bytes, name: str, run: str, read: ForeignReader) -> bytes:
    """The job data as `enqueue` would have written it. Raises `ForeignJobUnread`."""
    if _is_ours(job_id, data):
        return data
    try:
        return job_data(read(ForeignJob(job_id, _value_in(data), name)), run)
    except Exception as error:
        reason = f"{type(error).__name__}: {text_of(error)}"
        raise ForeignJobUnread(job_id=job_id, reason=reason) from error


def _is_ours(job_id: str, data: bytes) -> bool:
    try:
        entry_in(job_id, data)
    except UndecodableJob:
        return False
    return True


def _value_in(data: bytes) -> Any:
    """What was added; the run id, which a broker of messages adds to that later, left out."""
    try:
        value = decode_json(data)
    except ValueError:
        return data
    if run_in(data) is not None:
        del value["cnstra"]
    return value
