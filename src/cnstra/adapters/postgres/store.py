"""The progress store of a Postgres database."""

from collections.abc import Sequence

from cnstra.adapters.postgres.batching import Batcher
from cnstra.adapters.postgres.columns import to_run
from cnstra.adapters.postgres.database import Database
from cnstra.adapters.postgres.runs import RunWrite, answer_of, columns_of, saved_of
from cnstra.durable.store import Patch, Saved, Ticket
from cnstra.errors import StoreUnavailable


class PostgresStore:
    """A `ProgressStore` in a Postgres schema, which a broker may share."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._is_open = False
        self._writes: Batcher[RunWrite, bool] = Batcher(self._commit, lambda write: write.run)
        self._loads: Batcher[str, Saved] = Batcher(self._load, lambda run: run)

    async def open(self) -> None:
        if not self._is_open:
            await self._database.open(StoreUnavailable)
            self._is_open = True

    async def close(self) -> None:
        if self._is_open:
            self._is_open = False
            await self._database.close()

    async def load(self, run: str) -> Saved:
        return await self._database.reached(self._loads.add(run), StoreUnavailable)

    async def peek(self, run: str) -> Saved | None:
        found = await self._database.ask("peek_run", {"run": to_run(run)}, StoreUnavailable)
        return saved_of(found[0][1:]) if found else None

    async def commit(self, ticket: Ticket, patch: Patch) -> None:
        await self._write(RunWrite(ticket, patch))

    async def finish(self, ticket: Ticket, result: bytes, keep: float | None) -> None:
        await self._write(RunWrite(ticket, Patch(), result, keep))

    async def forget(self, run: str) -> None:
        await self._database.ask("forget_runs", {"runs": [to_run(run)]}, StoreUnavailable)

    async def _write(self, write: RunWrite) -> None:
        await self._database.reached(self._writes.add(write), StoreUnavailable)

    async def _commit(self, writes: Sequence[RunWrite]) -> Sequence[bool | Exception]:
        rows = await self._database.rows("commit_runs", columns_of(writes))
        return [answer_of(write, row) for write, row in zip(writes, rows, strict=True)]

    async def _load(self, runs: Sequence[str]) -> Sequence[Saved]:
        keys = [to_run(run) for run in runs]
        rows = await self._database.rows("load_runs", {"runs": keys})
        found = {row[0]: saved_of(row[1:]) for row in rows}
        return [found[key] for key in keys]
