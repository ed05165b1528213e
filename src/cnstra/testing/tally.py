"""Counts the runs of a crash test, and judges each of them."""

from collections import Counter, defaultdict
from collections.abc import Iterable

from cnstra.testing.faults import DEATHS
from cnstra.testing.judgement import Repeat, View, complaints, repeats
from cnstra.testing.observation import Observation
from cnstra.testing.report import CrashReport, CrashTestFailed, Finding

SEVERAL = "in runs with several faults by chance"


class Tally:
    """What came of the runs so far. points: how many of the flow's moments were tried."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._trials = self._deaths = 0
        self._repeats: dict[Repeat, Counter[str]] = defaultdict(Counter)
        self._findings: list[Finding] = []
        self.points = 0

    def require_well(self, seen: Observation) -> None:
        """Raise `CrashTestFailed` unless the job ends well where nothing strikes it."""
        wrong = list(complaints(seen, seen, self._view))
        if wrong:
            raise CrashTestFailed(f"Without any fault {'; '.join(wrong)}.")

    def add(
        self, seen: Observation, calm: Observation, replay: str, wrong: Iterable[str] = ()
    ) -> None:
        """Judge a run by the one without faults. wrong: what else is known to be."""
        self._trials += 1
        self._deaths += sum(fault in DEATHS for _, fault in seen.struck)
        where = "; ".join(f"{point}: {fault}" for point, fault in seen.struck)
        self.find((*complaints(seen, calm, self._view), *wrong), where, replay, seen)
        one = f"{seen.struck[0][0].place}: {seen.struck[0][1]}" if seen.struck else ""
        for repeat in repeats(seen):
            self._repeats[repeat][one if len(seen.struck) == 1 else SEVERAL] += 1

    def compare(self, seen: Observation, calm: Observation, where: str, replay: str) -> None:
        """Judge a run in which nothing struck either."""
        self.find(complaints(seen, calm, self._view), where, replay, seen)

    def find(self, wrong: Iterable[str], where: str, replay: str, seen: Observation) -> None:
        trace = tuple(seen.trace)
        self._findings += [Finding(what, where, replay, trace) for what in dict.fromkeys(wrong)]

    def report(self, engine: str, seed: int, elapsed: float) -> CrashReport:
        return CrashReport(
            engine=engine,
            seed=seed,
            points=self.points,
            trials=self._trials,
            deaths=self._deaths,
            repeats={repeat: dict(places) for repeat, places in self._repeats.items()},
            findings=tuple(self._findings),
            elapsed=elapsed,
        )
