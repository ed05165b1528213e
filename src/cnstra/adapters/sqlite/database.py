"""One connection, and the commits that its users share.

A write is a function of the connection. All writes that come in during one turn of the event loop
run in one transaction and are committed once. A write that refuses (`CnstraError`) must have
written nothing; the others are not disturbed. Whatever else goes wrong rolls the whole transaction
back, and each of its writes is tried again alone, so that one bad write fails alone too.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from cnstra.adapters.sqlite.location import Location
from cnstra.adapters.sqlite.opening import JOBS, Kind, Unsuitable, connect
from cnstra.clock import Clock, pause
from cnstra.errors import BrokerUnavailable, CnstraError, StoreUnavailable

T = TypeVar("T")
Operation = Callable[[sqlite3.Connection], T]
Unavailable = type[BrokerUnavailable] | type[StoreUnavailable]

PATIENCE = 5.0
"""How many seconds a lock of another process is waited for, before the caller hears of it."""

POLL = 0.015
"""How many seconds lie between two looks for changes that other connections made."""

TICK = 0.001
"""The shortest wait: less may be nothing at all to a clock that counts in floats."""

FAULTS_OF_THE_FILE = frozenset({
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOLFS,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_READONLY,
})  # fmt: skip
"""What more attempts, or a person, may mend. All else is a mistake in this program."""


class Write(Generic[T]):
    """A write that waits for its transaction."""

    __slots__ = ("future", "operation", "refused", "rings", "unavailable", "value")

    def __init__(
        self,
        operation: Operation[T],
        future: "asyncio.Future[T]",
        unavailable: Unavailable,
        rings: bool,
    ) -> None:
        self.operation = operation
        self.future = future
        self.unavailable = unavailable
        self.rings = rings
        self.refused: CnstraError | None = None
        self.value: Any = None

    def run(self, connection: sqlite3.Connection) -> None:
        self.refused = None
        try:
            self.value = self.operation(connection)
        except CnstraError as error:
            self.refused = error

    def resolve(self) -> None:
        if self.refused is None:
            self.future.set_result(self.value)
        else:
            self.future.set_exception(self.refused)


class Database:
    """A database file, opened by one event loop."""

    __slots__ = (
        "_busy_since",
        "_connection",
        "_kind",
        "_opening",
        "_pending",
        "_retrying",
        "_scheduled",
        "_users",
        "_version",
        "bell",
        "clock",
        "generation",
        "location",
    )

    def __init__(self, location: Location, clock: Clock, kind: Kind = JOBS) -> None:
        self.location = location
        self._kind = kind
        self.clock = clock
        self.generation = 0
        self.bell = asyncio.Event()
        self._connection: sqlite3.Connection | None = None
        self._opening = asyncio.Lock()
        self._users = 0
        self._version = 0
        self._pending: list[Write[Any]] = []
        self._scheduled = False
        self._busy_since: float | None = None
        self._retrying: asyncio.Task[None] | None = None

    # --- its life

    async def open(self, unavailable: Unavailable) -> None:
        """Open the file for one more user. Raises what `connect` does, and `unavailable`."""
        async with self._opening:
            if self._connection is None:
                try:
                    self._connection = await self._patiently(
                        lambda: connect(self.location, self._kind)
                    )
                except (sqlite3.Error, OSError, Unsuitable) as error:
                    raise self._told(unavailable, error)  # noqa: B904
                self._version = data_version(self._connection)
            self._users += 1

    def close(self) -> None:
        """Let one user go; with the last, what is pending is written and the file closed."""
        self._users -= 1
        if self._users or self._connection is None:
            return
        self._flush()
        if self._retrying is not None:
            self._retrying.cancel()
        self._give_up(self._pending, Unsuitable("it was closed while it was locked"))
        self._pending = []
        self._scheduled = False
        self._connection.close()
        self._connection = None
        self.ring()

    # --- its work

    async def read(self, operation: Operation[T], unavailable: Unavailable) -> T:
        """What `operation` returns, all its statements seeing one state of the database."""
        try:
            return await self._patiently(lambda: self._read_now(operation))
        except (sqlite3.Error, Unsuitable) as error:
            raise self._told(unavailable, error)  # noqa: B904

    def write(
        self, operation: Operation[T], unavailable: Unavailable, *, rings: bool = False
    ) -> "asyncio.Future[T]":
        """What `operation` returns, once it is committed. With `rings`, those who wait hear of it.

        `operation` may run more than once, of which one run counts. Cancelling the future before
        its transaction begins withdraws the write.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._pending.append(Write(operation, future, unavailable, rings))
        if not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._flush)
        return future

    # --- those who wait for changes

    def ring(self) -> None:
        """Wake all who wait for a change."""
        self.generation += 1
        self.bell.set()
        self.bell = asyncio.Event()

    async def listen(self, unavailable: Unavailable) -> None:
        """Ring if another connection has changed the file since the last time."""
        version = await self.read(data_version, unavailable)
        if version != self._version:
            self._version = version
            self.ring()

    async def rest(self, bell: asyncio.Event, seconds: float, unavailable: Unavailable) -> None:
        """Wait until `bell` rings, or until `seconds` have passed."""
        ends_at = self.clock.monotonic() + seconds
        while not bell.is_set() and (left := ends_at - self.clock.monotonic()) > 0:
            if not await pause(self.clock, max(min(POLL, left), TICK), bell):
                await self.listen(unavailable)

    # --- transactions

    def _read_now(self, operation: Operation[T]) -> T:
        connection = self._opened()
        connection.execute("BEGIN")
        try:
            return operation(connection)
        finally:
            _roll_back(connection)

    def _flush(self) -> None:
        self._scheduled = False
        batch = [write for write in self._pending if not write.future.done()]
        self._pending = []
        try:
            if batch:
                self._commit(batch)
        except Exception as error:
            if _is_busy(error):
                self._postpone(batch, error)
            else:
                self._commit_one_by_one(batch)

    def _commit_one_by_one(self, batch: list[Write[Any]]) -> None:
        for position, write in enumerate(batch):
            try:
                self._commit([write])
            except Exception as error:
                if _is_busy(error):
                    self._postpone(batch[position:], error)
                    return
                self._give_up([write], error)

    def _commit(self, batch: list[Write[Any]]) -> None:
        connection = self._opened()
        connection.execute("BEGIN IMMEDIATE")
        try:
            for write in batch:
                write.run(connection)
            connection.execute("COMMIT")
        except BaseException:
            _roll_back(connection)
            raise
        self._busy_since = None
        for write in batch:
            write.resolve()
        if any(write.rings for write in batch):
            self.ring()

    def _postpone(self, batch: list[Write[Any]], error: Exception) -> None:
        now = self.clock.monotonic()
        if self._busy_since is None:
            self._busy_since = now
        if now - self._busy_since >= PATIENCE:
            self._busy_since = None
            self._give_up(batch, error)
            return
        self._pending = batch
        self._scheduled = True
        self._retrying = asyncio.get_running_loop().create_task(self._retry())

    async def _retry(self) -> None:
        await self.clock.sleep(self._a_moment())
        self._flush()

    async def _patiently(self, attempt: Callable[[], T]) -> T:
        gives_up_at = self.clock.monotonic() + PATIENCE
        while True:
            try:
                return attempt()
            except sqlite3.OperationalError as error:
                if not _is_busy(error) or self.clock.monotonic() >= gives_up_at:
                    raise
            await self.clock.sleep(self._a_moment())

    def _a_moment(self) -> float:
        """How long to wait for a lock: about as long as a commit takes, and never in step."""
        return (0.5 + 2.0 * self.clock.random()) * TICK

    def _give_up(self, batch: list[Write[Any]], error: Exception) -> None:
        for write in batch:
            write.future.set_exception(self._told(write.unavailable, error))

    def _told(self, unavailable: Unavailable, error: Exception) -> Exception:
        """The error as a caller is told: what the file or its disk did is `unavailable`."""
        if isinstance(error, OSError | Unsuitable) or _primary_code(error) in FAULTS_OF_THE_FILE:
            told = unavailable(url=self.location.url, reason=str(error))
            told.__cause__ = error
            return told
        return error

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            raise Unsuitable("it is closed")
        return self._connection


def data_version(connection: sqlite3.Connection) -> int:
    """A number that changes when another connection has changed the file."""
    version: int = connection.execute("PRAGMA data_version").fetchone()[0]
    return version


def _primary_code(error: Exception) -> int:
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK)
    return code & 0xFF


def _is_busy(error: Exception) -> bool:
    return _primary_code(error) == sqlite3.SQLITE_BUSY


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")
