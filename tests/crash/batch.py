"""Jobs of one shape, over which workers are killed, and the verdict on each."""

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from cnstra.durable.journal import Durability
from cnstra.jobs.broker import JobRecord
from tests.crash.flow import fork
from tests.crash.invariants import OVER, Evidence, Expected, complaints
from tests.crash.prey import Lair, Prey, Windows
from tests.crash.shapes import Shape
from tests.crash.witness import Book, Line

JOBS = 20
SPARE = 2
"""Workers that may end before all is done, as a broker of messages may say too early that it is
empty.
"""


class Batch:
    """Jobs of one shape, and the workers that are killed over them, one after the other."""

    def __init__(
        self,
        lair: Lair,
        folder: Path,
        shape: Shape,
        durability: Durability,
        expected: Expected,
        *,
        befalls_all: bool,
    ) -> None:
        """befalls_all: whether something befalls jobs that the log does not name."""
        self.lair = lair
        self.folder = folder
        self.book = Book(folder / "book")
        self.verdict = folder / "verdict"
        self.shape = shape
        self.durability = durability
        self.expected = expected
        self.jobs = lair.jobs(JOBS)
        self.befalls_all = befalls_all
        self.lives = 0
        self.rivals = 0
        self.struck: set[int] = set()
        """The numbers of the lives that something has befallen."""

    def __str__(self) -> str:
        return f"{self.shape.name}, {self.durability}"

    def fork_adding(self) -> int:
        """A process that adds the jobs."""
        return fork(lambda: self.lair.enqueue(self.shape, self.jobs))

    def fork_worker(self, windows: Windows, slot: int) -> int:
        """The next worker."""
        self.lives += 1
        clock = self.lair.clock(self.lives)
        life = Prey(self.lives, self.book, clock, self.jobs, windows, slot)
        return fork(lambda: self.lair.work(self.shape, life, self.durability))

    def fork_rival(self, windows: Windows, slot: int) -> int:
        """A worker beside the next one."""
        self.rivals += 1
        return self.fork_worker(windows, slot)

    def strike(self) -> None:
        """Note that something befalls the last worker."""
        self.struck.add(self.lives)

    @property
    def limit(self) -> int:
        """How many workers it may take: one, and one more for each that was ended, each rival, and
        each time that a job stops its worker; and some to spare.
        """
        stops = JOBS * (self.expected.lives - 1)
        return 1 + len(self.struck) + self.rivals + stops + SPARE

    def fork_judge(self) -> int:
        """A process that writes down what is wrong with the jobs, once they should be over."""

        def judge() -> None:
            records = self.lair.records(self.jobs, self.lives)
            are_over = all(one is not None and one.state in OVER for one, _ in records)
            if are_over or self.lives > self.limit:
                self.verdict.write_text(json.dumps(list(self._complaints(records))))

        return fork(judge)

    def _complaints(self, records: Sequence[tuple[JobRecord | None, int]]) -> Iterator[str]:
        lines: dict[str, list[Line]] = {job: [] for job in self.jobs}
        for line in self.book.lines():
            lines[line.job].append(line)
        for job, (record, left) in zip(self.jobs, records, strict=True):
            for complaint in complaints(self._evidence(record, lines[job], left)):
                yield f"{self}, {job}: {complaint}"

    def _evidence(self, record: JobRecord | None, lines: Sequence[Line], left: int) -> Evidence:
        """lives: of a job that is over, how many there had been when the last one saw it."""
        state = None if record is None else record.state
        result = None if record is None or record.result is None else json.loads(record.result)
        seen_by = {line.life for line in lines}
        return Evidence(
            self.expected,
            self.durability,
            state,
            result,
            lines,
            left,
            lives=max(seen_by, default=0) if state in OVER else self.lives,
            limit=self.limit,
            checkpoints=self.shape.checkpoints,
            befell=self.befalls_all or not seen_by.isdisjoint(self.struck),
        )

    def drop(self) -> None:
        """Forget it, with its files."""
        self.book.close()
        shutil.rmtree(self.folder)
