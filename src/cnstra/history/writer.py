"""Writes a history behind the workers that tell of it. When it cannot keep up, it forgets."""

import asyncio
import logging
from collections import deque
from dataclasses import replace

from cnstra.clock import Clock, pause
from cnstra.durable.io_thread import IOThread
from cnstra.errors import StoreUnavailable
from cnstra.history.attempts import AttemptEnded, AttemptLog, Ended
from cnstra.history.batches import Rows
from cnstra.history.payloads import PayloadPolicy
from cnstra.history.records import Note, WorkerRow
from cnstra.history.store import Batch, Bounds, HistoryStore

logger = logging.getLogger("cnstra.history")

MOST_WAITING = 10_000
MOST_BYTES = 32 * 1024 * 1024
"""How many records, and bytes of their payloads, wait to be written before the next are dropped."""

FLUSH_PAUSE = 0.25
HEARTBEAT = 5.0
PRUNE_PAUSE = 15.0
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 10.0
LAST_FLUSH = 5.0
"""Seconds that a worker which stops leaves its history to write what it was told."""

Told = Ended | AttemptEnded


class Writer:
    """What workers tell, until it is written. `post` and `leave` may be called on any thread."""

    def __init__(
        self, store: HistoryStore, clock: Clock, io: IOThread, policy: PayloadPolicy, bounds: Bounds
    ) -> None:
        self.clock = clock
        self.dropped = 0
        """Records for which there was no room."""
        self._store = store
        self._io = io
        self._rows = Rows(policy)
        self._bounds = bounds
        self._told: deque[Told] = deque()
        self._bytes = 0
        self._attempts: dict[AttemptLog, None] = {}
        self._workers: dict[str, WorkerRow] = {}
        self._seen_at = 0.0
        self._pruned_at = 0.0
        self._living: asyncio.Task[None] | None = None
        self._ending = False
        self._wake = asyncio.Event()

    # --- on any thread

    def post(self, told: Told, size: int) -> None:
        """Take it, if there is room."""
        room = MOST_WAITING if isinstance(told, Ended) else 2 * MOST_WAITING
        if len(self._told) >= room or self._bytes + size > MOST_BYTES:
            if not self.dropped:
                logger.warning("The history cannot keep up: what it has no room for is dropped.")
            self.dropped += 1
            return
        self._bytes += size
        self._told.append(told)

    def join(self, attempt: AttemptLog) -> None:
        """Look at what the attempt does from now on."""
        self._attempts[attempt] = None

    def leave(self, attempt: AttemptLog) -> None:
        """Look no more."""
        self._attempts.pop(attempt, None)

    # --- on the I/O thread

    async def start(self, worker: WorkerRow) -> None:
        """Write of this worker, with the others."""
        self._workers[worker.id] = worker
        self._seen_at = 0.0
        if self._living is None:
            self._ending = False
            self._living = asyncio.ensure_future(self._live())

    async def stop(self, worker_id: str) -> None:
        """The worker is over. With the last one, write what there is, for a while."""
        worker = self._workers[worker_id]
        worker.stopped_at = self.clock.time()
        self._seen_at = 0.0
        self._wake.set()
        if all(one.stopped_at is not None for one in self._workers.values()):
            living, self._living = self._living, None
            self._ending = True
            if living is not None:
                await asyncio.wait({living}, timeout=LAST_FLUSH)
                living.cancel()
                await asyncio.gather(living, return_exceptions=True)
            self._workers.clear()

    async def note(self, note: Note) -> None:
        """Write what a person did. Raises `StoreUnavailable`."""
        await self._store.write(Batch(notes=[note]))

    async def _live(self) -> None:
        try:
            while True:
                ending = self._ending
                await self._write(self._batch())
                if ending:
                    return
                await self._prune()
                self._wake.clear()
                if not self._ending:
                    await pause(self.clock, FLUSH_PAUSE, self._wake)
        except Exception:
            logger.exception("The history is broken: nothing more is written to it.")

    async def _write(self, batch: Batch) -> None:
        """Write the batch, again and again while the store is away. Others wait meanwhile."""
        wait = FIRST_PAUSE
        while batch:
            try:
                await self._store.open()
                await self._store.write(batch)
                return
            except StoreUnavailable as error:
                logger.warning("%s The history waits %.2g s.", error, wait)
                await pause(self.clock, wait, self._wake)
                self._wake.clear()
                wait = min(wait * 2, LONGEST_PAUSE)
            except Exception:
                self.dropped += len(batch.tasks) + len(batch.attempts)
                logger.exception("A part of the history cannot be written: it is dropped.")
                return

    def _batch(self) -> Batch:
        """What is to be written now."""
        told = [self._told.popleft() for _ in range(len(self._told))]
        self._bytes = 0
        batch = self._rows.of(told, list(self._attempts))
        now = self.clock.time()
        if now - self._seen_at >= HEARTBEAT:
            self._seen_at = now
            for worker in self._workers.values():
                worker.seen_at, worker.dropped = now, self.dropped
            batch.workers = list(self._workers.values())
        return batch

    async def _prune(self) -> None:
        """Drop what is over the bounds, in part, again soon while there is more."""
        now = self.clock.time()
        if now - self._pruned_at < PRUNE_PAUSE:
            return
        try:
            gone = await self._store.prune(replace(self._bounds, since=now - self._bounds.since))
        except StoreUnavailable as error:
            logger.warning("%s What is too old stays.", error)
            gone = 0
        if not gone:
            self._pruned_at = now
