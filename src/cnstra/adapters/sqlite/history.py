"""A history of runs in a SQLite file of its own."""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from cnstra.adapters.sqlite.columns import from_text, to_text
from cnstra.adapters.sqlite.database import Database
from cnstra.adapters.sqlite.statements import script, statement
from cnstra.errors import StoreUnavailable
from cnstra.history.columns import RUN, Columns, decode_note, decode_task, decode_worker, encode
from cnstra.history.paging import Paging
from cnstra.history.records import Story, WorkerRow
from cnstra.history.store import (
    MOST_TASKS,
    Batch,
    Bounds,
    Counted,
    RunPage,
    RunQuery,
    size_of,
)

PUT_RUN = statement("history/put_run")
PUT_ATTEMPT = statement("history/put_attempt")
PUT_TASK = statement("history/put_task")
PUT_WORKER = statement("history/put_worker")
ADD_BYTES = statement("history/add_bytes")
ADD_NOTE = statement("history/add_note")
ADD_TALLY = statement("history/add_tally")
GET_RUN = statement("history/get_run")
LIST_ATTEMPTS = statement("history/list_attempts")
LIST_TASKS = statement("history/list_tasks")
LIST_NOTES = statement("history/list_notes")
LIST_WORKERS = statement("history/list_workers")
NEWEST_RUN = statement("history/newest_run")
COUNT_TALLIES = statement("history/count_tallies")
COUNT_MINUTES = statement("history/count_minutes")
COUNT_RUNNING = statement("history/count_running")
OLDEST_RUNS = statement("history/oldest_runs")
WEIGH = statement("history/weigh")
WEIGH_RUN = statement("history/weigh_run")
REMOVE_RUN = script("history/remove_run")
REMOVE_TALLIES = statement("history/remove_tallies")
REMOVE_WORKERS = statement("history/remove_workers")

COLUMNS = Columns(to_text, from_text)
RUNS_PER_PRUNING = 200


class SqliteHistory:
    """A `HistoryStore` in a file. A power cut may take back its last moments."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._is_open = False

    async def open(self) -> None:
        if not self._is_open:
            self._is_open = True
            try:
                await self._database.open(StoreUnavailable)
            except BaseException:
                self._is_open = False
                raise

    async def close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._database.close()

    async def write(self, batch: Batch) -> None:
        await self._database.write(lambda connection: _write(connection, batch), StoreUnavailable)

    async def prune(self, bounds: Bounds) -> int:
        return await self._database.write(
            lambda connection: _prune(connection, bounds), StoreUnavailable
        )

    async def runs(self, query: RunQuery) -> RunPage:
        paging = Paging(query, ":{}".format)
        rows = await self._rows(
            f"SELECT {RUN} FROM runs WHERE {paging.where} ORDER BY {paging.order} LIMIT :limit",
            {
                name: to_text(value) if isinstance(value, str) else value
                for name, value in paging.terms.items()
            },
        )
        return paging.page([COLUMNS.run(row) for row in rows])

    async def story(self, run: str) -> Story | None:
        def read(connection: sqlite3.Connection) -> Story | None:
            name = to_text(run)
            found = connection.execute(GET_RUN, (name,)).fetchone()
            if found is None:
                return None
            row = COLUMNS.run(found)
            attempts = connection.execute(LIST_ATTEMPTS, (name,)).fetchall()
            tasks = connection.execute(LIST_TASKS, (name, MOST_TASKS + 1)).fetchall()
            notes = connection.execute(LIST_NOTES, (name,)).fetchall()
            return Story(
                row,
                [COLUMNS.attempt(one, row) for one in attempts],
                [decode_task(one) for (one,) in tasks[:MOST_TASKS]],
                [decode_note(one) for (one,) in notes],
                len(tasks) > MOST_TASKS,
            )

        return await self._database.read(read, StoreUnavailable)

    async def newest_run(self, queue: str, job: str) -> str | None:
        found = await self._rows(NEWEST_RUN, (to_text(queue), to_text(job)))
        return from_text(found[0][0]) if found else None

    async def counted(self, queue: str, since: float) -> Sequence[Counted]:
        rows = await self._rows(COUNT_TALLIES, (to_text(queue), int(since // 60)))
        return [Counted(from_text(neuron), *rest) for neuron, *rest in rows]

    async def by_minute(self, queue: str, since: float) -> Mapping[tuple[int, str], int]:
        rows = await self._rows(COUNT_MINUTES, (to_text(queue), int(since // 60)))
        return {(minute, outcome): count for minute, outcome, count in rows}

    async def running(self, queue: str, since: float) -> Mapping[str, int]:
        rows = await self._rows(COUNT_RUNNING, (to_text(queue), since))
        return {from_text(neuron): count for neuron, count in rows}

    async def workers(self, since: float) -> Sequence[WorkerRow]:
        return [decode_worker(row) for (row,) in await self._rows(LIST_WORKERS, (since,))]

    async def _rows(self, query: str, terms: Any) -> list[tuple[Any, ...]]:
        return await self._database.read(
            lambda connection: connection.execute(query, terms).fetchall(), StoreUnavailable
        )


def _write(connection: sqlite3.Connection, batch: Batch) -> None:
    for attempt in batch.attempts:
        connection.execute(PUT_RUN, COLUMNS.run_terms(attempt))
        connection.execute(PUT_ATTEMPT, COLUMNS.attempt_terms(attempt))
    sizes: dict[str, int] = {}
    rows: list[tuple[Any, ...]] = []
    for task in batch.tasks:
        sizes[task.attempt] = sizes.get(task.attempt, 0) + size_of(task)
        key, neuron = task.key, to_text(task.neuron)
        is_over = task.ended_at is not None
        rows.append((task.attempt, key, encode(task), neuron, task.started_at, is_over))
    connection.executemany(PUT_TASK, rows)
    connection.executemany(ADD_BYTES, [(size, attempt) for attempt, size in sizes.items()])
    connection.executemany(
        PUT_WORKER, [(one.id, encode(one), one.seen_at) for one in batch.workers]
    )
    connection.executemany(ADD_NOTE, [(to_text(one.run), encode(one)) for one in batch.notes])
    connection.executemany(
        ADD_TALLY,
        [
            (to_text(one.queue), one.minute, to_text(one.neuron), one.outcome, one.bin, *sums)
            for one, sums in batch.tallies.items()
        ],
    )


def _prune(connection: sqlite3.Connection, bounds: Bounds) -> int:
    count, size = connection.execute(WEIGH).fetchone()
    gone = 0
    for _, run, updated_at in connection.execute(OLDEST_RUNS, (RUNS_PER_PRUNING,)).fetchall():
        if count <= bounds.runs and size <= bounds.bytes and updated_at >= bounds.since:
            break
        size -= connection.execute(WEIGH_RUN, (run,)).fetchone()[0]
        for removal in REMOVE_RUN:
            connection.execute(removal, {"run": run})
        count -= 1
        gone += 1
    connection.execute(REMOVE_TALLIES, (int(bounds.since // 60),))
    connection.execute(REMOVE_WORKERS, (bounds.since,))
    return gone
