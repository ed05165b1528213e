"""The history of runs, as workers are given it and as people look at it."""

import os
import socket
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypeVar, cast

from cnstra.clock import SYSTEM_CLOCK, Clock, seconds
from cnstra.durable.adapters import adapter_for, shown
from cnstra.durable.io_thread import IOThread
from cnstra.errors import InvalidOption, IOClosed, UsedBeforeFork
from cnstra.history.attempts import AttemptLog, Subject
from cnstra.history.payloads import Keep, PayloadPolicy, Redact
from cnstra.history.records import Note, Story, WorkerRow
from cnstra.history.store import Bounds, Counted, HistoryStore, RunPage, RunQuery
from cnstra.history.writer import HEARTBEAT, Writer

T = TypeVar("T")

KEEP = timedelta(days=7)
KEEP_RUNS = 100_000
KEEP_BYTES = 1024**3
ALIVE = 3 * HEARTBEAT
"""Seconds without a sign of life after which a worker is taken for dead."""


class History:
    """What became of runs: each attempt, and each task of it. `Worker(..., history=...)` fills it.

    It is written behind the worker, from a thread of its own: a few times a second, and when the
    worker stops. It never fails a job, and never holds one up: where it cannot keep up, or its
    database is away for long, records are dropped and counted. A worker that is killed loses what
    it had not written.

    url: `sqlite:///history.db`, a file of its own; or `postgresql://...`, `redis://...`, beside
        what is there.
    keep: seconds, or a `timedelta`: runs go that nothing has happened to for so long.
    keep_runs, keep_bytes: the oldest runs go when there are more, or their rows take more.
    payloads: "whole", "cut" after `payload_limit` bytes, or "none".
    redact: names whose values are struck out, at any depth, in any case; or a function of (name of
        the collateral or neuron, payload) that returns what to keep. Errors are kept as they are.

    Whoever asks it hears `StoreUnavailable` while its database is away. Raises `InvalidOption` for
    an option, or a URL, that keeps no history; `UnknownScheme`; and `MissingExtra` without the
    packages of that database.

    >>> worker = Worker(queue, cns, history=History("sqlite:///history.db", redact=["card"]))
    """

    def __init__(
        self,
        url: str | HistoryStore,
        *,
        keep: float | timedelta = KEEP,
        keep_runs: int = KEEP_RUNS,
        keep_bytes: int = KEEP_BYTES,
        payloads: Keep = "cut",
        payload_limit: int = 4096,
        redact: Redact = (),
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        for name, value in (
            ("keep", seconds(keep)), ("keep_runs", keep_runs), ("keep_bytes", keep_bytes),
            ("payload_limit", payload_limit),
        ):  # fmt: skip
            if value <= 0:
                raise InvalidOption(option=name, value=value, remedy="give more than zero")
        self.clock = clock
        self._store = _store_at(url, clock) if isinstance(url, str) else url
        self._io = IOThread("cnstra-history")
        self._policy = PayloadPolicy(payloads, payload_limit, redact)
        bounds = Bounds(seconds(keep), keep_runs, keep_bytes)
        self._writer = Writer(self._store, clock, self._io, self._policy, bounds)

    @staticmethod
    def of(history: "History | str", clock: Clock) -> "History":
        """The history, or one with the default options at that URL."""
        return History(history, clock=clock) if isinstance(history, str) else history

    @property
    def dropped(self) -> int:
        """How many records this process had no room for."""
        return self._writer.dropped

    # --- for a worker

    async def join(self, queue: str, concurrency: int) -> "WorkerLog":
        """A worker of that queue begins."""
        now = self.clock.time()
        worker = WorkerRow(
            self.clock.new_id(), queue, socket.gethostname(), os.getpid(), concurrency, now, now
        )
        await self._io.call(lambda: self._writer.start(worker))
        return WorkerLog(self._writer, self._io, worker)

    # --- for people

    async def open(self) -> None:
        """Connect; asking does so too. Raises what is wrong with the database, `StoreUnavailable`
        or another `StoreError`.
        """
        await self._io.call(self._store.open)

    async def close(self) -> None:
        """Let go of the database, for good. Workers go on without a history. Harmless when called
        twice, or in a process that was forked since.
        """
        with suppress(IOClosed, UsedBeforeFork):
            await self._io.call(self._store.close)
        self._io.close()

    async def runs(self, query: RunQuery) -> RunPage:
        """The runs that were asked for, a page at a time. Raises `InvalidOption` for a cursor that
        is none.
        """
        return await self._ask(lambda: self._store.runs(query))

    async def story(self, run: str) -> Story | None:
        """All that is kept of a run; `None` for one that is unknown or went. Attempts of workers
        that died are marked as cut off.
        """
        story = await self._ask(lambda: self._store.story(run))
        if story is None:
            return None
        alive = {one.id for one in await self.workers()}
        for attempt in story.attempts:
            is_last = attempt is story.attempts[-1]
            if attempt.outcome == "active" and not (is_last and attempt.worker in alive):
                attempt.outcome = "cut off"
        if story.attempts and story.run.state == "active":
            story.run.state = story.attempts[-1].outcome
        return story

    async def newest_run(self, queue: str, job: str) -> str | None:
        """The id of the newest run of a job; `None` where none is kept."""
        return await self._ask(lambda: self._store.newest_run(queue, job))

    async def counted(self, queue: str, span: float) -> Sequence[Counted]:
        """What ended within the last `span` seconds, by neuron, outcome and bin of duration."""
        since = self.clock.time() - span
        return await self._ask(lambda: self._store.counted(queue, since))

    async def by_minute(self, queue: str, span: float) -> Mapping[tuple[int, str], int]:
        """How many jobs ended within the last `span` seconds, by (minute since the epoch,
        outcome).
        """
        since = self.clock.time() - span
        return await self._ask(lambda: self._store.by_minute(queue, since))

    async def running(self, queue: str) -> Mapping[str, int]:
        """How many tasks run now, by neuron."""
        since = self.clock.time() - ALIVE
        return await self._ask(lambda: self._store.running(queue, since))

    async def workers(self) -> Sequence[WorkerRow]:
        """The workers that are alive, of all queues: heard of within the last 15 seconds."""
        since = self.clock.time() - ALIVE
        found = await self._ask(lambda: self._store.workers(since))
        return [one for one in found if one.stopped_at is None]

    @property
    def redacts(self) -> bool:
        """Whether this history is told to redact anything."""
        return self._policy.redacts

    def struck(self, name: str, data: bytes) -> bytes | None:
        """JSON that travelled through `name`, without what this history is told to redact; `None`
        where the redaction raises.
        """
        return self._policy.struck(name, data)

    async def note(self, run: str, by: str, text: str) -> None:
        """Keep what a person did to a run: `by` is their name."""
        note = Note(run, self.clock.time(), by, text)
        await self._io.call(self._store.open)
        await self._io.call(lambda: self._writer.note(note))

    async def _ask(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        await self.open()
        return await self._io.call(work)


class WorkerLog:
    """The history, as one worker fills it."""

    def __init__(self, writer: Writer, io: IOThread, worker: WorkerRow) -> None:
        self._writer = writer
        self._io = io
        self._worker = worker

    def attempt(self, subject: Subject) -> AttemptLog:
        """The worker begins an attempt."""
        log = AttemptLog(self._writer, self._worker.id, subject)
        self._writer.join(log)
        return log

    async def leave(self) -> None:
        """The worker is over: write what it told, for a few seconds at most."""
        with suppress(IOClosed):
            await self._io.call(lambda: self._writer.stop(self._worker.id))


def _store_at(url: str, clock: Clock) -> HistoryStore:
    adapter = adapter_for(url)
    if not hasattr(adapter, "history"):
        remedy = "keep it at sqlite:///history.db, postgresql://... or redis://..."
        raise InvalidOption(option="history", value=shown(url), remedy=remedy)
    return cast(HistoryStore, adapter.history(url, clock))
