"""What lies in a queue, asserted."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from cnstra.engine.signals import Collateral, Signal
from cnstra.jobs.broker import JobRecord
from cnstra.jobs.envelope import job_data, signal_in
from cnstra.jobs.queue import Queue

Wanted = Signal[Any] | Collateral[Any] | str
"""A signal, to be matched whole; or a collateral or its name, whatever the payload."""

MOST = 1000


async def all_enqueued(queue: Queue, wanted: Wanted | None = None) -> list[JobRecord]:
    """The jobs that wait in the queue, now or for later, oldest first; those alone that match."""
    found = [*await queue.jobs("waiting", limit=MOST), *await queue.jobs("delayed", limit=MOST)]
    found.sort(key=lambda record: record.created_at)
    return [one for one in found if wanted is None or _matches(one, wanted)]


async def assert_enqueued(queue: Queue, wanted: Wanted, *, count: int | None = None) -> JobRecord:
    """That such a job waits in the queue; the first one. count: how many must be there, exactly.

    >>> await assert_enqueued(queue, order.create_signal({"id": 7}))
    >>> record = await assert_enqueued(queue, order)
    """
    found = await all_enqueued(queue, wanted)
    enough = found if count is None else len(found) == count
    if not enough or not found:
        expected = "a job" if count is None else f"{count} jobs"
        raise AssertionError(
            f"{expected} for {_told(wanted)} expected in queue {queue.name!r}, {len(found)} found; "
            f"there {await _content(queue)}"
        )
    return found[0]


async def refute_enqueued(queue: Queue, wanted: Wanted) -> None:
    """That no such job waits in the queue."""
    if await all_enqueued(queue, wanted):
        raise AssertionError(
            f"no job for {_told(wanted)} expected in queue {queue.name!r}; "
            f"there {await _content(queue)}"
        )


async def _content(queue: Queue) -> str:
    jobs: Sequence[JobRecord] = await all_enqueued(queue)
    told = ", ".join(_shown(signal_in(one.id, one.data)) for one in jobs[:10])
    return f"wait: {told}" if told else "waits none"


def _matches(record: JobRecord, wanted: Wanted) -> bool:
    signal = signal_in(record.id, record.data)
    if isinstance(wanted, Signal):
        expected = signal_in("", job_data(wanted, ""))
        return dict(signal) == dict(expected)
    name: str = signal["collateralName"]
    return name == (wanted if isinstance(wanted, str) else wanted.name)


def _told(wanted: Wanted) -> str:
    if isinstance(wanted, Signal):
        return _shown(signal_in("", job_data(wanted, "")))
    return wanted if isinstance(wanted, str) else wanted.name


def _shown(signal: Mapping[str, Any]) -> str:
    return f"{signal['collateralName']} {msgspec.json.encode(signal.get('payload')).decode()}"
