"""The runs that are kept in memory: their epochs, numbers, progress and results."""

from dataclasses import dataclass, field

from cnstra.durable.store import Patch, Saved, Ticket
from cnstra.errors import Fenced


@dataclass(slots=True)
class Run:
    """A run. `released` is the last epoch that ended by itself."""

    epoch: int = 0
    seq: int = 0
    released: int = 0
    entries: dict[str, bytes] = field(default_factory=dict[str, bytes])
    result: bytes | None = None
    expires_at: float | None = None

    def is_expired(self, now: float) -> bool:
        return self.expires_at is not None and self.expires_at <= now

    def saved(self, *, held: bool) -> Saved:
        is_over = self.result is not None
        return Saved(self.epoch, self.seq, dict(self.entries), held and not is_over, self.result)


class Runs:
    """Every write is a compare-and-set on (epoch, seq). The caller holds the world's lock."""

    __slots__ = ("_runs",)

    def __init__(self) -> None:
        self._runs: dict[str, Run] = {}

    def load(self, name: str, now: float) -> Saved:
        run = self._runs.setdefault(name, Run())
        held = run.released != run.epoch
        if run.is_expired(now):
            run.result = run.expires_at = None
            held = False
        run.epoch += 1
        return run.saved(held=held)

    def peek(self, name: str, now: float) -> Saved | None:
        run = self._runs.get(name)
        if run is None or run.is_expired(now):
            return None
        return run.saved(held=run.released != run.epoch)

    def result(self, name: str) -> bytes | None:
        run = self._runs.get(name)
        return run.result if run else None

    def commit(self, ticket: Ticket, patch: Patch) -> None:
        run = self._advanced(ticket)
        if run is None:
            return
        for key in patch.deletes:
            run.entries.pop(key, None)
        run.entries.update(patch.puts)
        if patch.release:
            run.released = run.epoch

    def finish(self, ticket: Ticket, result: bytes, expires_at: float | None) -> None:
        run = self._advanced(ticket)
        if run is None:
            return
        run.entries = {}
        run.released = run.epoch
        run.result = result
        run.expires_at = expires_at

    def forget(self, name: str) -> None:
        self._runs.pop(name, None)

    def fence(self, name: str) -> None:
        """Refuse all that an earlier holder may still send, without anybody taking over."""
        run = self._runs.get(name)
        if run is not None:
            run.epoch += 1
            run.released = run.epoch

    def clear_counters(self, name: str) -> None:
        """Drop the crash counters, so that a redriven run starts with a clean slate."""
        run = self._runs.get(name)
        if run is not None:
            run.entries = {k: v for k, v in run.entries.items() if not k.startswith("s/")}

    def remove_expired(self, now: float) -> None:
        for name in [name for name, run in self._runs.items() if run.is_expired(now)]:
            del self._runs[name]

    def _advanced(self, ticket: Ticket) -> Run | None:
        """The run, its number now the ticket's; `None` if this very write has landed before."""
        run = self._runs.get(ticket.run) or Run()
        if run.epoch == ticket.epoch and run.seq == ticket.seq:
            return None
        if run.epoch != ticket.epoch or run.seq > ticket.seq or run.result is not None:
            raise Fenced(run=ticket.run, epoch=ticket.epoch, found=run.epoch)
        run.seq = ticket.seq
        return run
