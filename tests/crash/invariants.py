"""What must hold of every job, whatever befell its workers. Each check yields its complaints."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.crash.names import descends, is_inside, run_of
from tests.crash.witness import Line

Place = tuple[str, str, str]
"""An activation: its name, its predecessor's, its neuron's."""

OVER = ("completed", "dead")
TERMINAL = (*OVER, "waiting", "delayed")


class NeverEnds(AssertionError):
    """A run without a fault does not come to an end."""


@dataclass(frozen=True)
class Expected:
    """What a run without a fault comes to: a serial replay of each job. `job` is its job's name.

    keys: of each activation. contexts: the last value of each
    neuron in each run, inner ones too. starts: how many. lives: how many workers it takes.
    """

    job: str
    state: str
    result: Any
    ends: frozenset[str]
    keys: Mapping[Place, frozenset[str]]
    contexts: Mapping[tuple[str, str], tuple[str, ...]]
    starts: int
    lives: int

    @classmethod
    def of(
        cls, job: str, state: str | None, result: Any, lines: Sequence[Line], lives: int
    ) -> "Expected":
        """Raises `NeverEnds`."""
        if state not in OVER:
            raise NeverEnds(f"it is {state}, though nothing befell it")
        return cls(
            job,
            state,
            without_job(result),
            frozenset(one.at for one in lines if one.what == "end"),
            _keys(lines),
            _contexts(lines),
            sum(one.what == "start" for one in lines),
            lives,
        )


@dataclass(frozen=True)
class Evidence:
    """One job, after all that befell it. lines: those of the log that are about it, in order.

    same_run: whether its run has the id of the expected one's, and so the same keys.
    left: entries of progress that are still stored. lives: of how many workers, of `limit` at most.
    checkpoints: the neurons that are saved before they start. befell: whether anything did.
    """

    expected: Expected
    durability: str
    state: str | None
    result: Any
    lines: Sequence[Line]
    left: int = 0
    lives: int = 1
    limit: int = 1
    checkpoints: frozenset[str] = frozenset()
    befell: bool = True
    same_run: bool = False


Check = Callable[[Evidence], Iterator[str]]


def every_job_ends(job: Evidence) -> Iterator[str]:
    """Every accepted job ends completed, dead-lettered or waiting."""
    if job.state not in TERMINAL:
        yield f"it is {job.state}"


def committed_never_starts_again(job: Evidence) -> Iterator[str]:
    """A worker starts what the run owed when it loaded it, and what becomes of that; nothing else.

    Under "step" and around a checkpoint neuron the log alone shows it too: once an activation has
    started, none that it descends from starts any more, save on a worker that has lost the run and
    not heard of it yet.
    """
    owed: dict[int, tuple[str, ...]] = {}
    started: dict[str, str] = {}
    for line, holder in _with_holders(job.lines):
        if line.what == "load":
            owed[line.life] = line.frontier
        if line.what != "start":
            continue
        frontier = owed.get(line.life)
        if frontier is not None and not any(descends(line.at, one) for one in frontier):
            yield f"{line.at} started, of a run that owed {', '.join(frontier) or 'nothing'}"
        for one, neuron in started.items():
            if (
                holder not in (None, line.life)
                or one == line.at
                or not descends(one, line.at)
                or is_inside(one)
            ):
                continue
            if job.durability == "step" or job.checkpoints & {neuron, line.neuron}:
                yield f"{line.at} started after {one} had"
        started[line.at] = line.neuron


def nothing_starts_twice_unless_something_befell(job: Evidence) -> Iterator[str]:
    """A failure, a stop or a redrive repeats what had failed or been stopped, at any durability."""
    starts = sum(one.what == "start" for one in job.lines)
    if not job.befell and starts != job.expected.starts:
        yield f"{starts} starts, not {job.expected.starts}"


def results_are_exact(job: Evidence) -> Iterator[str]:
    """Results equal those of a run without faults."""
    found = (job.state, without_job(job.result))
    if found != (job.expected.state, job.expected.result):
        yield f"it ended {found}, not {(job.expected.state, job.expected.result)}"


def no_branch_is_lost_or_invented(job: Evidence) -> Iterator[str]:
    """Each activation had its effect, and no other did."""
    found = {one.at for one in job.lines if one.what == "end"}
    if lost := job.expected.ends - found:
        yield f"lost: {', '.join(sorted(lost))}"
    if invented := found - job.expected.ends:
        yield f"invented: {', '.join(sorted(invented))}"


def context_is_that_of_a_serial_replay(job: Evidence) -> Iterator[str]:
    """The last value of each neuron holds each of its visits once."""
    found = _contexts(job.lines)
    for place, value in job.expected.contexts.items():
        if found.get(place) != value:
            yield f"the context of {' in '.join(place)} is {found.get(place)}, not {value}"


def keys_are_the_same(job: Evidence) -> Iterator[str]:
    """An activation has one idempotency key, on every attempt, in every process."""
    for place, keys in _keys(job.lines).items():
        if len(keys) > 1:
            yield f"{place} had the keys {', '.join(sorted(keys))}"
        expected = job.expected.keys.get(place)
        if job.same_run and expected is not None and keys != expected:
            yield f"the key of {place} is another than without a fault"


def a_stale_epoch_never_writes(job: Evidence) -> Iterator[str]:
    """No write lands that was sent when the run had been loaded once more."""
    newest, sent = 0, dict[int, int]()
    for line in job.lines:
        if line.what == "load":
            newest = max(newest, line.epoch)
        elif line.what == "sent":
            sent[line.life] = newest
        elif line.what == "written" and line.epoch < sent.get(line.life, 0):
            yield f"a write of epoch {line.epoch} landed after epoch {sent[line.life]} had begun"


def time_to_terminal_is_bounded(job: Evidence) -> Iterator[str]:
    """It took no more workers than faults befell, and those that it takes without any."""
    if job.lives > job.limit:
        yield f"it took {job.lives} workers, of {job.limit} at most"


def the_store_is_empty_after_completion(job: Evidence) -> Iterator[str]:
    """A finished run leaves its result and nothing else."""
    if job.state == "completed" and job.left:
        yield f"{job.left} entries of progress are left"


INVARIANTS: Mapping[str, Check] = {
    check.__name__.replace("_", " "): check
    for check in (
        every_job_ends,
        committed_never_starts_again,
        nothing_starts_twice_unless_something_befell,
        results_are_exact,
        no_branch_is_lost_or_invented,
        context_is_that_of_a_serial_replay,
        keys_are_the_same,
        a_stale_epoch_never_writes,
        time_to_terminal_is_bounded,
        the_store_is_empty_after_completion,
    )
}
SAME_TRACE = "the same seed gives the same trace"
QUIET_END = "without a fault it ends"
"""Not of a job, but of the run without faults, with which others are compared."""


def complaints(job: Evidence) -> Iterator[str]:
    """What is wrong with a job: the invariant that it breaks, and how."""
    for name, check in INVARIANTS.items():
        for complaint in check(job):
            yield f"{name}: {complaint}"


def trace_complaints(one: Sequence[Line], other: Sequence[Line]) -> Iterator[str]:
    """The last: two runs of one seed are told alike."""
    for place, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            yield f"{SAME_TRACE}: line {place} is {left}, and then {right}"
            return
    if len(one) != len(other):
        yield f"{SAME_TRACE}: {len(one)} lines, and then {len(other)}"


# --- reading a log


def without_job(result: Any) -> Any:
    """A result with its job's name left out, so that those of two jobs can be compared."""
    if result is None:
        return None
    return [{**each, "job": ""} for each in result["results"]]


def _with_holders(lines: Iterable[Line]) -> Iterator[tuple[Line, int | None]]:
    """Each line, and the worker that held the run by then: the one of the newest epoch, as one that
    has loaded a run may be slow to say so.
    """
    holder, newest = None, 0
    for line in lines:
        if line.what == "load" and line.epoch >= newest:
            holder, newest = line.life, line.epoch
        yield line, holder


def _of_the_holder(lines: Iterable[Line]) -> Iterator[Line]:
    """Without what a worker did after another had taken its job over."""
    return (line for line, holder in _with_holders(lines) if holder in (None, line.life))


def _keys(lines: Iterable[Line]) -> Mapping[Place, frozenset[str]]:
    found: dict[Place, set[str]] = defaultdict(set)
    for line in lines:
        if line.what == "start":
            found[line.at, line.by, line.neuron].add(line.key)
    return {place: frozenset(keys) for place, keys in found.items()}


def _contexts(lines: Iterable[Line]) -> Mapping[tuple[str, str], tuple[str, ...]]:
    ends = (line for line in _of_the_holder(lines) if line.what == "end")
    return {(line.neuron, run_of(line.at)): line.seen for line in ends}
