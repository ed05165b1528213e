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


class Batch:
    """Jobs of one shape, and the workers that are killed over them, one after the other."""

    def __init__(
        self,
        lair: Lair,
        folder: Path,
        shape: Shape,
        durability: Durability,
        expected: Expected,
    ) -> None:
        self.lair = lair
        self.folder = folder
        self.book = Book(folder / "book")
        self.verdict = folder / "verdict"
        self.shape = shape
        self.durability = durability
        self.expected = expected
        self.jobs = lair.jobs(JOBS)
        self.lives = 0
        self.blows = 0

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

    def fork_judge(self) -> int:
        """A process that writes down what is wrong with the jobs, once they are over."""

        def judge() -> None:
            records = self.lair.records(self.jobs, self.lives)
            if all(one is not None and one.state in OVER for one, _ in records):
                self.verdict.write_text(json.dumps(list(self._complaints(records))))

        return fork(judge)

    def _complaints(self, records: Sequence[tuple[JobRecord | None, int]]) -> Iterator[str]:
        lines: dict[str, list[Line]] = {job: [] for job in self.jobs}
        for line in self.book.lines():
            lines[line.job].append(line)
        for job, (record, left) in zip(self.jobs, records, strict=True):
            assert record is not None
            result = None if record.result is None else json.loads(record.result)
            evidence = Evidence(
                self.expected, self.durability, record.state, result, lines[job], left,
                checkpoints=self.shape.checkpoints,
            )  # fmt: skip
            for complaint in complaints(evidence):
                yield f"{self}, {job}: {complaint}"

    def drop(self) -> None:
        """Forget it, with its files."""
        self.book.close()
        shutil.rmtree(self.folder)
