"""What a history needs of the database that it is kept in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from cnstra.history.records import AttemptRow, Note, RunRow, RunState, Story, TaskRow, WorkerRow

__all__ = ["Bounds", "Counted", "HistoryStore", "RunPage", "RunQuery"]

MOST_TASKS = 2_000
"""How many tasks of one run are shown."""


class Tally(NamedTuple):
    """What is counted together: jobs where `neuron` is empty, else its tasks.

    minute: in which they ended, in minutes since the epoch.
    outcome: a `RunState` of jobs, a `TaskOutcome` of tasks.
    bin: of their durations: 0 holds those of up to 0.1 ms, each next one those that are longer by
        up to a quarter; the last is 100.
    """

    queue: str
    minute: int
    neuron: str
    outcome: str
    bin: int


@dataclass(slots=True)
class Batch:
    """What is written at once. A row of an attempt or task replaces the one written before.

    tallies: how many are to be added to each, and their seconds in all.
    """

    attempts: list[AttemptRow] = field(default_factory=list[AttemptRow])
    tasks: list[TaskRow] = field(default_factory=list[TaskRow])
    workers: list[WorkerRow] = field(default_factory=list[WorkerRow])
    notes: list[Note] = field(default_factory=list[Note])
    tallies: dict[Tally, tuple[int, float]] = field(default_factory=dict[Tally, tuple[int, float]])

    def __bool__(self) -> bool:
        return bool(self.attempts or self.tasks or self.workers or self.notes or self.tallies)


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is kept: the oldest runs go first.

    since: seconds since the epoch: runs that nothing has happened to since then go, and counts of
        before.
    runs: how many runs.
    bytes: of rows, about: 200 for each attempt and task, and the text of what is kept of it.
    """

    since: float
    runs: int
    bytes: int


@dataclass(frozen=True, slots=True)
class RunQuery:
    """Which runs to list, newest first.

    queue: its name.
    states: how the last attempt stands; in any way, if none is named.
    text: the beginning of a job's id; those are listed in the order of their ids instead.
    neuron: where the last attempt failed.
    fingerprint: how: that of errors alike, which differ in numbers, ids and quoted values only.
    since: seconds since the epoch; nothing that began before.
    cursor: what `RunPage.next` was on the page before; empty for the first one.
    limit: runs on a page.

    >>> page = await history.runs(RunQuery("orders", states=("dead",), limit=20))
    """

    queue: str
    states: tuple[RunState, ...] = ()
    text: str = ""
    neuron: str = ""
    fingerprint: str = ""
    since: float | None = None
    cursor: str = ""
    limit: int = 50


@dataclass(frozen=True, slots=True)
class RunPage:
    """A page of runs.

    next: the cursor of the page after; empty on the last one.
    """

    runs: Sequence[RunRow]
    next: str


class Counted(NamedTuple):
    """A sum of tallies over a span of time.

    neuron, outcome, bin: as in `Tally`.
    times: how many ended so.
    seconds: how long they took, in all.
    """

    neuron: str
    outcome: str
    bin: int
    times: int
    seconds: float


class HistoryStore(Protocol):
    """Where a history is kept. All calls come from one event loop.

    What cannot be reached raises `StoreUnavailable`; the caller tries again, or does without.
    """

    async def open(self) -> None:
        """Connect, and make what is missing."""
        ...

    async def close(self) -> None:
        """Let go of everything. Harmless when called twice."""
        ...

    async def write(self, batch: Batch) -> None:
        """Write the batch, whole or not at all."""
        ...

    async def prune(self, bounds: Bounds) -> int:
        """Drop what is over the bounds, in part; how many runs went."""
        ...

    async def runs(self, query: RunQuery) -> RunPage:
        """A page of those that the query asks for."""
        ...

    async def story(self, run: str) -> Story | None:
        """All that is kept of a run; `None`: nothing."""
        ...

    async def newest_run(self, queue: str, job: str) -> str | None:
        """The id of the newest run of a job; `None` where none is kept."""
        ...

    async def counted(self, queue: str, since: float) -> Sequence[Counted]:
        """Sums by neuron, outcome and bin, since then."""
        ...

    async def by_minute(self, queue: str, since: float) -> Mapping[tuple[int, str], int]:
        """How many jobs ended since then, by (minute since the epoch, outcome)."""
        ...

    async def running(self, queue: str, since: float) -> Mapping[str, int]:
        """How many tasks run now, by neuron, on workers that were seen since then."""
        ...

    async def workers(self, since: float) -> Sequence[WorkerRow]:
        """The workers that were seen since then."""
        ...


def size_of(row: AttemptRow | TaskRow) -> int:
    """About how many bytes a row takes, by which a history is bounded."""
    error = row.error
    size = 200 + (len(error.message) + len(error.stack) if error is not None else 0)
    if isinstance(row, AttemptRow):
        return size + _length(row.payload)
    outputs = sum(_length(one.payload) + 40 * len(one.keys) for one in row.outputs)
    return size + _length(row.input) + _length(row.context) + outputs


def _length(payload: object) -> int:
    return len(getattr(payload, "text", None) or "")
