"""Carries a run's changes to its store, one write in flight.

The run's thread changes the progress and asks for a write; the I/O thread takes what has changed by
then, so that the next write holds all that came since, even while a handler blocks the run's loop.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Literal

from cnstra.clock import Clock
from cnstra.durable.eager import begin
from cnstra.durable.io_thread import IOThread, Mailbox
from cnstra.durable.progress import Progress
from cnstra.durable.store import Patch, ProgressStore, Ticket
from cnstra.errors import Fenced, StoreUnavailable

logger = logging.getLogger("cnstra.durable")

Durability = Literal["exit", "behind", "step"]
"""When a checkpoint is written: when an attempt ends unfinished; behind the run, at most two writes
old; before successors start."""

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0


Write = Callable[[ProgressStore, Ticket], Awaitable[None]]


class Journal:
    """The writes of one attempt, under one epoch."""

    __slots__ = (
        "_barriers", "_clock", "_epoch", "_io", "_landed", "_mailbox", "_on_lost", "_progress",
        "_seq", "_store", "_task", "_wanted", "_writing", "lost",
    )  # fmt: skip

    def __init__(
        self,
        store: ProgressStore | None,
        progress: Progress,
        epoch: int,
        *,
        seq: int = 0,
        io: IOThread,
        mailbox: Mailbox,
        clock: Clock,
        on_lost: Callable[[BaseException], None],
    ) -> None:
        self._store = store
        self._progress = progress
        self._epoch = epoch
        self._seq = seq
        self._io = io
        self._mailbox = mailbox
        self._clock = clock
        self._on_lost = on_lost
        self._wanted = False
        self._writing = False
        self._task: asyncio.Task[None] | None = None
        self._landed = 0
        self._barriers: list[tuple[int, Callable[[], None]]] = []
        self.lost: BaseException | None = None

    # --- on the run's thread

    def write(self) -> None:
        """Have what has changed written, now or with the next write.

        Costs nothing where one is due.
        """
        if self._store is None or self._wanted or self.lost is not None:
            return
        self._wanted = True
        if not self._writing:
            self._io.post(self._start)

    def when_landed(self, callback: Callable[[], None]) -> None:
        """Write, and call back on the run's loop once all that has changed by now has landed."""
        if self._store is None:
            self._mailbox.post(callback)
            return
        self._barriers.append((self._progress.version, callback))
        if self.lost is None:
            self.write()
        else:  # not before the run has heard of it: it must start nothing more
            self._mailbox.post(self._tell_lost)

    async def flush(self) -> None:
        """Wait until all that has changed has landed, or the run is lost."""
        landed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def land() -> None:
            if not landed.done():
                landed.set_result(None)

        self.when_landed(land)
        await landed

    @property
    def is_due(self) -> bool:
        """Whether a write is wanted, or in flight."""
        return self._wanted or self._writing

    async def settle(self) -> None:
        """Wait until no write is in flight: what has changed since is of no account any more."""
        self._progress.drop()
        self._wanted = False  # before the look: what has not begun by now finds nothing wanted
        if self._writing:
            await self.flush()

    async def last_write(self, patch: Patch) -> None:
        """Flush, then write `patch` as the last one. Raises `Fenced` where the run is lost."""
        await self.flush()
        await self._write_last(lambda store, ticket: store.commit(ticket, patch))

    async def finish(self, result: bytes, keep: float | None) -> None:
        """Replace the progress by the result.

        Nothing may be in flight: `settle` first. Raises `Fenced`.
        """
        await self._write_last(lambda store, ticket: store.finish(ticket, result, keep))

    async def _write_last(self, write: Write) -> None:
        if self._store is not None:
            await self._io.call(lambda: self._land(write))
        if self.lost is not None:
            raise self.lost

    def ticket(self) -> Ticket:
        """The right to the next write, for whoever makes the last one in the broker's own step.

        Nothing may be in flight: `flush` first.
        """
        return Ticket(self._progress.run, self._epoch, self._seq + 1)

    def lose(self, error: BaseException) -> None:
        """Nothing more can be written: the run is another worker's now, or the store refuses it.

        Callable on any thread, more than once.
        """
        if self.lost is None:
            self.lost = error
            self._mailbox.post(self._tell_lost)

    # --- on the I/O thread

    def _start(self) -> None:
        if self._wanted and not self._writing:
            self._writing = True
            self._task = begin(self._write_all())

    async def _write_all(self) -> None:
        while self._wanted and self.lost is None:
            self._wanted = False
            try:
                patch, version = self._progress.take()
            except Exception as error:
                self._refuse(error)
                break
            if patch:
                await self._land(partial(_commit, patch))
            if self.lost is None:
                self._mailbox.post(partial(self._reach, version))
        self._writing = False
        if self._wanted and self.lost is None:
            self._start()

    async def _land(self, write: Write) -> None:
        """Write, again and again while the store is away, until it lands or the lease is lost."""
        store, pause = self._store, FIRST_PAUSE
        assert store is not None
        ticket = self.ticket()
        while self.lost is None:
            try:
                await write(store, ticket)
            except StoreUnavailable as error:
                logger.warning("%s Next try in %.2g s.", error, pause)
                await self._clock.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
            except Fenced as error:
                self.lose(error)
            except Exception as error:
                self._refuse(error)
            else:
                self._seq = ticket.seq
                return

    def _refuse(self, error: Exception) -> None:
        logger.error("Run %s cannot be written down: it ends.", self._progress.run, exc_info=error)
        self.lose(error)

    # --- back on the run's thread

    def _reach(self, version: int) -> None:
        self._landed = max(self._landed, version)
        due = [callback for at, callback in self._barriers if at <= self._landed]
        if due:
            self._barriers = [pair for pair in self._barriers if pair[0] > self._landed]
        for callback in due:
            callback()

    def _tell_lost(self) -> None:
        assert self.lost is not None
        self._on_lost(self.lost)
        barriers, self._barriers = self._barriers, []
        for _, callback in barriers:
            callback()


async def _commit(patch: Patch, store: ProgressStore, ticket: Ticket) -> None:
    await store.commit(ticket, patch)
