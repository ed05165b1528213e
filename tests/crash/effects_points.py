"""`python -m tests.crash.effects_points [POSTGRES_URL]`: a death at every point of an effect.

Between any two of: row entered, handler returned, outcome written, transaction committed, job of
the outbox sent and struck out, checkpoint sent and landed, job settled; and around the call of the
bank. Each is a SIGKILL in a process of its own, the n-th time that its point is passed, for every
n. The rows are in SQLite, or in the Postgres that is named.
"""

import asyncio
import signal
import sys
import tempfile
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, cast

from cnstra import Queue
from cnstra.effects import ddl
from cnstra.effects.statements import Rows as Found
from cnstra.effects.statements import Statement
from cnstra.jobs.broker import Broker
from cnstra.testing.dying import COMMIT_POINTS, SETTLE_POINTS, Death, DyingBroker
from tests.crash.bank import Bank
from tests.crash.effects_flow import EffectsFlow, Rows, order
from tests.crash.flow import Ahead, Log, Place, ended, fork

BEFORE = {"enter": "row not entered", "finish": "handler returned", "sent": "job sent"}
AFTER = {"enter": "row entered", "finish": "outcome written", "sent": "job struck out"}
WRITES = ("enter", "finish", "sent")
BANK_POINTS = ("charge", "charged", "notified")
POINTS = (
    *BEFORE.values(), *AFTER.values(), "transaction committed",
    *BANK_POINTS, *COMMIT_POINTS, *SETTLE_POINTS,
)  # fmt: skip


class Dying:
    """A database that dies around what is written down of an effect, and of a job on its way."""

    def __init__(self, inner: Any, death: Death) -> None:
        self.inner = inner
        self.death = death
        self.wrote = False

    def before(self, statement: Statement) -> None:
        if statement.name in BEFORE:
            self.death.passes(BEFORE[statement.name])

    def after(self, statement: Statement) -> None:
        self.wrote = self.wrote or statement.name in WRITES
        if statement.name in AFTER:
            self.death.passes(AFTER[statement.name])

    def ended(self) -> None:
        if self.wrote:
            self.wrote = False
            self.death.passes("transaction committed")


class DyingDatabase(Dying):
    @contextmanager
    def transaction(self) -> Generator[Any, None, None]:
        with self.inner.transaction() as within:
            yield within
        self.ended()

    def execute(self, within: Any, statement: Statement) -> Found:
        self.before(statement)
        rows: Found = self.inner.execute(within, statement)
        self.after(statement)
        return rows


class DyingAsyncDatabase(Dying):
    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[Any, None]:
        inner: AbstractAsyncContextManager[Any] = self.inner.transaction()
        async with inner as within:
            yield within
        self.ended()

    async def execute(self, within: Any, statement: Statement) -> Found:
        self.before(statement)
        rows: Found = await self.inner.execute(within, statement)
        self.after(statement)
        return rows


class Trial:
    """One job on a SQLite queue of its own, the bank and the rows shared with other trials."""

    def __init__(self, folder: Path, rows: Rows, bank: Bank, job: int) -> None:
        self.place = Place(f"sqlite:///{folder}/jobs.db?synchronous=normal", Ahead(0.0))
        self.flow = EffectsFlow(rows, bank, Log(folder / "effects"), clock=self.place.clock)
        self.job = job

    def after(self, point: str, number: int) -> list[str] | None:
        """What was wrong after that death; `None` if the job was over before it came."""
        assert ended(fork(lambda: asyncio.run(self._enqueue()))) == 0
        status = ended(fork(lambda: self._die(Death(point, number))))
        if status == 0:
            return None
        complaints = [] if status == -signal.SIGKILL else [f"it ended with {status}"]
        self.place.clock.ahead += 100.0
        if ended(fork(self._work)):
            complaints.append("the second worker failed")
        return [*complaints, *self._complaints()]

    async def _enqueue(self) -> None:
        async with Queue("q", self.place.url, clock=self.place.clock) as queue:
            await queue.enqueue(order.create_signal(self.job))

    def _die(self, death: Death) -> None:
        self.flow.passes = death.passes
        kind = DyingAsyncDatabase if self.flow.rows.on_postgres else DyingDatabase
        self.flow.wrap = lambda database: kind(database, death)
        self._work(lambda broker: cast(Broker, DyingBroker(broker, death)))

    def _work(self, wrap: Any = lambda broker: broker) -> None:
        mails = Queue("mails", self.place.url, clock=self.place.clock)
        self.place.work(self.flow.cns(mails), wrap=wrap, durability="behind")

    def _complaints(self) -> Iterator[str]:
        yield from self.flow.complaints([self.job])
        records = self.place.records()
        states = sorted(state for state, _, _ in records)
        if states != ["completed", "waiting"]:
            yield f"the job and its mail are {records}"
        if self.flow.rows.left_in_outbox():
            yield "a job was left in the outbox"


def every_point(rows: Rows, bank: Bank) -> Iterator[tuple[str, int, list[str]]]:
    job = 0
    for point in POINTS:
        number = 0
        while True:
            number, job = number + 1, job + 1
            with tempfile.TemporaryDirectory() as folder:
                complaints = Trial(Path(folder), rows, bank, job).after(point, number)
            if complaints is None:
                break
            yield point, number, complaints


def main() -> int:
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        rows, bank = Rows(sys.argv[1] if sys.argv[1:] else f"{folder}/books.db"), Bank(Path(folder))
        rows.make()
        for statement in ddl():
            rows.execute(statement)
        try:
            for point, number, complaints in every_point(rows, bank):
                failed = failed or bool(complaints)
                print(f"{point:22} {number:3}  {'; '.join(complaints) or 'ok'}", flush=True)
        finally:
            bank.stop()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
