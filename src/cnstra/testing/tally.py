"""Counts the runs of a crash test, and judges each of them."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from cnstra.testing.complaint import Complaint
from cnstra.testing.deeds import Repeat, collisions, repeats
from cnstra.testing.faults import DEATHS
from cnstra.testing.judgement import Other, View, complaints
from cnstra.testing.observation import Observation
from cnstra.testing.report import SEVERAL, CrashReport, CrashTestFailed, Finding

NO_RESULT = (
    "The job had no result, so none was compared: say in Worker(results=[...]) which collaterals "
    "are one, or see why they were not emitted."
)
NO_EFFECT = (
    "No effect was recorded, so none was struck or compared: have your fakes tell an "
    "EffectRecorder what they do."
)


class Tally:
    """What came of the runs so far. points: how many of the flow's moments were tried."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._trials = self._deaths = 0
        self._repeats: dict[Repeat, Counter[str]] = defaultdict(Counter)
        self._findings: list[Finding] = []
        self._notes: list[str] = []
        self.points = 0

    def require_well(self, seen: Observation) -> None:
        """Raise `CrashTestFailed` unless the job ends well where nothing strikes it."""
        wrong = [one.what for one in complaints(seen, seen, self._view) if not seen.overwritten]
        if seen.state == "completed" and not seen.starts:
            wrong.append("no handler was started: no neuron hears the signal")
        if wrong:
            raise CrashTestFailed(f"Without any fault {'; '.join(wrong)}")
        self._notes = list(_not_compared(seen))

    def add(
        self,
        seen: Observation,
        calm: Observation,
        replay: str,
        wrong: Iterable[Complaint] = (),
    ) -> None:
        """Judge a run by the one without faults. wrong: what else is known to be."""
        self._trials += 1
        self._deaths += sum(fault in DEATHS for _, fault in seen.struck)
        where = "; ".join(f"{point}: {fault}" for point, fault in seen.struck)
        self._find((*complaints(seen, calm, self._view), *wrong), where, replay, seen)
        one = f"{seen.struck[0][0].place}: {seen.struck[0][1]}" if seen.struck else ""
        for repeat in repeats(seen, calm):
            self._repeats[repeat][one if len(seen.struck) == 1 else SEVERAL] += 1

    def compare(self, seen: Observation, calm: Observation, other: Other, replay: str) -> None:
        """Judge a run in which nothing struck either."""
        self._trials += 1
        wrong = (*complaints(seen, calm, self._view, other), *collisions(seen))
        self._find(wrong, "nothing struck", replay, seen)

    def _find(self, wrong: Iterable[Complaint], where: str, replay: str, seen: Observation) -> None:
        trace = tuple(seen.trace)
        self._findings += [
            Finding(one.what, where, replay, trace, one.about) for one in dict.fromkeys(wrong)
        ]

    def report(self, engine: str, seed: int, elapsed: float) -> CrashReport:
        return CrashReport(
            engine=engine,
            seed=seed,
            points=self.points,
            trials=self._trials,
            deaths=self._deaths,
            repeats={repeat: dict(places) for repeat, places in self._repeats.items()},
            findings=tuple(self._findings),
            notes=tuple(self._notes),
            elapsed=elapsed,
        )


def _not_compared(calm: Observation) -> Iterator[str]:
    """What a flow did not give to look at."""
    if not (calm.result and calm.result["results"]):
        yield NO_RESULT
    if not calm.effects:
        yield NO_EFFECT
