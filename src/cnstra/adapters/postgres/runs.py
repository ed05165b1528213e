"""The rows of runs, and how they are asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cnstra.adapters.postgres.columns import from_text, to_run, to_text
from cnstra.adapters.postgres.pool import Row
from cnstra.durable.store import Patch, Saved, Ticket
from cnstra.errors import Fenced


@dataclass(frozen=True, slots=True)
class RunWrite:
    """A write to a run; one with a `result` is its last, and is kept for `keep` seconds."""

    ticket: Ticket
    patch: Patch
    result: bytes | None = None
    keep: float | None = None

    @property
    def run(self) -> str:
        return self.ticket.run


def columns_of(writes: Sequence[RunWrite]) -> dict[str, Any]:
    """The parameters of `commit_runs`."""
    runs = [to_run(write.run) for write in writes]
    patches = list(zip(runs, (write.patch for write in writes), strict=True))
    deletes = [
        (run, to_text(key))
        for run, patch in patches
        for key in patch.deletes
        if key not in patch.puts
    ]
    puts = [
        (run, to_text(key), value) for run, patch in patches for key, value in patch.puts.items()
    ]
    return {
        "runs": runs,
        "epochs": [write.ticket.epoch for write in writes],
        "seqs": [write.ticket.seq for write in writes],
        "releases": [write.patch.release for write in writes],
        "results": [write.result for write in writes],
        "keeps": [write.keep for write in writes],
        "deleted_from": [run for run, _ in deletes],
        "deleted_keys": [key for _, key in deletes],
        "put_into": [run for run, _, _ in puts],
        "put_keys": [key for _, key, _ in puts],
        "put_values": [value for _, _, value in puts],
    }


def answer_of(write: RunWrite, row: Row) -> bool | Fenced:
    """What became of a write: a repeat of one that has landed is as good as done."""
    applied, epoch, seq = row
    ticket = write.ticket
    if applied or (epoch, seq) == (ticket.epoch, ticket.seq):
        return True
    return Fenced(run=ticket.run, epoch=ticket.epoch, found=epoch)


def saved_of(row: Sequence[Any]) -> Saved:
    """The run of a row (epoch, seq, held, result, keys, values)."""
    epoch, seq, held, result, keys, values = row
    entries = {from_text(key): value for key, value in zip(keys or (), values or (), strict=True)}
    return Saved(epoch, seq, entries, held, result)
