"""One job: where it stands and why, what it did, what a retry would do."""

from dataclasses import replace

from starlette.responses import Response

from cnstra.dashboard.desk import Ask, Desk
from cnstra.dashboard.lists import entry_of
from cnstra.dashboard.rendering import errors_of
from cnstra.dashboard.sources import Source
from cnstra.dashboard.storytelling import MOST_SIGNALS, tree, waterfalls
from cnstra.errors import StoreRequired
from cnstra.history.fingerprint import fingerprint
from cnstra.history.records import Story
from cnstra.jobs.explanation import Explanation, explain

SAID = {
    "sent": "The job is in the queue.",
    "retried": "The job is back in the queue: it goes on where it stood.",
    "not-retried": "Nothing was done: the job is not dead any more.",
    "cloned": "This is the clone: it begins at the entry.",
    "cancelled": "The job ends: it goes to the dead letters, at once or when its worker hears.",
    "not-cancelled": "Nothing was done: the job is over.",
    "edited": "The change is kept. It counts from the next retry on.",
    "branch-retried": "The job is back in the queue for that branch alone: the others stay owed.",
    "left-out": "The job does not owe that branch any more: a retry runs the others.",
}


async def show(desk: Desk, ask: Ask) -> Response:
    """The job of an id; or of a run, which its queue may not hold any more."""
    history, queue = ask.source.history, ask.source.queue
    job_id = ask.query("id")
    run: str | None = ask.query("run")
    found = await _explained(ask, job_id) if job_id else None
    if history is not None and not run:
        run = found.job.run if found is not None else await history.newest_run(queue.name, job_id)
    story = None if history is None or not run else await history.story(run)
    if found is None and story is not None and not job_id:
        found = await _explained(ask, story.run.job)
    if found is not None and story is not None and found.job.run != story.run.run:
        found = None
    if found is None and story is None:
        return desk.decline(ask, 404, _absent(ask, job_id))
    error = _error(found, story)
    return desk.render(
        ask,
        "job.html",
        found=found,
        story=story,
        entry=None if found is None else entry_of(found.job, ask.source),
        error=error,
        like=fingerprint(error[0], error[1]) if error is not None and history is not None else "",
        falls=[] if story is None else waterfalls(story, queue.clock.time()),
        tree=[] if story is None else tree(story),
        most=MOST_SIGNALS,
        ran=set() if story is None else {one.neuron for one in story.tasks},
        said=SAID.get(ask.query("said"), ""),
        is_kept=history is not None,
    )


async def _explained(ask: Ask, job_id: str) -> Explanation | None:
    """The job as its queue has it. Where a broker can look up none, its dead letters are looked
    through.
    """
    try:
        found = await explain(ask.source.queue, job_id, ask.source.network)
    except StoreRequired:
        return None
    return None if found is None else _struck(found, ask.source)


def _struck(found: Explanation, source: Source) -> Explanation:
    """The explanation as it may be shown."""
    job, struck = found.job, source.struck
    return replace(
        found,
        job=job if job.result is None else replace(job, result=struck("result", job.result)),
        runs=[replace(one, payload=struck(one.collateral, one.payload)) for one in found.runs],
        contexts={name: struck(name, value) for name, value in found.contexts.items()},
        results=[struck("result", one) for one in found.results],
    )


def _absent(ask: Ask, job_id: str) -> str:
    name = ask.source.queue.name
    if ask.source.history is None:
        return f"Queue {name!r} holds no job {job_id!r}: it was removed, or has expired."
    return f"Neither queue {name!r} nor its history knows a job {job_id!r}."


def _error(found: Explanation | None, story: Story | None) -> tuple[str, str, str] | None:
    """The job's last error: its name, its message, its traceback."""
    if found is not None and found.job.error is not None:
        return errors_of(found.job.error)
    if story is None or not story.attempts or story.attempts[-1].error is None:
        return None
    error = story.attempts[-1].error
    return error.name, error.message, error.stack
