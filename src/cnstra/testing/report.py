"""What a crash test has found."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from cnstra.testing.deeds import Repeat
from cnstra.testing.judgement import CONTEXT, RESULT

MOST_SHOWN = 10
MOST_PLACES = 5
SYMPTOMS = (RESULT, CONTEXT)
SEVERAL = "several times by chance"


class CrashTestFailed(AssertionError):
    """The flow does not survive its crashes. The message says at which point, and how to replay."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that went wrong.

    where: the points and what struck there. replay: what to give `crash_everywhere(replay=...)`.
    trace: every step of that run, in order. about: what it is about; the report tells findings
    about the same thing once.
    """

    what: str
    where: str
    replay: str
    trace: tuple[str, ...] = field(repr=False)
    about: str = field(repr=False)

    def __str__(self) -> str:
        return f"{self.what}\n    {self.where}\n    replay={self.replay!r}"


@dataclass(frozen=True, slots=True)
class CrashReport:
    """How a flow fared.

    seed: it gives the same runs again. points: the places at which it was struck, one by one.
    trials: how many runs that made, with those of several faults by chance. deaths: how many
    processes died in them. repeats: which effects were had again under the same key, which the far
    side drops, and for each place how often. findings: what is wrong with the flow. notes: what
    could not be compared. elapsed: seconds.
    """

    engine: str
    seed: int
    points: int
    trials: int
    deaths: int
    repeats: Mapping[Repeat, Mapping[str, int]]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    elapsed: float

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def check(self) -> None:
        """Raise `CrashTestFailed` if anything was found."""
        __tracebackhide__ = True
        if self.findings:
            raise CrashTestFailed(str(self))

    def __str__(self) -> str:
        speed = f"{self.trials / self.elapsed:,.0f} a second" if self.elapsed else "at once"
        lines = [
            f"{self.trials} runs ({self.engine}, seed {self.seed}) of {self.points} points, "
            f"{self.deaths} deaths, {speed}: {_verdict(self.findings)}",
            *_told(self.findings),
            *_repeated(self.repeats),
            *self.notes,
        ]
        return "\n".join(lines)


def _verdict(findings: Iterable[Finding]) -> str:
    runs = len({one.replay for one in findings})
    if not runs:
        return "nothing lost, nothing that was committed done again"
    return f"{runs} of them went wrong" if runs > 1 else "one of them went wrong"


def _told(findings: Iterable[Finding]) -> Iterator[str]:
    """The first finding about each thing, and in how many runs more there is one."""
    alike: dict[str, list[Finding]] = {}
    for one in findings:
        alike.setdefault(one.about, []).append(one)
    causes_first = sorted(alike.values(), key=lambda found: found[0].about in SYMPTOMS)
    for first, *more in causes_first[:MOST_SHOWN]:
        others = len({one.replay for one in more} - {first.replay})
        yield f"{first}, and so in {others} more" if others else str(first)
    if len(alike) > MOST_SHOWN:
        yield f"... and {len(alike) - MOST_SHOWN} things more"


def _repeated(repeats: Mapping[Repeat, Mapping[str, int]]) -> Iterator[str]:
    """A line for each: how often, and where the run was struck, whatever by."""
    for repeat, places in sorted(repeats.items())[:MOST_SHOWN]:
        where: Counter[str] = Counter()
        for place, times in places.items():
            where[place.rpartition(": ")[0] or place] += times
        told = [f"{times} x {place}" for place, times in where.most_common(MOST_PLACES)]
        yield (
            f"effect {repeat.effect!r} of neuron {repeat.neuron!r} was repeated under its key, "
            f"in runs struck {', '.join(told)}{' ...' if len(where) > MOST_PLACES else ''}"
        )
    if len(repeats) > MOST_SHOWN:
        yield f"... and {len(repeats) - MOST_SHOWN} effects more"


def headline(error: Mapping[str, Any] | None) -> str:
    """An error as it was written down, in a line."""
    return "" if error is None else f"{error['name']}: {error['message']}"
