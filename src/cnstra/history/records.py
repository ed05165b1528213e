"""What is kept of a run: its attempts, and the tasks of each. Times are seconds since the epoch."""

from typing import Literal

import msgspec

RunState = Literal["active", "completed", "retried", "requeued", "dead", "lost", "cut off"]
"""How the last attempt stands. active: it runs. retried: it failed, and another is due. requeued:
given back, as at a shutdown. lost: another worker had taken the job. cut off: its process died."""

RUN_STATES: tuple[RunState, ...] = (
    "active", "completed", "retried", "requeued", "dead", "lost", "cut off",
)  # fmt: skip

TaskOutcome = Literal["done", "failed", "interrupted"]


class Payload(msgspec.Struct, frozen=True, gc=False):
    """JSON as it was kept. `size`: bytes of the whole; `text` is shorter where it was cut, `None`
    where it was left out.
    """

    text: str | None
    size: int

    @property
    def is_cut(self) -> bool:
        """Whether only its beginning was kept."""
        return self.text is not None and len(self.text.encode()) < self.size


class Error(msgspec.Struct, frozen=True, gc=False):
    """An error as it was written down."""

    name: str
    message: str
    stack: str = ""


class Output(msgspec.Struct, frozen=True, gc=False):
    """A signal that a task emitted, and the keys of the tasks that it led to."""

    collateral: str
    payload: Payload | None = None
    keys: tuple[str, ...] = ()


class TaskRow(msgspec.Struct, gc=False):
    """One activation in one attempt. `ended_at` and `outcome` are `None` while it runs.

    run, queue, worker: those of its attempt.

    outer: the key of the activation whose inner run it is part of. context: the neuron's value
    after it, where it wrote one; `removed` where it deleted it.
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
        """How long it took."""
        return None if self.ended_at is None else max(0.0, self.ended_at - self.started_at)


class AttemptRow(msgspec.Struct, gc=False):
    """One attempt at a run. `outcome` is `active` until its end is known.

    number: which attempt it is, by the job's count: one that was cut off shares its number with
        the next.
    neuron: that of the task whose error it was.
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
    """A run, as a list shows it. `seq` rises with each new run."""

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
    """A worker. `dropped`: records that its history had no room for."""

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
    """Something that a person did to a run."""

    run: str
    at: float
    by: str
    text: str


class Story(msgspec.Struct, gc=False):
    """All that is kept of one run: its attempts and tasks in the order in which they started.

    more: whether there are tasks beyond those.
    """

    run: RunRow
    attempts: list[AttemptRow]
    tasks: list[TaskRow]
    notes: list[Note]
    more: bool = False
