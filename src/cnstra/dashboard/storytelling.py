"""From what is kept of a run to how it is shown: a waterfall of tasks, a tree of signals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cnstra.history.records import AttemptRow, Output, Story, TaskRow

MOST_BARS = 200
"""How many tasks of an attempt have a bar."""

NARROWEST = 0.4
"""The width of the shortest bar, in percent."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A task in the waterfall. start, width: in percent of its attempt; `depth`: how far inside."""

    task: TaskRow
    start: float
    width: float
    state: str
    depth: int


@dataclass(frozen=True, slots=True)
class Waterfall:
    """An attempt, and its tasks as bars."""

    attempt: AttemptRow
    bars: Sequence[Bar]
    seconds: float
    more: int


@dataclass(slots=True)
class Branch:
    """A task in the tree, in its last attempt, and the signals that it emitted.

    times: in how many attempts it started. inner: the tasks of its inner runs.
    """

    task: TaskRow
    state: str
    times: int
    signals: list["Twig"] = field(default_factory=list["Twig"])
    inner: list["Branch"] = field(default_factory=list["Branch"])


@dataclass(slots=True)
class Twig:
    """An emitted signal, and the tasks that it led to. unstarted: how many have not begun."""

    output: Output
    branches: list[Branch]
    unstarted: int


def waterfalls(story: Story, now: float) -> list[Waterfall]:
    """Each attempt with its tasks, on a scale of its own."""
    by_attempt: dict[str, list[TaskRow]] = {one.id: [] for one in story.attempts}
    for task in story.tasks:
        by_attempt.setdefault(task.attempt, []).append(task)
    return [_waterfall(one, by_attempt[one.id], now) for one in story.attempts]


def _waterfall(attempt: AttemptRow, tasks: Sequence[TaskRow], now: float) -> Waterfall:
    begin = min([attempt.started_at, *(one.started_at for one in tasks)])
    last = max([begin, *(one.ended_at or one.started_at for one in tasks)])
    end = max(last, attempt.ended_at or (now if attempt.outcome == "active" else last))
    whole = max(end - begin, 1e-6)
    depths = _depths(tasks)
    bars: list[Bar] = []
    for task in tasks[:MOST_BARS]:
        start = 100 * (task.started_at - begin) / whole
        over = task.ended_at if task.ended_at is not None else end
        width = max(NARROWEST, 100 * (over - task.started_at) / whole)
        start = min(start, 100 - NARROWEST)
        state = state_of(task, attempt)
        bars.append(Bar(task, start, min(width, 100 - start), state, depths[task.key]))
    return Waterfall(attempt, bars, end - begin, max(0, len(tasks) - MOST_BARS))


def _depths(tasks: Sequence[TaskRow]) -> Mapping[str, int]:
    """How many inner runs each task is inside of."""
    depths: dict[str, int] = {}
    for task in tasks:
        depths[task.key] = 0 if task.outer is None else depths.get(task.outer, 0) + 1
    return depths


def state_of(task: TaskRow, attempt: AttemptRow | None) -> str:
    """How a task ended. One without an end runs, or was running when its process died."""
    if task.outcome is not None:
        return task.outcome
    return "active" if attempt is not None and attempt.outcome == "active" else "cut off"


def tree(story: Story) -> list[Branch]:
    """The tasks of the run by who led to whom, from those that the entry led to."""
    attempts = {one.id: one for one in story.attempts}
    times: dict[str, int] = {}
    newest: dict[str, TaskRow] = {}
    for task in story.tasks:
        times[task.key] = times.get(task.key, 0) + 1
        newest[task.key] = task
    branches = {
        key: Branch(task, state_of(task, attempts.get(task.attempt)), times[key])
        for key, task in newest.items()
    }
    led_to: set[str] = set()
    for branch in branches.values():
        for output in branch.task.outputs:
            found = [branches[key] for key in output.keys if key in branches]
            led_to.update(one.task.key for one in found)
            branch.signals.append(Twig(output, found, len(output.keys) - len(found)))
    roots: list[Branch] = []
    for key, branch in branches.items():
        if key in led_to:
            continue
        outer = branches.get(branch.task.outer or "")
        (roots if outer is None else outer.inner).append(branch)
    return roots
