"""What a progress store promises. A run's progress is a small map from text to bytes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import msgspec


class Ticket(msgspec.Struct, frozen=True, gc=False):
    """The right to write to a run: the epoch that `load` took, and the number of this write.

    A store accepts a write when the run's epoch is the ticket's and the run's `seq` is lower than
    the ticket's. A write with the `seq` that has already landed is the repeat of a lost reply: it
    succeeds and changes nothing. Anything else raises `Fenced`.
    """

    run: str
    epoch: int
    seq: int


@dataclass(slots=True)
class Patch:
    """What changed in a run's progress: entries to write, entries to delete.

    `release=True` is the last write of an attempt that ended by itself, whatever its outcome. A run
    that is loaded without it was still held when its process died, or lost its lease.
    """

    puts: dict[str, bytes] = field(default_factory=dict[str, bytes])
    deletes: set[str] = field(default_factory=set[str])
    release: bool = False

    def __bool__(self) -> bool:
        return bool(self.puts or self.deletes or self.release)


class Saved(msgspec.Struct, frozen=True, gc=False):
    """A run as the store holds it.

    epoch: the epoch; after `load`, the one that this load took.
    seq: the number of the last write that landed.
    entries: the progress.
    held: whether an earlier epoch was never released: its process died, or its lease was lost.
    result: what `finish` stored, for a run that is over; its entries are gone.
    """

    epoch: int = 0
    seq: int = 0
    entries: Mapping[str, bytes] = {}
    held: bool = False
    result: bytes | None = None


class ProgressStore(Protocol):
    """Where runs keep their progress. Every write is a compare-and-set on (epoch, seq).

    All calls come from one event loop, the I/O thread's, and may overlap: a store may put writes of
    several runs that overlap into one commit. A store that cannot be reached raises
    `StoreUnavailable`; the caller tries again with the same ticket.
    """

    async def open(self) -> None:
        """Connect, and make what is missing. Raises a clear error where it cannot."""
        ...

    async def close(self) -> None:
        """Let go of everything. Harmless when called twice."""
        ...

    async def load(self, run: str) -> Saved:
        """Take the next epoch of the run, known or not, and return what is stored.

        A finished run is returned with its result; its epoch rises all the same, its `held` is
        `False`.
        """
        ...

    async def peek(self, run: str) -> Saved | None:
        """What is stored, without taking an epoch; `None` for an unknown run."""
        ...

    async def commit(self, ticket: Ticket, patch: Patch) -> None:
        """Apply the patch, whole or not at all. Its cost is the patch's size. Raises `Fenced`."""
        ...

    async def finish(self, ticket: Ticket, result: bytes, keep: float | None) -> None:
        """Replace the progress by the result, kept for `keep` seconds (`None`: until forgotten).

        Raises `Fenced`.
        """
        ...

    async def forget(self, run: str) -> None:
        """Drop all that is stored of the run, whoever holds it."""
        ...
