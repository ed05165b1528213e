"""The runs of one place: their checkpoints, fenced by epoch and number, and by the lock of their
job.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from cnstra.adapters.bullmq.client import Client
from cnstra.adapters.bullmq.connection import Unreachable
from cnstra.adapters.bullmq.leases import Lease
from cnstra.adapters.bullmq.options import milliseconds
from cnstra.adapters.bullmq.scripts import script
from cnstra.clock import Clock
from cnstra.durable.store import Patch, Saved, Ticket
from cnstra.errors import Fenced, StoreUnavailable

RUN_TIME = 30 * 24 * 3600 * 1000
"""Milliseconds for which a run is kept that nobody writes to: it goes when its job went some other
way.
"""

FENCE_TIME = 24 * 3600 * 1000
"""Milliseconds for which a run whose result has expired still refuses late writes."""


class RunStore:
    """A `ProgressStore`. Of a leased job it knows the lease, and lets nobody write who does not
    hold the lock.

    prefix: what the keys of its runs begin with. base: what those of the jobs begin with.
    """

    def __init__(
        self, client: Client, prefix: bytes, clock: Clock, *, base: bytes = b"", owns_client: bool
    ) -> None:
        self._client = client
        self._prefix = prefix
        self._clock = clock
        self._base = base
        self._owns_client = owns_client
        self.leases: dict[str, Lease] = {}

    async def open(self) -> None:
        if self._owns_client:
            try:
                await self._client.open()
            except Unreachable as error:
                raise self._unavailable(error) from error

    async def close(self) -> None:
        if self._owns_client:
            await self._client.close()

    async def load(self, run: str) -> Saved:
        lease = self.leases.get(run)
        if lease is not None:
            lease.is_stored = True
        epoch, held, fields = await self._load(run, lease.epoch + 1 if lease else 0)
        return saved_of(fields, epoch, held=bool(held))

    async def load_for(self, run: str, floor: int, origin: bytes, *, held: bool) -> Saved | None:
        """Take an epoch for a job that was just leased; `None` where the job's own progress is
        newer.

        A checkpoint descends from the progress that the job carried then. Whoever has written
        another one since (a Node worker) held the job later than we did: what that says is what
        has been done. A stored result is final, whoever wrote what.
        """
        found = await self._load(run, floor, must_exist=True)
        if not found:
            return None
        epoch, _, fields = found
        flat = _as_mapping(fields)
        if b"x" not in flat and flat.get(b"p") != origin:
            # Its numbers go on, or a write of ours would pass for the repeat of an older one.
            return Saved(epoch=epoch, seq=int(flat.get(b"s", b"0")), held=held)
        return saved_of(fields, epoch, held=held)

    async def _load(self, run: str, floor: int, *, must_exist: bool = False) -> Any:
        return await self._run(
            "load_run", self.key(run), floor, milliseconds(self._clock), int(must_exist), RUN_TIME
        )

    async def peek(self, run: str) -> Saved | None:
        try:
            fields = await self._client.call(b"HGETALL", self.key(run))
        except Unreachable as error:
            raise self._unavailable(error) from error
        known = _as_mapping(fields)
        expires_at = known.get(b"t")
        if not known or (expires_at and float(expires_at) <= milliseconds(self._clock)):
            return None
        held = known[b"e"] != known.get(b"r")
        return saved_of(fields, int(known[b"e"]), held=held)

    async def commit(self, ticket: Ticket, patch: Patch) -> None:
        lease = self.leases.get(ticket.run)
        if lease is not None and lease.epoch != ticket.epoch:
            lease = None
        if lease is not None:
            lease.is_stored = True
        changes: list[bytes] = []
        for key, value in patch.puts.items():
            changes += _entry(key), value
        changes += [_entry(key) for key in patch.deletes if key not in patch.puts]
        answer = await self._run(
            "commit_run",
            self.key(ticket.run),
            ticket.epoch,
            ticket.seq,
            int(patch.release),
            RUN_TIME,
            self._base + lease.native if lease else b"",
            lease.token if lease else b"",
            int(lease.afresh) if lease else 0,
            lease.origin() if lease else b"",
            len(patch.puts),
            *changes,
        )
        if answer[0] == b"fenced" and self.leases.get(ticket.run) is lease:
            self.leases.pop(ticket.run, None)  # another's may have come in its place meanwhile
        self._check(ticket, answer)
        if lease is not None:
            lease.afresh = False

    async def finish(self, ticket: Ticket, result: bytes, keep: float | None) -> None:
        kept = 0 if keep is None else round(keep * 1000)
        expires_at = "" if keep is None else milliseconds(self._clock) + kept
        answer = await self._run(
            "finish_run", self.key(ticket.run), ticket.epoch, ticket.seq, result, expires_at,
            kept + FENCE_TIME,
        )  # fmt: skip
        self._check(ticket, answer)

    async def forget(self, run: str) -> None:
        try:
            await self._client.call(b"DEL", self.key(run))
        except Unreachable as error:
            raise self._unavailable(error) from error

    def key(self, run: str) -> bytes:
        """Where the run is kept."""
        return self._prefix + run.encode("utf-8", "surrogatepass")

    # --- inside

    async def _run(self, name: str, *parts: Any) -> Any:
        try:
            return await self._client.run(script(name), *parts)
        except Unreachable as error:
            raise self._unavailable(error) from error

    def _check(self, ticket: Ticket, answer: list[Any]) -> None:
        if answer[0] == b"fenced":
            raise Fenced(run=ticket.run, epoch=ticket.epoch, found=int(answer[1]))

    def _unavailable(self, error: Unreachable) -> StoreUnavailable:
        return StoreUnavailable(url=self._client.location.shown, reason=str(error))


def saved_of(fields: list[bytes], epoch: int, *, held: bool) -> Saved:
    """A run, from the fields of its hash."""
    known = _as_mapping(fields)
    result = known.get(b"x")
    return Saved(
        epoch=epoch,
        seq=int(known.get(b"s", b"0")),
        entries=dict(_entries(known)),
        held=held and result is None,
        result=result,
    )


def _entries(known: Mapping[bytes, bytes]) -> Iterator[tuple[str, bytes]]:
    for field, value in known.items():
        if field[:1] == b":":
            yield field[1:].decode("utf-8", "surrogatepass"), value


def _entry(key: str) -> bytes:
    return b":" + key.encode("utf-8", "surrogatepass")


def _as_mapping(fields: list[bytes]) -> dict[bytes, bytes]:
    return dict(zip(fields[::2], fields[1::2], strict=True))
