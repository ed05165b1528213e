"""What a person may do to jobs and queues. Each act ends where its effect can be seen."""

import logging
from collections.abc import Mapping

from starlette.responses import RedirectResponse, Response

from cnstra.dashboard.dead import MOST, grouped
from cnstra.dashboard.desk import Act, Ask, Desk
from cnstra.errors import CnstraError
from cnstra.jobs.cloning import options_of
from cnstra.jobs.editing import leave_out, redrive_branch
from cnstra.jobs.envelope import signal_in

logger = logging.getLogger("cnstra.dashboard")

Form = Mapping[str, str]


async def retry(desk: Desk, ask: Ask, form: Form) -> Response:
    """Put a dead job back: it goes on where it stands."""
    del desk
    job_id = form.get("id", "")
    done = await ask.source.queue.redrive(job_id)
    if done:
        await note(ask, job_id, "retried it")
    return _to_job(ask, job_id, "retried" if done else "not-retried")


async def clone(desk: Desk, ask: Ask, form: Form) -> Response:
    """Enqueue the job's signal again, as a job of its own."""
    job_id = form.get("id", "")
    job = await ask.source.queue.record(job_id)
    if job is None:
        return desk.decline(ask, 404, "The queue does not hold that job any more.")
    cloned = await ask.source.queue.enqueue(signal_in(job.id, job.data), **options_of(job))
    await note(ask, job_id, f"cloned it as {cloned.id}")
    return _to_job(ask, cloned.id, "cloned")


async def cancel(desk: Desk, ask: Ask, form: Form) -> Response:
    """End a job."""
    del desk
    job_id = form.get("id", "")
    done = await ask.source.queue.cancel(job_id)
    if done:
        await note(ask, job_id, "cancelled it")
    return _to_job(ask, job_id, "cancelled" if done else "not-cancelled")


async def leave(desk: Desk, ask: Ask, form: Form) -> Response:
    """Let a dead job owe one of its branches no more."""
    del desk
    job_id, key = form.get("id", ""), form.get("task", "")
    await leave_out(ask.source.queue, job_id, key)
    await note(ask, job_id, f"left out the task {key[:8]}")
    return _to_job(ask, job_id, "left-out")


async def branch(desk: Desk, ask: Ask, form: Form) -> Response:
    """Put a dead job back for one of its branches; the others stay owed."""
    del desk
    job_id, key = form.get("id", ""), form.get("task", "")
    done = await redrive_branch(ask.source.queue, job_id, key)
    if done:
        await note(ask, job_id, f"retried the task {key[:8]} alone")
    return _to_job(ask, job_id, "branch-retried" if done else "not-retried")


async def redrive(desk: Desk, ask: Ask, form: Form) -> Response:
    """Put back every dead job of one group of errors."""
    del desk
    queue, count = ask.source.queue, 0
    groups = grouped(await queue.jobs("dead", limit=MOST))
    for job in [job for group in groups if group.id == form.get("group") for job in group.jobs]:
        if await queue.redrive(job.id):
            count += 1
            await note(ask, job.id, "retried it, with others of its error")
    return RedirectResponse(ask.url("dead", redriven=count), 303)


async def pause(desk: Desk, ask: Ask, form: Form) -> Response:
    """Hand out no more jobs."""
    del desk, form
    await ask.source.queue.pause()
    logger.info("%s has paused queue %r.", ask.person, ask.source.queue.name)
    return RedirectResponse(ask.url(""), 303)


async def resume(desk: Desk, ask: Ask, form: Form) -> Response:
    """Hand out jobs again."""
    del desk, form
    await ask.source.queue.resume()
    logger.info("%s has resumed queue %r.", ask.person, ask.source.queue.name)
    return RedirectResponse(ask.url(""), 303)


ACTS: Mapping[str, Act] = {
    "retry": retry,
    "clone": clone,
    "cancel": cancel,
    "leave": leave,
    "branch": branch,
    "redrive": redrive,
    "pause": pause,
    "resume": resume,
}


async def note(ask: Ask, job_id: str, text: str) -> None:
    """Keep who did what: in the log, and in the history where there is one."""
    logger.info("Job %r: %s %s.", job_id, ask.person, text)
    history, name = ask.source.history, ask.source.queue.name
    if history is None:
        return
    try:
        job = await ask.source.queue.record(job_id)
        run = job.run if job is not None else await history.newest_run(name, job_id)
        if run is not None:
            await history.note(run, ask.person, text)
    except CnstraError as error:
        logger.warning("The history does not know of it: %s", error)


def _to_job(ask: Ask, job_id: str, said: str) -> Response:
    return RedirectResponse(ask.url("job", id=job_id, said=said), 303)
