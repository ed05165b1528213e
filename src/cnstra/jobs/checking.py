"""Which saved jobs the code at hand cannot run or resume, and why."""

from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from cnstra.durable.progress import Progress
from cnstra.engine.entries import signals_of
from cnstra.engine.network import Network
from cnstra.errors import CnstraError
from cnstra.jobs.broker import JobRecord, JobState
from cnstra.jobs.envelope import entry_in
from cnstra.jobs.explanation import problem_of, reached
from cnstra.jobs.queue import Queue

UNFINISHED: tuple[JobState, ...] = ("waiting", "delayed", "active", "dead")
PAGE = 200


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that this code would dead-letter the job for.

    neuron, collateral: of the task that it is about; `None` where the whole job is, or a context
    value.
    """

    job: JobRecord
    reason: str
    neuron: str | None = None
    collateral: str | None = None


def checked_states(queue: Queue) -> tuple[JobState, ...]:
    """The states whose jobs can still run and can be listed on this broker."""
    lists = queue.broker.capabilities.lists
    return tuple(state for state in UNFINISHED if state in lists)


async def check(
    queue: Queue,
    network: Network,
    states: Sequence[JobState],
    looked_at: Callable[[], None] = lambda: None,
) -> AsyncGenerator[Problem, None]:
    """Look at every job in those states, and tell of those that this network cannot go on with.

    looked_at: called after each job. Raises `Unsupported` for a state that the broker cannot list.
    """
    seen: set[str] = set()
    for state in states:
        offset = 0
        while page := await queue.jobs(state, limit=PAGE, offset=offset):
            offset += len(page)
            for job in page:
                if job.id not in seen:
                    seen.add(job.id)
                    for problem in await problems_of(queue, job, network):
                        yield problem
                    looked_at()


async def problems_of(queue: Queue, job: JobRecord, network: Network) -> Sequence[Problem]:
    """Why this network cannot run the job, or go on with it; nothing, where it can."""
    try:
        progress = await queue.progress_of(job)
        if progress is None or not progress.entries:
            signals_of(network, entry_in(job.id, job.data))
            return ()
        progress.check()
    except CnstraError as error:
        return [Problem(job, str(error))]
    return [*_of_tasks(job, progress, network), *_of_contexts(job, progress, network)]


def _of_tasks(job: JobRecord, progress: Progress, network: Network) -> Iterator[Problem]:
    for _, task in progress.tasks():
        reason = problem_of(task, network)
        if reason is not None:
            yield Problem(job, reason, task.neuron, task.collateral)


def _of_contexts(job: JobRecord, progress: Progress, network: Network) -> Iterable[Problem]:
    """Values of neurons that may still run. Others are never looked at again."""
    owed = {network.renamed_neurons.get(task.neuron, task.neuron) for _, task in progress.tasks()}
    runs = owed | reached(network, owed)
    for name, value in progress.contexts().items():
        now = network.renamed_neurons.get(name, name)
        codec = network.context_codecs.get(now)
        if codec is None or now not in runs:
            continue
        try:
            codec.decode(codec.upcast(value, progress.context_version(name)))
        except CnstraError as error:
            yield Problem(job, f"The context value of neuron {name!r}: {error}", name)
