"""Why a job stands where it stands, and what a retry of it would run and skip."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from cnstra.clock import Clock
from cnstra.durable.entries import ErrorEntry, TaskEntry
from cnstra.durable.progress import Progress
from cnstra.engine.network import Network
from cnstra.errors import CnstraError, StoreError
from cnstra.jobs.broker import JobRecord
from cnstra.jobs.envelope import entry_in
from cnstra.jobs.queue import Queue


@dataclass(frozen=True, slots=True)
class OwedTask:
    """A task that the job's run still owes: a retry runs it.

    key: its idempotency key, which names it. payload: its input, as JSON, as the code at hand gets
    it: of the version that its type has now. error: why it failed the last time, if it did.
    crashes: how often in a row the process died while it ran.
    problem: why the code at hand cannot run it; `None` where it can, or where no code was given.
    held_back: whether it waits, while another branch of the redriven job runs alone.
    """

    key: str
    neuron: str
    collateral: str
    payload: bytes
    error: ErrorEntry | None = None
    crashes: int = 0
    problem: str | None = None
    held_back: bool = False


@dataclass(frozen=True, slots=True)
class Explanation:
    """A job, explained.

    standing: why it stands where it stands, in a sentence or two.
    next: what happens next by itself, or what to do.
    runs: what a retry runs first; empty where it would begin at the entry, or has nothing to do.
    follows: neurons that may run after those. skips: neurons that the entry leads to and that no
        retry runs any more. Both are known where the code is, and sorted by name.
    contexts: the saved context values, by neuron, as JSON, of the versions that their types have
        now. results: those so far, as JSON.
    unreadable: why the saved progress cannot be read, if it cannot.
    """

    job: JobRecord
    standing: str
    next: str
    runs: Sequence[OwedTask] = ()
    follows: Sequence[str] = ()
    skips: Sequence[str] = ()
    contexts: dict[str, bytes] = field(default_factory=dict[str, bytes])
    results: Sequence[bytes] = ()
    unreadable: str | None = None

    @property
    def begins_afresh(self) -> bool:
        """Whether a retry starts from the entry: nothing of the run has been saved."""
        return self.unreadable is None and not self.runs and self.job.state != "completed"


async def explain(queue: Queue, job_id: str, network: Network | None = None) -> Explanation | None:
    """The job, explained; `None` if the queue does not hold it.

    network: that of the code which would run it (`worker.cns.network`), for what only the graph
    knows.
    """
    job = await queue.record(job_id)
    if job is None:
        return None
    standing, following = _standing(job, queue.clock), _next(job, await queue.paused())
    try:
        progress = await queue.progress(job_id)
        if progress is None or not progress.entries or job.state == "completed":
            return Explanation(job, standing, following)
        progress.check()
    except StoreError as error:
        return Explanation(job, standing, following, unreadable=str(error))
    if job.state == "waiting" and not job.attempts_made:
        standing = "Part of it has run; it waits to go on."
    owed = [_owed(job, progress, key, task, network) for key, task in progress.tasks()]
    follows, skips = _ahead(job, owed, network)
    return Explanation(
        job,
        standing,
        following,
        owed,
        follows,
        skips,
        _contexts(progress, network),
        [bytes(one.payload) for one in progress.results()],
    )


def _owed(
    job: JobRecord, progress: Progress, key: str, task: TaskEntry, network: Network | None
) -> OwedTask:
    mark = progress.start(key)
    return OwedTask(
        key,
        task.neuron,
        task.collateral,
        _payload(task, network),
        progress.error(key),
        0 if mark is None else mark.crashes,
        None if network is None else problem_of(task, network),
        job.state != "dead" and progress.is_held_back(key),
    )


def _payload(task: TaskEntry, network: Network | None) -> bytes:
    """The task's input as the network's code gets it; where it does not, as it was saved."""
    if network is not None:
        with suppress(CnstraError):
            return payload_now(task, network)
    return bytes(task.payload)


def _contexts(progress: Progress, network: Network | None) -> dict[str, bytes]:
    contexts = progress.contexts()
    if network is not None:
        for name in contexts:
            with suppress(CnstraError):
                contexts[name] = context_now(progress, name, network)
    return contexts


def payload_now(task: TaskEntry, network: Network) -> bytes:
    """The task's input, as JSON of the version that its type has now.

    Raises `PayloadTooNew`, and `InvalidPayload` where an upcast fails. What the network does not
    have is left as it is.
    """
    found, payload = network.collaterals.get(network.name_now(task.collateral)), bytes(task.payload)
    return payload if found is None else found.codec.upcast(payload, task.version)


def context_now(progress: Progress, neuron: str, network: Network) -> bytes:
    """The saved context value of a neuron, as JSON of the version that its type has now.

    Raises `PayloadTooNew`, and `InvalidPayload` where an upcast fails. What the network does not
    have is left as it is.
    """
    value = progress.contexts()[neuron]
    codec = network.context_codecs.get(network.renamed_neurons.get(neuron, neuron))
    return value if codec is None else codec.upcast(value, progress.context_version(neuron))


def problem_of(task: TaskEntry, network: Network) -> str | None:
    """Why this network cannot resume the task, if it cannot."""
    try:
        receiver = network.receiver(task.neuron, task.collateral)
        network.collaterals[receiver.collateral_name].codec.decode(payload_now(task, network))
    except CnstraError as error:
        return str(error)
    return None


def _ahead(
    job: JobRecord, owed: Sequence[OwedTask], network: Network | None
) -> tuple[list[str], list[str]]:
    """The neurons that may run after those that are owed, and those that no longer run."""
    if network is None:
        return [], []
    first = {network.renamed_neurons.get(one.neuron, one.neuron) for one in owed}
    after = reached(network, first)
    try:
        entry = network.name_now(entry_in(job.id, job.data).collateral_name)
    except CnstraError:
        return sorted(after - first), []
    entered = {one.neuron_name for one in network.listeners.get(entry, ())}
    whole = entered | reached(network, entered)
    return sorted(after - first), sorted(whole - first - after)


def reached(network: Network, neurons: Iterable[str]) -> set[str]:
    """The neurons that may run after one of these; itself only where a loop leads back to it."""
    found: set[str] = set()
    stack = [name for name in neurons if name in network.neurons]
    while stack:
        for collateral in network.neurons[stack.pop()].collaterals.values():
            for receiver in network.listeners[collateral.name]:
                if receiver.neuron_name not in found:
                    found.add(receiver.neuron_name)
                    stack.append(receiver.neuron_name)
    return found


def _standing(job: JobRecord, clock: Clock) -> str:
    made, of = job.attempts_made, job.max_attempts
    failure = f"Attempt {made} of {of} failed{_because(job)}" if made else ""
    match job.state:
        case "waiting":
            return failure or "No worker has taken it yet."
        case "delayed":
            due = max(0.0, (job.run_at or 0.0) - clock.time())
            span = f"{due:,.0f} s" if due >= 10 else f"{due:.2g} s"
            return f"{failure} It is due in {span}.".lstrip()
        case "active":
            return f"A worker runs attempt {made + 1} of {of}."
        case "completed":
            return f"It is completed{_after(made)}."
        case "dead":
            return f"It is in the dead letters{_after(made)}{_because(job)}"


def _next(job: JobRecord, paused: bool) -> str:
    held = " The queue is paused: it waits until that is resumed." if paused else ""
    match job.state:
        case "waiting":
            return f"The next free worker takes it.{held}"
        case "delayed":
            return f"A worker takes it once it is due.{held}"
        case "active":
            return "Should its worker die, another goes on where it stands once the lease is over."
        case "completed":
            return "Nothing more happens. Clone it to run it again from its entry."
        case "dead":
            return f"Nothing, until somebody redrives it: then it goes on where it stands.{held}"


def _after(attempts: int) -> str:
    if not attempts:
        return ""
    return f" after {attempts} {'attempt' if attempts == 1 else 'attempts'}"


def _because(job: JobRecord) -> str:
    if job.error is None:
        return "."
    name, message = job.error.get("name") or "Error", str(job.error.get("message") or "")
    return f": {name}: {message}".rstrip(".: ") + "."
