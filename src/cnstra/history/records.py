"""What is kept of a run: its attempts, and the tasks of each. Times are seconds since the epoch."""

from typing import Literal

import msgspec

RunState = Literal["active", "completed", "retried", "requeued", "dead", "lost", "cut off"]
"""How the last attempt stands. active: it runs. retried: it failed, and another is due. requeued:
given back, as at a shutdown. lost: another worker had taken the job. cut off: its process died."""

RUN_STATES: tuple[RunState, ...] = (
    "active", "completed", "retried", "requeued", "dead", "lost", "cut off",
)  # fmt: skip
"""All of them."""

TaskOutcome = Literal["done", "failed", "interrupted"]
"""How a task ended. interrupted: by an abort; it is owed still."""


class Payload(msgspec.Struct, frozen=True, gc=False):
    """JSON as it was kept.

    text: shorter than `size` where it was cut; `None` where it was left out.
    size: bytes of the whole.
    """

    text: str | None
    size: int

    @property
    def is_cut(self) -> bool:
        """Whether only its beginning was kept."""
        return self.text is not None and len(self.text.encode()) < self.size


class Error(msgspec.Struct, frozen=True, gc=False):
    """An error as it was written down.

    name: of its class.
    message: what it said.
    stack: its traceback; empty where only a list of runs is read.
    """

    name: str
    message: str
    stack: str = ""


class Output(msgspec.Struct, frozen=True, gc=False):
    """A signal that a task emitted.

    collateral: its name.
    payload: what is kept of it.
    keys: the keys of the tasks that it led to.
    """

    collateral: str
    payload: Payload | None = None
    keys: tuple[str, ...] = ()


class TaskRow(msgspec.Struct, gc=False):
    """One activation in one attempt. `ended_at` and `outcome` are `None` while it runs.

    attempt: the id of its attempt, whose `run`, `queue` and `worker` it has too.
    key: the same for the same activation in each attempt at the run.
    neuron, collateral: whose dendrite it was, and on what.
    hops: how many neurons the run went through to it; 1 for those that its entry leads to.
    started_at, ended_at: seconds since the epoch.
    outer: the key of the activation whose inner run it is part of.
    input: the payload; `None` in an inner run, whose payloads may be any object.
    outputs: what it emitted, in order.
    context: the neuron's value after it, where it wrote one.
    """

    attempt: str
    key: str
    neuron: str
    collateral: str
    hops: int
    started_at: float
    ended_at: float | None = None
    outcome: TaskOutcome | None = None
    outer: str | None = None
    input: Payload | None = None
    outputs: tuple[Output, ...] = ()
    context: Payload | None = None
    error: Error | None = None
    run: str = ""
    queue: str = ""
    worker: str = ""

    @property
    def seconds(self) -> float | None:
        """How long it took, in seconds; `None` while it runs."""
        return None if self.ended_at is None else max(0.0, self.ended_at - self.started_at)


class AttemptRow(msgspec.Struct, gc=False):
    """One attempt at a run. `outcome` is `active` until its end is known.

    number: which attempt it is, by the job's count: one that was cut off shares its number with
        the next.
    worker: the id of the worker that made it.
    created_at: when the job was enqueued; that and the others are seconds since the epoch.
    collateral, payload: of the signal that the run began with.
    neuron: that of the task whose error it was.
    retry_at: when the next attempt is due, where there is one.
    """

    id: str
    run: str
    queue: str
    job: str
    number: int
    worker: str
    created_at: float
    started_at: float
    collateral: str = ""
    payload: Payload | None = None
    ended_at: float | None = None
    outcome: RunState = "active"
    error: Error | None = None
    neuron: str | None = None
    retry_at: float | None = None


class RunRow(msgspec.Struct, gc=False):
    """A run, as a list shows it.

    seq: rises with each new run.
    state: how its last attempt stands.
    attempts: the number of that one.
    created_at, started_at, updated_at: when the job was enqueued, when its first attempt began, and
        when something was last heard of it, in seconds since the epoch.
    collateral, payload: of the signal that it began with.
    neuron, error: where and how the last attempt failed; the error is without its traceback.
    """

    seq: int
    run: str
    queue: str
    job: str
    state: RunState
    attempts: int
    created_at: float
    started_at: float
    updated_at: float
    collateral: str
    payload: Payload | None = None
    neuron: str | None = None
    error: Error | None = None


class WorkerRow(msgspec.Struct, gc=False):
    """A worker.

    host, pid: the machine and the process that it is in.
    concurrency: how many jobs it runs at a time.
    started_at, seen_at, stopped_at: seconds since the epoch; `None` while it goes on.
    dropped: how many records its history had no room for.
    """

    id: str
    queue: str
    host: str
    pid: int
    concurrency: int
    started_at: float
    seen_at: float
    stopped_at: float | None = None
    dropped: int = 0


class Note(msgspec.Struct, gc=False):
    """Something that a person did to a run.

    at: seconds since the epoch.
    by: the name of the person.
    text: what it was.
    """

    run: str
    at: float
    by: str
    text: str


class Story(msgspec.Struct, gc=False):
    """All that is kept of one run: its attempts and tasks in the order in which they started.

    tasks: of all attempts; 2,000 at most.
    notes: what people did to it.
    more: whether there are tasks beyond those.
    """

    run: RunRow
    attempts: list[AttemptRow]
    tasks: list[TaskRow]
    notes: list[Note]
    more: bool = False
