"""Which job of a kind is the one at a time.

The store has a record for each kind with the id of its incumbent, which is all it says: whether
that job is there, and whether it is over, the broker knows. Who finds no such job sends it under
that id, which the broker accepts once. So a process that died between the two closes nothing, and
of many that come at once one adds the job.
"""

from contextlib import suppress
from dataclasses import replace

from cnstra.clock import Clock
from cnstra.durable.store import Patch, ProgressStore, Saved, Ticket
from cnstra.errors import Fenced
from cnstra.jobs.broker import Broker, NewJob

ID = "id"
OVER = ("completed", "dead")


class Incumbents:
    """The incumbents of one queue, by kind."""

    def __init__(self, queue: str, broker: Broker, store: ProgressStore, clock: Clock) -> None:
        self._queue = queue
        self._broker = broker
        self._store = store
        self._clock = clock

    async def enqueue(self, kind: str, job: NewJob) -> tuple[str, bool]:
        """Add the job, unless one of its kind is live; the id of that one, and whether it is new.

        The job gets an id of its own. May be called again after an error: it then finds its job.
        """
        predecessor = None
        while True:
            job_id = await self._appoint(kind, after=predecessor)
            (is_new,) = await self._broker.enqueue([replace(job, id=job_id)])
            if is_new:
                return job_id, True
            record = await self._broker.get(job_id)
            if record is not None and record.state not in OVER:
                return job_id, False
            predecessor = job_id

    async def _appoint(self, kind: str, after: str | None) -> str:
        """The incumbent; a new one, if there is none or it is `after`, whose job is over."""
        name = f"cnstra:queue:{len(self._queue)}:{self._queue}:kind:{kind}"
        while True:
            known = _id_in(await self._store.peek(name))
            if known not in (None, after):
                return known
            saved = await self._store.load(name)
            if _id_in(saved) != known:
                continue
            appointed = f"{kind}-{self._clock.new_id()}"
            patch = Patch(puts={ID: appointed.encode()}, release=True)
            with suppress(Fenced):
                await self._store.commit(Ticket(name, saved.epoch, saved.seq + 1), patch)
                return appointed


def _id_in(saved: Saved | None) -> str | None:
    job_id = None if saved is None else saved.entries.get(ID)
    return None if job_id is None else job_id.decode()
