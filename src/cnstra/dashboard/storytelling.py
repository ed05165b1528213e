"""From what is kept of a run to how it is shown: a waterfall of tasks, a tree of signals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cnstra.history.records import AttemptRow, Output, Story, TaskRow

MOST_LANES = 60
"""How many tasks of an attempt have lanes of their own: of more, those that are alike share one."""

MOST_BARS = 500
"""How many tasks of an attempt have a bar, beside those that went wrong."""

NARROWEST = 0.4
"""The width of the shortest bar, in percent."""

MOST_SIGNALS = 20
"""How many signals of a task are shown at once."""

DEEPEST = 8
"""How many tasks a tree is deep. What comes after them is a tree of its own."""

WORST = ("failed", "cut off", "interrupted", "active", "done")
"""How tasks end, the worst first."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A task in the waterfall. start, width: in percent of its attempt."""

    start: float
    width: float
    state: str


@dataclass(frozen=True, slots=True)
class Lane:
    """A task in the waterfall, or several that are alike. seconds: from their first start to their
    last end; `None` while one runs. depth: how far inside. state: of the one that ended worst.
    """

    neuron: str
    collateral: str
    depth: int
    bars: Sequence[Bar]
    times: int
    failed: int
    state: str
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Waterfall:
    """An attempt, and its tasks."""

    attempt: AttemptRow
    lanes: Sequence[Lane]
    seconds: float


@dataclass(slots=True)
class Branch:
    """A task in the tree, in its last attempt, and the signals that it emitted.

    times: in how many attempts it started. inner: the tasks of its inner runs.
    is_whole: whether it and all that it led to is done.
    """

    task: TaskRow
    state: str
    times: int
    signals: list["Twig"] = field(default_factory=list["Twig"])
    inner: list["Branch"] = field(default_factory=list["Branch"])
    is_whole: bool = True

    @property
    def shown(self) -> Sequence["Twig"]:
        """The signals that are shown at once: before all those that led to trouble."""
        return self._worst_first()[:MOST_SIGNALS]

    @property
    def folded(self) -> Sequence["Twig"]:
        """The others."""
        return self._worst_first()[MOST_SIGNALS:]

    def _worst_first(self) -> Sequence["Twig"]:
        return sorted(self.signals, key=lambda twig: twig.is_whole)


@dataclass(slots=True)
class Twig:
    """An emitted signal, and the tasks that it led to. unstarted: how many have not begun.

    elsewhere: those of the tasks that are the roots of other trees.
    """

    output: Output
    branches: list[Branch]
    unstarted: int
    elsewhere: list[Branch] = field(default_factory=list[Branch])

    @property
    def is_whole(self) -> bool:
        """Whether all that it led to is done."""
        return not self.unstarted and all(one.is_whole for one in self.branches)


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
    depths = _depths(tasks)
    alike: dict[object, list[TaskRow]] = {}
    for task in tasks:
        kind = (task.neuron, task.collateral, depths[task.key])
        alike.setdefault(kind if len(tasks) > MOST_LANES else id(task), []).append(task)
    lanes = [
        _lane(group, attempt, (begin, end), depths[group[0].key], MOST_BARS // len(alike))
        for group in alike.values()
    ]
    return Waterfall(attempt, lanes, end - begin)


def _lane(
    tasks: Sequence[TaskRow], attempt: AttemptRow, span: tuple[float, float], depth: int, most: int
) -> Lane:
    """Tasks that are alike. The worst are drawn last, over the others."""
    states = [state_of(one, attempt) for one in tasks]
    bars = [_bar(*one, span) for one in zip(tasks, states, strict=True)]
    bars.sort(key=lambda bar: -WORST.index(bar.state))
    wrong = sum(one != "done" for one in states)
    ends = [one.ended_at for one in tasks if one.ended_at is not None]
    is_over = len(ends) == len(tasks)
    return Lane(
        tasks[0].neuron,
        tasks[0].collateral,
        depth,
        bars[-max(1, wrong, most) :],
        len(tasks),
        states.count("failed"),
        bars[-1].state,
        max(ends) - min(one.started_at for one in tasks) if is_over else None,
    )


def _bar(task: TaskRow, state: str, span: tuple[float, float]) -> Bar:
    begin, end = span
    whole = max(end - begin, 1e-6)
    start = min(100 * (task.started_at - begin) / whole, 100 - NARROWEST)
    over = task.ended_at if task.ended_at is not None else end
    width = max(NARROWEST, 100 * (over - task.started_at) / whole)
    return Bar(start, min(width, 100 - start), state)


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
    for branch in reversed(branches.values()):  # what a task led to began after it
        branch.is_whole = (
            branch.state == "done"
            and all(twig.is_whole for twig in branch.signals)
            and all(one.is_whole for one in branch.inner)
        )
    return _cut(roots)


def _cut(roots: Sequence[Branch]) -> list[Branch]:
    """The same as trees that are not too deep."""
    trees: list[Branch] = []
    waiting = list(reversed(roots))
    while waiting:
        root = waiting.pop()
        trees.append(root)
        cut: list[Branch] = []
        stack = [(root, 1)]
        while stack:
            branch, depth = stack.pop()
            stack += [(one, depth + 1) for one in branch.inner]
            for twig in branch.signals:
                if depth >= DEEPEST:
                    cut += twig.branches
                    twig.elsewhere, twig.branches = twig.branches, []
                stack += [(one, depth + 1) for one in twig.branches]
        waiting += reversed(cut)
    return trees
