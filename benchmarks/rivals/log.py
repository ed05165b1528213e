"""What the log of effects says: what ran, in which life of the worker, and what ran again."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from benchmarks.rivals.flow import STEPS


@dataclass(frozen=True, slots=True)
class Line:
    """A step starts or ends. life: the number of the worker in whose process it did."""

    at: float
    life: int
    what: str
    job: int
    step: int


class Log:
    """A file that many processes append to; each reading takes up what is new."""

    def __init__(self, path: Path) -> None:
        path.touch()
        self._path = path
        self._read_to = 0
        self._lines: list[Line] = []
        self._open: dict[int, set[tuple[int, int]]] = defaultdict(set)
        self._finished: set[int] = set()

    def lines(self) -> list[Line]:
        with self._path.open("rb") as file:
            file.seek(self._read_to)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._read_to += len(whole)
        for line in whole.decode().splitlines():
            at, life, what, job, step = line.split()
            self._take(Line(float(at), int(life), what, int(job), int(step)))
        return self._lines

    def open_in(self, life: int) -> set[tuple[int, int]]:
        """The steps, each a job and a number, that have started and not ended in that life."""
        self.lines()
        return self._open[life]

    def finished(self) -> int:
        """How many jobs have ended their last step."""
        self.lines()
        return len(self._finished)

    def _take(self, line: Line) -> None:
        self._lines.append(line)
        step = (line.job, line.step)
        if line.what == "start":
            self._open[line.life].add(step)
        else:
            self._open[line.life].discard(step)
            if line.step == STEPS - 1:
                self._finished.add(line.job)


@dataclass(frozen=True)
class Repeats:
    """Steps that started once more, by what was known of them.

    cut_short: it had started and not ended; anybody has to do it again.
    unrecorded: it had ended, and was the last thing that its worker did: it died before, or while,
        the end was recorded.
    finished: it had ended, and its worker had gone on, to a later step or to other work.
    """

    cut_short: int
    unrecorded: int
    finished: int


def repeats(lines: list[Line]) -> Repeats:
    """Of workers that do one step at a time."""
    ends: dict[tuple[int, int], Line] = {}
    started: set[tuple[int, int]] = set()
    latest: dict[int, Line] = {}
    counts = {"cut_short": 0, "unrecorded": 0, "finished": 0}
    for line in lines:
        step = (line.job, line.step)
        if line.what == "end":
            ends[step] = line
        elif step in ends:
            end = ends[step]
            has_gone_on = latest[end.life] is not end or line.life == end.life
            is_used = any((line.job, later) in started for later in range(line.step + 1, STEPS))
            counts["finished" if has_gone_on or is_used else "unrecorded"] += 1
        elif step in started:
            counts["cut_short"] += 1
        if line.what == "start":
            started.add(step)
        latest[line.life] = line
    return Repeats(**counts)
