"""The progress store in a key-value bucket of NATS."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from msgspec.structs import replace

from cnstra.adapters.nats.client import Client
from cnstra.adapters.nats.connection import Conflict, Connection, Refused, Unreachable
from cnstra.adapters.nats.location import Location
from cnstra.adapters.nats.log import Log, remembered
from cnstra.adapters.nats.records import NOTHING, Head, Record, encode, saved_of
from cnstra.adapters.nats.streams import prepare_bucket
from cnstra.clock import Clock
from cnstra.durable.store import Patch, Saved, Ticket
from cnstra.errors import Fenced, StoreUnavailable

T = TypeVar("T")

LEAST_LOG = 64 * 1024
"""Bytes that a log may grow by before it is folded, however little it was then."""
HEADS = 10_000
"""Runs of which we remember where they stand; a write to any other looks first."""
SWEPT_PER_FINISH = 2
"""More than one for each result that is stored, so that expired ones never pile up."""


class NatsStore:
    """A `ProgressStore`. Each run is a key of the bucket, each write one more revision of it."""

    def __init__(self, place: Location, clock: Clock) -> None:
        self._client = Client(place, self._prepare)
        self._log = Log(self._client, place.namespace)
        self._place = place
        self._clock = clock
        self._heads: dict[str, Head] = {}
        self._cursor = 1

    async def open(self) -> None:
        await self._reached(self._client.open())

    async def close(self) -> None:
        await self._client.close()

    async def load(self, run: str) -> Saved:
        return await self._reached(self._load(run))

    async def peek(self, run: str) -> Saved | None:
        head, entries = await self._reached(self._log.read(run))
        record = head.record
        if record is None or record.is_expired(self._clock.time()):
            return None
        return saved_of(record, entries, held=record.released != record.epoch)

    async def commit(self, ticket: Ticket, patch: Patch) -> None:
        puts = {_key(key): value for key, value in patch.puts.items()}
        deletes = [_key(key) for key in patch.deletes if key not in patch.puts]

        async def change(head: Head, record: Record) -> tuple[Head, Record]:
            return await self._lengthened(
                ticket.run,
                head,
                replace(
                    record,
                    seq=ticket.seq,
                    released=record.epoch if patch.release else record.released,
                    puts=puts,
                    deletes=deletes,
                ),
            )

        await self._reached(self._write(ticket, change))

    async def finish(self, ticket: Ticket, result: bytes, keep: float | None) -> None:
        expires_at = None if keep is None else self._clock.time() + keep

        async def change(head: Head, record: Record) -> tuple[Head, Record]:
            return head, Record(
                epoch=record.epoch,
                seq=ticket.seq,
                released=record.epoch,
                result=result,
                expires_at=expires_at,
            )

        await self._reached(self._write(ticket, change))
        self._heads.pop(ticket.run, None)
        with suppress(Unreachable):
            await self._sweep()

    async def forget(self, run: str) -> None:
        self._heads.pop(run, None)
        await self._reached(self._log.drop(run))

    # --- inside

    async def _prepare(self, connection: Connection) -> None:
        await prepare_bucket(connection, self._place, self._place.namespace)

    async def _load(self, run: str) -> Saved:
        """Take an epoch. A run is expected to be new; where it is not, we look."""
        head, entries = NOTHING, dict[bytes, bytes]()
        while True:
            was = head.record or Record(epoch=0)
            record = replace(was, epoch=was.epoch + 1, puts={}, deletes=[])
            if was.is_expired(self._clock.time()):
                record = Record(epoch=record.epoch, seq=was.seq, released=was.epoch)
                entries = {}
            try:
                if head.record is not None and was.result is None:
                    head, record = await self._lengthened(run, head, record)
                self._remember(run, await self._log.append(run, head, record))
            except Conflict:
                head, entries = await self._log.read(run)
            else:
                return saved_of(record, entries, held=record.released != was.epoch)

    async def _write(
        self,
        ticket: Ticket,
        change: Callable[[Head, Record], Awaitable[tuple[Head, Record]]],
    ) -> None:
        """Write what `change` makes of the run, if the ticket is good. Raises `Fenced`."""
        head, is_sure = self._heads.pop(ticket.run, None), False
        while True:
            if head is None:
                head, is_sure = await self._log.head(ticket.run), True
            record = head.record
            if record is not None and _admits(record, ticket):
                try:
                    head, written = await change(head, record)
                    self._remember(ticket.run, await self._log.append(ticket.run, head, written))
                except Conflict:
                    head = None
                    continue
                return
            if is_sure:
                break
            head = None
        epoch, seq = (record.epoch, record.seq) if record is not None else (0, 0)
        if (epoch, seq) != (ticket.epoch, ticket.seq):
            raise Fenced(run=ticket.run, epoch=ticket.epoch, found=epoch)

    async def _lengthened(self, run: str, head: Head, record: Record) -> tuple[Head, Record]:
        """The record as the log's next one, or as its new base where it has grown too long."""
        assert head.record is not None
        record = replace(record, back=remembered(head))
        size = head.record.logged + len(encode(record))
        if size <= max(LEAST_LOG, head.record.base):
            return head, replace(record, logged=size)
        current, entries = await self._log.read(run)
        if current.revision != head.revision:
            raise Conflict({})
        for key in record.deletes:
            entries.pop(key, None)
        entries |= record.puts
        base = replace(record, back=[], puts=entries, deletes=[], logged=0, base=0)
        return current, replace(base, base=len(encode(base)))

    def _remember(self, run: str, head: Head) -> None:
        """Keep where a run stands, without what it holds."""
        assert head.record is not None
        if len(self._heads) >= HEADS:
            del self._heads[next(iter(self._heads))]
        slim = replace(head.record, puts={}, deletes=[], result=None)
        if head.record.result is None:
            self._heads[run] = Head(head.last, head.revision, slim)

    async def _sweep(self) -> None:
        for _ in range(SWEPT_PER_FINISH):
            self._cursor = await self._log.sweep(self._clock.time(), self._cursor)

    async def _reached(self, call: Awaitable[T]) -> T:
        try:
            return await call
        except (Unreachable, Refused) as error:
            raise StoreUnavailable(url=self._place.shown, reason=error) from error


def _admits(record: Record, ticket: Ticket) -> bool:
    return record.epoch == ticket.epoch and record.seq < ticket.seq and record.result is None


def _key(key: str) -> bytes:
    return key.encode("utf-8", "surrogatepass")
