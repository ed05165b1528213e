"""Every point of a flow, with every fault that can strike there, in simulated processes."""

import logging
import threading
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

from cnstra.errors import InvalidOption
from cnstra.jobs.worker import Worker
from cnstra.testing.complaint import Complaint
from cnstra.testing.faults import FAULTS, Fault
from cnstra.testing.judgement import AGAIN, REORDERED
from cnstra.testing.observation import Observation
from cnstra.testing.simulation.plan import ByChance, Fixed, Plan
from cnstra.testing.simulation.sites import BrokerKind
from cnstra.testing.simulation.trial import Trial
from cnstra.testing.tally import Tally

ASTRAY = Complaint(
    "the way",
    "the same schedule went another way, before anything struck: the flow depends on something "
    "that is not in its payloads and context",
)
NOT_REACHED = "its point is not passed any more: the flow is another than the one that failed"
MOST_RENEWALS = 100
STRETCH = 10
"""A job whose lease is renewed so often has another one, so many times as long: what waits for days
would be nothing but renewals. How long a process is gone for goes by the lease."""
SPARE = 10
"""How many times as long as undisturbed a job may take, beside what `within` gives it."""
NOTHING = Fixed({})
LOGGERS = ("asyncio", "cnstra.durable", "cnstra.engine", "cnstra.jobs")


@dataclass(frozen=True, slots=True)
class Case:
    """One trial: in which order tasks run, and what strikes. calm: the schedule of the undisturbed
    run that it is compared with. place, fault: where and with what it strikes, if at one point.
    """

    token: str
    schedule: str
    plan: Plan
    calm: str
    place: int | None = None
    fault: Fault | None = None

    @property
    def strikes(self) -> bool:
        return self.plan is not NOTHING


class Calm(NamedTuple):
    """An undisturbed run. lease: what its worker was given in place of its own."""

    seen: Observation
    lease: float | None
    duration: float


class Simulation:
    """Runs the cases of one flow, and keeps count.

    schedules: how many orders of the flow's tasks are tried at each point. by_chance: how many runs
    more there are, with several faults each. without: faults that are left out.
    """

    def __init__(
        self,
        build: Callable[..., Worker],
        make_world: Callable[[Path], Any] | None,
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
        self._make_world = make_world
        self._signal = signal
        self._seed = seed
        self._schedules = schedules
        self._by_chance = by_chance
        self._without = without
        self._options = options
        self._within = within
        self._broker: BrokerKind = broker
        self._tally = tally
        self._calm: dict[str, Calm] = {}
        self.is_cancelled = False

    def run(self, replay: str | None) -> None:
        """All cases, or the one whose token that is. Raises `CrashTestFailed` if the flow fails
        even where nothing strikes.
        """
        with _quiet():
            cases = self._cases() if replay is None else [self._known(replay)]
            for case in cases:
                if self.is_cancelled:
                    return
                self._try(case)

    def _cases(self) -> Iterator[Case]:
        for number in range(self._schedules):
            schedule = f"{self._seed}/{number}"
            points = self._undisturbed(schedule).seen.points
            yield self._case(schedule)
            for place, point in enumerate(points):
                faults = [one for one in FAULTS[point.kind] if one not in self._without]
                self._tally.points += bool(faults)
                for fault in faults:
                    yield self._case(f"{schedule}/{place}/{fault.name}")
        for number in range(self._by_chance):
            yield self._case(f"{self._seed}/chance/{number}")

    def _case(self, token: str) -> Case:
        try:
            seed, schedule, *rest = token.split("/")
            if not rest:
                return Case(token, token, NOTHING, f"{seed}/0")
            number, *names = rest
            if schedule == "chance":
                return Case(token, token, ByChance(token, self._without), f"{seed}/0")
            (name,) = names
            place, fault, calm = int(number), Fault[name], f"{seed}/{schedule}"
            return Case(token, calm, Fixed({place: fault}), calm, place, fault)
        except (KeyError, ValueError) as error:
            remedy = "give what a finding of the report says"
            raise InvalidOption(option="replay", value=token, remedy=remedy) from error

    def _known(self, token: str) -> Case:
        """The case of a finding. Raises `InvalidOption` if this flow has no such point."""
        case = self._case(token)
        if case.place is not None:
            points = self._undisturbed(case.calm).seen.points
            if case.place >= len(points) or case.fault not in FAULTS[points[case.place].kind]:
                raise InvalidOption(option="replay", value=token, remedy=NOT_REACHED)
        return case

    def _undisturbed(self, schedule: str) -> Calm:
        """The run in which nothing strikes. The first must end well."""
        if schedule not in self._calm:
            calm = self._calm_run(schedule)
            if not self._calm:
                self._tally.require_well(calm.seen)
            self._calm[schedule] = calm
        return self._calm[schedule]

    def _calm_run(self, schedule: str) -> Calm:
        lease: float | None = None
        while True:
            trial = self._trial(schedule, NOTHING, self._within, lease, MOST_RENEWALS)
            seen = trial.run()
            if not trial.is_long:
                return Calm(seen, lease, trial.duration)
            lease = trial.lease * STRETCH

    def _try(self, case: Case) -> None:
        calm = self._undisturbed(case.calm)
        within = self._within + SPARE * calm.duration
        seen = self._trial(case.schedule, case.plan, within, calm.lease).run()
        if case.strikes:
            is_astray = seen.points[: case.place] != calm.seen.points[: case.place]
            wrong = [ASTRAY] if case.place is not None and is_astray else []
            self._tally.add(seen, calm.seen, case.token, wrong)
        else:
            other = AGAIN if case.token == case.calm else REORDERED
            self._tally.compare(seen, calm.seen, other, case.token)

    def _trial(
        self,
        schedule: str,
        plan: Plan,
        within: float,
        lease: float | None,
        most_renewals: float = inf,
    ) -> Trial:
        return Trial(
            self._build,
            self._signal,
            schedule=schedule,
            plan=plan,
            options=self._options,
            within=within,
            broker=self._broker,
            lease=lease,
            most_renewals=most_renewals,
            make_world=self._make_world,
        )


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
