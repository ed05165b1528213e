"""Every point of a flow, with every fault that can strike there, in simulated processes."""

import logging
import threading
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from cnstra.errors import InvalidOption
from cnstra.jobs.worker import Worker
from cnstra.testing.faults import FAULTS, Fault
from cnstra.testing.observation import Observation
from cnstra.testing.simulation.plan import ByChance, Fixed, Plan
from cnstra.testing.simulation.sites import BrokerKind
from cnstra.testing.simulation.trial import Trial
from cnstra.testing.tally import Tally

ASTRAY = (
    "the same schedule went another way, before anything struck: the flow depends on something "
    "that is not in its payloads and context"
)
LOGGERS = ("asyncio", "cnstra.durable", "cnstra.engine", "cnstra.jobs")


@dataclass(frozen=True, slots=True)
class Case:
    """One trial: in which order tasks run, and what strikes. place: the point, if it is one."""

    token: str
    schedule: str
    plan: Plan
    place: int | None


class Simulation:
    """Runs the cases of one flow, and keeps count.

    schedules: how many orders of the flow's tasks are tried at each point. by_chance: how many runs
    more there are, with several faults each. without: faults that are left out.
    """

    def __init__(
        self,
        build: Callable[[], Worker],
        signal: Any,
        tally: Tally,
        *,
        seed: int,
        schedules: int,
        by_chance: int,
        without: Collection[Fault],
        options: Mapping[str, Any],
        within: float,
        broker: BrokerKind,
    ) -> None:
        self._build = build
        self._signal = signal
        self._seed = seed
        self._schedules = schedules
        self._by_chance = by_chance
        self._without = without
        self._options = options
        self._within = within
        self._broker: BrokerKind = broker
        self._tally = tally
        self._calm: dict[str, Observation] = {}
        self.is_cancelled = False

    def run(self, replay: str | None) -> None:
        """All cases, or the one whose token that is. Raises `CrashTestFailed` if the flow fails
        even where nothing strikes.
        """
        with _quiet():
            cases = self._cases() if replay is None else [self._case(replay)]
            for case in cases:
                if self.is_cancelled:
                    return
                self._try(case)

    def _cases(self) -> Iterator[Case]:
        for number in range(self._schedules):
            schedule = f"{self._seed}/{number}"
            points = self._undisturbed(schedule).points
            self._tally.points += len(points)
            for place, point in enumerate(points):
                for fault in FAULTS[point.kind]:
                    if fault not in self._without:
                        yield self._case(f"{schedule}/{place}/{fault.name}")
        for number in range(self._by_chance):
            yield self._case(f"{self._seed}/chance/{number}")

    def _case(self, token: str) -> Case:
        try:
            seed, schedule, *rest = token.split("/")
            if not rest:
                return Case(token, token, Fixed({}), None)
            number, *fault = rest
            if schedule == "chance":
                return Case(token, token, ByChance(token, self._without), None)
            (name,) = fault
            plan = Fixed({int(number): Fault[name]})
            return Case(token, f"{seed}/{schedule}", plan, int(number))
        except (KeyError, ValueError) as error:
            remedy = "give what a finding of the report says"
            raise InvalidOption(option="replay", value=token, remedy=remedy) from error

    def _undisturbed(self, schedule: str) -> Observation:
        """The run in which nothing strikes. It must end well, and alike in every order."""
        if schedule not in self._calm:
            seen = self._calm[schedule] = self._trial(schedule, Fixed({}))
            first = next(iter(self._calm.values()))
            if seen is first:
                self._tally.require_well(seen)
            self._tally.compare(seen, first, "no fault, but another order of tasks", schedule)
        return self._calm[schedule]

    def _try(self, case: Case) -> None:
        calm = self._undisturbed(f"{self._seed}/0" if case.place is None else case.schedule)
        seen = self._trial(case.schedule, case.plan)
        wrong: list[str] = []
        if case.place is not None and seen.points[: case.place] != calm.points[: case.place]:
            wrong.append(ASTRAY)
        self._tally.add(seen, calm, case.token, wrong)

    def _trial(self, schedule: str, plan: Plan) -> Observation:
        return Trial(
            self._build,
            self._signal,
            schedule=schedule,
            plan=plan,
            options=self._options,
            within=self._within,
            broker=self._broker,
        ).run()


@contextmanager
def _quiet() -> Generator[None, None, None]:
    """What simulated workers log of their troubles is of no interest."""
    thread = threading.get_ident()

    def is_ours(record: logging.LogRecord) -> bool:
        return record.thread != thread

    loggers = [logging.getLogger(name) for name in LOGGERS]
    for logger in loggers:
        logger.addFilter(is_ours)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(is_ours)
