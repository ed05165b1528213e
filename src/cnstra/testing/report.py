"""What a crash test has found."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cnstra.testing.judgement import Repeat

MOST_SHOWN = 10


class CrashTestFailed(AssertionError):
    """The flow does not survive its crashes. The message says at which point, and how to replay."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that went wrong.

    where: the points and what struck there. replay: what to give `crash_everywhere(replay=...)`.
    trace: every step of that run, in order.
    """

    what: str
    where: str
    replay: str
    trace: tuple[str, ...] = field(repr=False)

    def __str__(self) -> str:
        return f"{self.what}\n    {self.where}\n    replay={self.replay!r}"


@dataclass(frozen=True, slots=True)
class CrashReport:
    """How a flow fared.

    seed: it gives the same runs again. points: the places at which it was struck, one by one.
    trials: how many runs that made, with those of several faults by chance. deaths: how many
    processes died in them. repeats: which effects were had again under the same key, which the far
    side drops, and for each place how often. findings: what is wrong with the flow. elapsed:
    seconds.
    """

    engine: str
    seed: int
    points: int
    trials: int
    deaths: int
    repeats: Mapping[Repeat, Mapping[str, int]]
    findings: tuple[Finding, ...]
    elapsed: float

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def check(self) -> None:
        """Raise `CrashTestFailed` if anything was found."""
        if self.findings:
            raise CrashTestFailed(str(self))

    def __str__(self) -> str:
        speed = f"{self.trials / self.elapsed:,.0f} a second" if self.elapsed else "at once"
        lines = [
            f"{self.trials} runs ({self.engine}, seed {self.seed}) of {self.points} points, "
            f"{self.deaths} deaths, {speed}: {_verdict(self.findings)}"
        ]
        lines += [str(one) for one in self.findings[:MOST_SHOWN]]
        if len(self.findings) > MOST_SHOWN:
            lines.append(f"... and {len(self.findings) - MOST_SHOWN} more")
        for repeat, places in sorted(self.repeats.items()):
            lines.append(
                f"effect {repeat.effect!r} of neuron {repeat.neuron!r} was repeated under its key:"
            )
            lines += [f"    {times} x {place}" for place, times in sorted(places.items())]
        return "\n".join(lines)


def _verdict(findings: Iterable[Finding]) -> str:
    counts = Counter(one.what for one in findings)
    if not counts:
        return "nothing lost, nothing that was committed done again"
    return f"{counts.total()} failed" if len(counts) > 1 else f"{counts.total()} failed, all alike"


def headline(error: Mapping[str, Any] | None) -> str:
    """An error as it was written down, in a line."""
    return "" if error is None else f"{error['name']}: {error['message']}"
