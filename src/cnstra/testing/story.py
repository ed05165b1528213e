"""Puts together what processes tell of one job, and sees what must never be."""

from collections.abc import Collection, Mapping
from typing import Any

from cnstra.testing.observation import Happened, Observation, Slot, Start


class Story:
    """Hears of each step in the order in which they happened, from whatever process."""

    def __init__(self) -> None:
        self.seen = Observation()
        self._owed: frozenset[str] | None = None
        self._epoch = 0
        self._loaded: dict[int, frozenset[str] | None] = {}

    def started(
        self, process: int, activation: str, neuron: str, payload: str, is_inner: bool
    ) -> None:
        if is_inner:
            return
        self.seen.starts.append(Start(activation, neuron, payload, process))
        if self.seen.holds_as_done(self._loaded.get(process), activation):
            self.seen.complaints.append(
                f"neuron {neuron!r} was started again, which the checkpoint that the process had "
                "loaded holds as done"
            )

    def returned(self, activation: str, children: Collection[str]) -> None:
        self.seen.parents.update(dict.fromkeys(children, activation))

    def had_effect(
        self, process: int, activation: str, neuron: str, name: str, number: int, key: str | None
    ) -> None:
        slot = Slot(activation, neuron, name, number)
        self.seen.effects.append(Happened(slot, key, process))

    def overwrote(self, neuron: str) -> None:
        """An activation of it set the context to what it had made of a value of before."""
        self.seen.overwritten.append(neuron)

    def loaded(self, process: int, epoch: int) -> None:
        self._loaded[process] = self._owed
        self._epoch = max(self._epoch, epoch)

    def committed(
        self, process: int, epoch: int, puts: Collection[str], deletes: Collection[str]
    ) -> None:
        """A checkpoint has landed: these entries were put, those deleted."""
        self._must_be_newest(process, epoch)
        if self._owed is not None or puts:
            owed = self._owed or frozenset()
            self._owed = owed - _tasks(deletes) | _tasks(puts)
        self._must_be_consistent(self._owed or frozenset())

    def finished(self, process: int, epoch: int, context: Mapping[str, Any] | None) -> None:
        """The result has landed."""
        self._must_be_newest(process, epoch)
        self._owed = frozenset()
        if context is not None:
            self.seen.context = context

    def ended(self, state: str, result: Any, error: str, left: Collection[str]) -> None:
        """The job as the broker has it, with what is left of its progress."""
        if state in ("completed", "dead"):
            self.seen.state = state
        self.seen.result, self.seen.error = result, error
        if state == "completed" and left:
            self.seen.complaints.append(f"progress was left behind: {', '.join(sorted(left))}")

    def _must_be_newest(self, process: int, epoch: int) -> None:
        if epoch < self._epoch:
            self.seen.complaints.append(
                f"process {process} wrote under epoch {epoch}, when the run was another's under "
                f"{self._epoch}"
            )

    def _must_be_consistent(self, owed: frozenset[str]) -> None:
        """No checkpoint may owe an activation beside what that has emitted."""
        for key in owed:
            _, *before = self.seen.lineage(key)
            if not owed.isdisjoint(before):
                self.seen.complaints.append(
                    "a checkpoint owes an activation and, beside it, what that has emitted"
                )
                return


def _tasks(entries: Collection[str]) -> frozenset[str]:
    """The keys of the activations among the entries of a progress."""
    return frozenset(entry[2:] for entry in entries if entry.startswith("t/"))
