"""Taking back the writes of one activation, and of no other."""

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar
from weakref import WeakValueDictionary

C = TypeVar("C")
V = TypeVar("V")


class Undoes(Protocol):
    """What takes back its writes if it comes to nothing: a handler's `ctx`."""

    def add_undo(self, undo: Callable[[], object], /) -> None: ...


class _Write(Generic[V]):
    """A write that may be taken back. under: the one, also of this kind, that it was made over."""

    __slots__ = ("__weakref__", "before", "under", "undone")

    def __init__(self, before: V, under: "_Write[V] | None") -> None:
        self.before = before
        self.under = under
        self.undone = False


class UndoLog(Generic[C, V]):
    """The writes to some cells that may be taken back.

    A write that others have written over stays theirs; and one of those that is taken back itself
    brings nothing back that was taken back before.
    """

    __slots__ = ("_latest", "_restore")

    def __init__(self, restore: Callable[[C, V], None]) -> None:
        self._restore = restore
        self._latest: WeakValueDictionary[C, _Write[V]] | None = None
        """The last write to a cell, if it may be taken back. Activations hold what they may take
        back, so this forgets a write with its activation."""

    def wrote(self, cell: C, before: V, undo: Undoes | None) -> None:
        """The cell held `before`, and was written to; with `undo`, that may be taken back."""
        under = None if self._latest is None else self._latest.pop(cell, None)
        if undo is None:
            return
        if self._latest is None:
            self._latest = WeakValueDictionary()
        write = self._latest[cell] = _Write(before, under)
        undo.add_undo(lambda: self._take_back(cell, write))

    def forget(self) -> None:
        """From here on nothing that was written before may be taken back."""
        self._latest = None

    def _take_back(self, cell: C, write: _Write[V]) -> None:
        write.undone = True
        if self._latest is None or self._latest.get(cell) is not write:
            return
        lowest = write
        while lowest.under is not None and lowest.under.undone:
            lowest = lowest.under
        del self._latest[cell]
        self._restore(cell, lowest.before)
        if lowest.under is not None:
            self._latest[cell] = lowest.under
