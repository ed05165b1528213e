"""The first page: how the queues are, what fails, and how long things take."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from starlette.responses import Response

from cnstra.dashboard.desk import Ask, Desk
from cnstra.dashboard.sources import Source
from cnstra.errors import CnstraError
from cnstra.history.durations import percentile
from cnstra.history.history import History
from cnstra.history.records import WorkerRow
from cnstra.history.store import Counted
from cnstra.jobs.broker import JOB_STATES, JobState

SPAN = 3600.0
"""Seconds that rates and durations are about."""

MINUTES = 60

RATED = 5
"""Minutes that the number of jobs a minute is taken from, beside the one that goes on."""


@dataclass(slots=True)
class Figures:
    """How a neuron, or a queue's jobs, did within the last hour."""

    done: int = 0
    failed: int = 0
    running: int = 0
    bins: dict[int, int] = field(default_factory=dict[int, int])

    def add(self, one: Counted) -> None:
        """Take a count in."""
        if one.outcome in ("done", "completed"):
            self.done += one.times
        elif one.outcome in ("failed", "retried", "dead"):
            self.failed += one.times
        self.bins[one.bin] = self.bins.get(one.bin, 0) + one.times

    @property
    def failure_share(self) -> float:
        """The share that failed, from 0 to 1."""
        whole = self.done + self.failed
        return self.failed / whole if whole else 0.0

    @property
    def median(self) -> float | None:
        """Half of them took no longer, in seconds."""
        return percentile(self.bins.items(), 0.5)

    @property
    def slow(self) -> float | None:
        """All but one in twenty took no longer, in seconds."""
        return percentile(self.bins.items(), 0.95)


@dataclass(frozen=True, slots=True)
class Minute:
    """A bar of the chart: heights from 0 to 1."""

    done: float
    failed: float


@dataclass(slots=True)
class Queue:
    """A queue on the first page. `trouble`: why nothing is known of it."""

    source: Source
    counts: Mapping[JobState, int] = field(default_factory=dict[JobState, int])
    is_paused: bool = False
    trouble: str = ""
    jobs: Figures = field(default_factory=Figures)
    neurons: Mapping[str, Figures] = field(default_factory=dict[str, Figures])
    workers: Sequence[WorkerRow] = ()
    chart: Sequence[Minute] = ()
    busiest: int = 0
    rate: float = 0.0


async def show(desk: Desk, ask: Ask) -> Response:
    """The first page."""
    queues = [await look_at(source) for source in desk.sources.values()]
    return desk.render(ask, "overview.html", queues=queues, states=JOB_STATES)


async def look_at(source: Source) -> Queue:
    """How a queue is. A broker or a database that is away leaves a gap."""
    found = Queue(source)
    try:
        found.counts = await source.counts.get()
        found.is_paused = await source.queue.paused()
    except CnstraError as error:
        found.trouble = str(error)
    if source.history is not None:
        try:
            await _look_back(found, source.history)
        except CnstraError as error:
            found.trouble = found.trouble or str(error)
    return found


async def figures_of(source: Source) -> dict[str, Figures]:
    """By neuron, and for the jobs themselves under the empty name."""
    figures: dict[str, Figures] = defaultdict(Figures)
    if source.network is not None:
        for name in source.network.neurons:
            figures[name] = Figures()
    if source.history is not None:
        for one in await source.history.counted(source.queue.name, SPAN):
            figures[one.neuron].add(one)
        for neuron, count in (await source.history.running(source.queue.name)).items():
            figures[neuron].running = count
    return figures


async def _look_back(found: Queue, history: History) -> None:
    name = found.source.queue.name
    figures = await figures_of(found.source)
    found.jobs = figures.pop("", Figures())
    found.neurons = figures
    found.workers = [one for one in await history.workers() if one.queue == name]
    minutes = await history.by_minute(name, SPAN)
    now = found.source.queue.clock.time() / 60
    found.chart, found.busiest = _bars(minutes, int(now))
    found.rate = rate(minutes, now)


def _bars(minutes: Mapping[tuple[int, str], int], this: int) -> tuple[list[Minute], int]:
    """A bar for each minute of the hour, and how many jobs the highest one stands for."""
    counts: list[tuple[int, int]] = []
    for minute in range(this - MINUTES + 1, this + 1):
        done = minutes.get((minute, "completed"), 0)
        failed = sum(minutes.get((minute, outcome), 0) for outcome in ("retried", "dead"))
        counts.append((done, failed))
    busiest = max((done + failed for done, failed in counts), default=0)
    scale = max(1, busiest)
    return [Minute(done / scale, failed / scale) for done, failed in counts], busiest


def rate(minutes: Mapping[tuple[int, str], int], now: float) -> float:
    """Jobs completed a minute, over the last five whole minutes and what there is of this one.

    now: in minutes since the epoch.
    """
    this = int(now)
    done = sum(minutes.get((minute, "completed"), 0) for minute in range(this - RATED, this + 1))
    return done / (RATED + now - this)
