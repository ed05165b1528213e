"""What is saved of a dead job, read to be changed, and written unless somebody else was there."""

from contextlib import suppress
from dataclasses import dataclass

from cnstra.durable.progress import Progress
from cnstra.durable.store import Patch, ProgressStore, Saved, Ticket
from cnstra.durable.wire import from_wire, to_wire
from cnstra.errors import Fenced, NotEditable, ProgressTooNew, ProgressUnreadable
from cnstra.jobs.broker import Broker, JobRecord, RewritesProgress

TAKEN = "a worker, or another person, has taken it up meanwhile"


@dataclass(frozen=True, slots=True)
class Revision:
    """What was found, at one look: `progress` is to be changed, `seen` is what the store had."""

    job: JobRecord
    progress: Progress
    seen: Saved


async def read_revision(broker: Broker, store: ProgressStore, job_id: str) -> Revision:
    """Look at a dead job. That its run is held says nothing then: who held it has died.

    Raises `NotEditable` for a job that is not dead, or of which nothing is saved.
    """
    job = await broker.get(job_id)
    if job is None or job.state != "dead":
        state = "gone" if job is None else job.state
        raise NotEditable(job_id=job_id, reason=f"it is {state}, and only a dead job holds still")
    seen = await store.peek(job.run) or Saved()
    if seen.held and not await _is_dead(broker, job_id):
        raise NotEditable(job_id=job_id, reason=TAKEN)
    progress: Progress | None = Progress(job.run, seen.entries)
    if job.progress is not None:
        progress = from_wire(job.run, job.progress)
    if progress is None or not progress.entries:
        reason = "nothing of its run has been saved: clone it with another payload instead"
        raise NotEditable(job_id=job_id, reason=reason)
    return Revision(job, progress, seen)


async def clear_holds(broker: Broker, store: ProgressStore, job_id: str) -> None:
    """Forget which branch of a dead job was to run alone: the redrive that this was for never came,
    or the job was cancelled before a worker heard of it. Whoever died while they changed the run no
    longer holds it.
    """
    while True:
        try:
            revision = await read_revision(broker, store, job_id)
        except (NotEditable, ProgressTooNew, ProgressUnreadable):
            return
        if not (revision.seen.held or revision.progress.holds):
            return
        with revision.progress:
            revision.progress.clear_holds()
        with suppress(NotEditable):  # somebody was there meanwhile: we look again
            await write_revision(broker, store, revision)
            return


async def write_revision(broker: Broker, store: ProgressStore, revision: Revision) -> None:
    """Write what was changed. Raises `NotEditable` if what was read is no longer what is saved."""
    job, progress = revision.job, revision.progress
    if job.progress is None:
        await _commit(broker, store, revision)
    elif isinstance(broker, RewritesProgress):
        if not await broker.rewrite_progress(job.id, job.progress, to_wire(progress)):
            raise NotEditable(job_id=job.id, reason=TAKEN)
    else:
        progress.unsaved()
        await _commit(broker, store, revision)


async def _commit(broker: Broker, store: ProgressStore, revision: Revision) -> None:
    """Write under an epoch of our own, so that nobody else writes meanwhile. What is not written is
    released all the same: a run that nobody holds must not look as if its worker had died.

    Whoever redrives the job after our look at it takes a later epoch than ours: our write is there
    before they begin, or refused.
    """
    job, seen = revision.job, revision.seen
    saved = await store.load(job.run)
    ticket = Ticket(job.run, saved.epoch, saved.seq + 1)
    is_as_seen = (saved.epoch, saved.seq) == (seen.epoch + 1, seen.seq)
    if not is_as_seen or not await _is_dead(broker, job.id):
        with suppress(Fenced):
            await store.commit(ticket, Patch(release=True))
        raise NotEditable(job_id=job.id, reason=TAKEN)
    patch, _ = revision.progress.take()
    patch.release = True
    try:
        await store.commit(ticket, patch)
    except Fenced:
        raise NotEditable(job_id=job.id, reason=TAKEN) from None


async def _is_dead(broker: Broker, job_id: str) -> bool:
    job = await broker.get(job_id)
    return job is not None and job.state == "dead"
