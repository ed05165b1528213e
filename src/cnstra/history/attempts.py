"""One attempt, as its worker tells of it. What is told costs an append; the rest is done later."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from cnstra.clock import Clock
from cnstra.history.records import RunState, TaskOutcome


class Emitted(NamedTuple):
    """A signal that was emitted: its payload as JSON, the keys of the tasks that it leads to."""

    collateral: str
    payload: bytes | None
    keys: Sequence[str]


class Begun(NamedTuple):
    """A task that has started. `at` is by the clock's `monotonic`."""

    key: str
    neuron: str
    collateral: str
    payload: bytes | None
    hops: int
    outer: str | None
    at: float


class Ended(NamedTuple):
    """A task that is over. context: the neuron's value after it, if it wrote one."""

    attempt: "AttemptLog"
    begun: Begun
    at: float
    outcome: TaskOutcome
    outputs: Sequence[Emitted]
    context: bytes | None
    error: Mapping[str, Any] | None


class AttemptEnded(NamedTuple):
    """An attempt that is settled."""

    attempt: "AttemptLog"
    at: float
    outcome: RunState
    error: Mapping[str, Any] | None
    retry_in: float | None


class Sink(Protocol):
    """Takes what is told. Never blocks and never raises."""

    clock: Clock

    def post(self, told: Ended | AttemptEnded, size: int) -> None: ...

    def leave(self, attempt: "AttemptLog") -> None: ...


class Subject(NamedTuple):
    """What an attempt is about."""

    run: str
    queue: str
    job: str
    number: int
    created_at: float
    collateral: str
    payload: bytes | None


class AttemptLog:
    """What one attempt does. Tasks that run are looked at where they are, not told of."""

    __slots__ = (
        "_sink", "_zero", "begun_at", "failed_neuron", "id", "now", "running", "shown", "subject",
        "worker", "written",
    )  # fmt: skip

    def __init__(self, sink: Sink, worker: str, subject: Subject) -> None:
        clock = sink.clock
        self._sink = sink
        self._zero = clock.time() - clock.monotonic()
        self.id = clock.new_id()
        self.worker = worker
        self.subject = subject
        self.now = clock.monotonic
        """Seconds that never run backwards."""
        self.begun_at = self.now()
        self.running: dict[str, Begun] = {}
        self.failed_neuron: str | None = None
        """The neuron of the first task that failed."""
        self.written = False
        self.shown: set[str] = set()
        """The writer's: whether it has written of the attempt, and of which running tasks."""

    # --- on the run's thread

    def began(self, task: Begun) -> None:
        """A task has started."""
        self.running[task.key] = task

    def ended(
        self,
        key: str,
        outcome: TaskOutcome,
        outputs: Sequence[Emitted] = (),
        context: bytes | None = None,
        error: Mapping[str, Any] | None = None,
    ) -> None:
        """A task is over."""
        begun = self.running.pop(key, None)
        if begun is None:
            return
        if outcome == "failed" and self.failed_neuron is None:
            self.failed_neuron = begun.neuron
        size = 0 if begun.payload is None else len(begun.payload)
        for one in outputs:
            if one.payload is not None:
                size += len(one.payload)
        self._sink.post(Ended(self, begun, self.now(), outcome, outputs, context, error), size)

    # --- on any thread

    def settled(
        self,
        outcome: RunState,
        error: Mapping[str, Any] | None = None,
        retry_in: float | None = None,
    ) -> None:
        """The attempt is over, and its broker knows."""
        self._sink.post(AttemptEnded(self, self.now(), outcome, error, retry_in), 0)
        self._sink.leave(self)

    def time_of(self, at: float) -> float:
        """A moment of `monotonic`, as seconds since the epoch."""
        return self._zero + at
