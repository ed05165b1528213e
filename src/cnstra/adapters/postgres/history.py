"""A history of runs in a schema of its own, beside the one that holds the jobs."""

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from cnstra.adapters.postgres.columns import from_text, to_text
from cnstra.adapters.postgres.database import reached
from cnstra.adapters.postgres.faults import reason_of
from cnstra.adapters.postgres.location import Location
from cnstra.adapters.postgres.migrating import REFUSALS
from cnstra.adapters.postgres.pool import Connection, Pool, Row
from cnstra.adapters.postgres.statements import query as sql
from cnstra.errors import MigrationRequired, SchemaTooNew, StoreUnavailable
from cnstra.history.columns import Columns, decode_note, decode_task, decode_worker, encode
from cnstra.history.paging import Paging
from cnstra.history.records import AttemptRow, Story, WorkerRow
from cnstra.history.store import (
    MOST_TASKS,
    Batch,
    Bounds,
    Counted,
    RunPage,
    RunQuery,
    size_of,
)

T = TypeVar("T")

VERSION = 1
COLUMNS = Columns(to_text, from_text)
RUNS_PER_PRUNING = 500
LONGEST_JOB = 200
"""Characters of a job's id that an index holds."""


class PostgresHistory:
    """A `HistoryStore` in the schema `<schema>_history`, which is made where it is missing."""

    def __init__(self, location: Location) -> None:
        self._location = replace(location, schema=f"{location.schema}_history")
        self._pool: Pool | None = None

    async def open(self) -> None:
        if self._pool is not None:
            return
        pool = Pool(self._location)
        try:
            await self._reached(self._prepare(pool))
        except BaseException:
            await pool.close()
            raise
        self._pool = pool

    async def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()

    async def write(self, batch: Batch) -> None:
        await self._reached(self._write(batch))

    async def prune(self, bounds: Bounds) -> int:
        return await self._reached(self._prune(bounds))

    async def runs(self, query: RunQuery) -> RunPage:
        paging = Paging(query, "%({})s".format)
        tail = f"\nWHERE {paging.where}\nORDER BY {paging.order}\nLIMIT %(limit)s"
        rows = await self._reached(
            self._opened.ask(self._sql("list_runs") + tail.encode(), _as_texts(paging.terms))
        )
        return paging.page([COLUMNS.run(row) for row in rows])

    async def story(self, run: str) -> Story | None:
        terms = {"run": to_text(run), "limit": MOST_TASKS + 1}
        found = await self._reached(
            self._opened.ask(self._sql("list_runs") + b"\nWHERE run = %(run)s", terms)
        )
        if not found:
            return None
        row = COLUMNS.run(found[0])
        attempts = await self._rows("list_attempts", terms)
        tasks = await self._rows("list_tasks", terms)
        notes = await self._rows("list_notes", terms)
        return Story(
            row,
            [COLUMNS.attempt(one, row) for one in attempts],
            [decode_task(one) for (one,) in tasks[:MOST_TASKS]],
            [decode_note(one) for (one,) in notes],
            len(tasks) > MOST_TASKS,
        )

    async def newest_run(self, queue: str, job: str) -> str | None:
        found = await self._rows("newest_run", {"queue": to_text(queue), **_job_terms(job)})
        return from_text(found[0][0]) if found else None

    async def counted(self, queue: str, since: float) -> Sequence[Counted]:
        rows = await self._rows("count_tallies", _minutes(queue, since))
        return [Counted(from_text(neuron), *rest) for neuron, *rest in rows]

    async def by_minute(self, queue: str, since: float) -> Mapping[tuple[int, str], int]:
        rows = await self._rows("count_minutes", _minutes(queue, since))
        return {(minute, outcome): count for minute, outcome, count in rows}

    async def running(self, queue: str, since: float) -> Mapping[str, int]:
        rows = await self._rows("count_running", {"queue": to_text(queue), "since": since})
        return {from_text(neuron): count for neuron, count in rows}

    async def workers(self, since: float) -> Sequence[WorkerRow]:
        return [decode_worker(row) for (row,) in await self._rows("list_workers", {"since": since})]

    # --- inside

    @property
    def _opened(self) -> Pool:
        if self._pool is None:
            raise StoreUnavailable(url=self._location.shown, reason="it is closed")
        return self._pool

    def _sql(self, name: str) -> bytes:
        return sql(f"history/{name}", self._location.schema)

    async def _rows(self, name: str, terms: Mapping[str, Any]) -> list[Row]:
        return await self._reached(self._opened.ask(self._sql(name), terms))

    async def _reached(self, work: Awaitable[T]) -> T:
        return await reached(self._location, work, StoreUnavailable)

    async def _prepare(self, pool: Pool) -> None:
        """Make the schema, unless it is there; others who try meanwhile wait. Raises
        `MigrationRequired` where this role may not, and `SchemaTooNew`.
        """
        schema = self._location.schema
        async with pool.lent() as connection:
            if not await self._exists(connection):
                try:
                    async with connection.transaction():
                        await connection.execute(
                            b"SELECT pg_advisory_xact_lock(hashtext(%s))", [schema]
                        )
                        if not await self._exists(connection):
                            await connection.execute(self._sql("schema"))
                except REFUSALS as error:
                    raise MigrationRequired(
                        schema=schema,
                        url=self._location.shown,
                        found="not there",
                        reason=reason_of(error),
                    ) from error
            cursor = await connection.execute(self._sql("get_version"))
            (version,) = await cursor.fetchone() or (VERSION,)
        if version > VERSION:
            place = f"schema {schema} at {self._location.shown}"
            raise SchemaTooNew(path=place, found=version, known=VERSION)

    async def _exists(self, connection: Connection) -> bool:
        cursor = await connection.execute(
            self._sql("find_version"), {"schema": self._location.schema}
        )
        row = await cursor.fetchone()
        return bool(row and row[0])

    async def _write(self, batch: Batch) -> None:
        sizes: dict[str, int] = {}
        tasks: list[Row] = []
        for task in batch.tasks:
            sizes[task.attempt] = sizes.get(task.attempt, 0) + size_of(task)
            over, neuron = task.ended_at is not None, to_text(task.neuron)
            tasks.append((task.attempt, task.key, encode(task), neuron, task.started_at, over))
        work: list[tuple[str, Sequence[Any]]] = [
            ("put_run", [_run_terms(one) for one in batch.attempts]),
            ("put_attempt", [COLUMNS.attempt_terms(one) for one in batch.attempts]),
            ("put_task", tasks),
            ("add_bytes", [(size, attempt) for attempt, size in sorted(sizes.items())]),
            ("put_worker", [(one.id, encode(one), one.seen_at) for one in batch.workers]),
            ("add_note", [(to_text(one.run), encode(one)) for one in batch.notes]),
            ("add_tally", sorted(_tally_rows(batch))),
        ]
        async with self._opened.lent() as connection, connection.transaction():
            cursor = connection.cursor()
            for name, rows in work:
                if rows:
                    await cursor.executemany(self._sql(name), rows)

    async def _prune(self, bounds: Bounds) -> int:
        ((count, size),) = await self._opened.ask(self._sql("weigh"))
        gone: list[str] = []
        for run, updated_at, weight in await self._opened.ask(
            self._sql("oldest_runs"), {"limit": RUNS_PER_PRUNING}
        ):
            if count <= bounds.runs and size <= bounds.bytes and updated_at >= bounds.since:
                break
            count, size = count - 1, size - weight
            gone.append(run)
        if gone:
            await self._opened.ask(self._sql("remove_runs"), {"runs": gone})
        minute = {"minute": int(bounds.since // 60)}
        await self._opened.ask(self._sql("remove_tallies"), minute)
        await self._opened.ask(self._sql("remove_workers"), {"since": bounds.since})
        return len(gone)


def _run_terms(attempt: AttemptRow) -> dict[str, Any]:
    return {**COLUMNS.run_terms(attempt), **_job_terms(attempt.job)}


def _job_terms(job: str) -> dict[str, str | None]:
    """A job's id as an index can hold it, and whole where that is only its beginning."""
    text = to_text(job)
    return {"job": text[:LONGEST_JOB], "long_job": text if len(text) > LONGEST_JOB else None}


def _tally_rows(batch: Batch) -> list[Row]:
    return [
        (to_text(one.queue), one.minute, to_text(one.neuron), one.outcome, one.bin, *sums)
        for one, sums in batch.tallies.items()
    ]


def _minutes(queue: str, since: float) -> dict[str, Any]:
    return {"queue": to_text(queue), "minute": int(since // 60)}


def _as_texts(terms: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: to_text(value) if isinstance(value, str) else value for name, value in terms.items()
    }
