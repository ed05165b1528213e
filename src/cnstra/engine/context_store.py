"""The context values of a run, a value per neuron."""

import logging
import threading
from collections.abc import Mapping
from typing import Any, Final

from cnstra.engine.payloads import PayloadCodec
from cnstra.errors import CnstraError

logger = logging.getLogger("cnstra.engine")


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()
"""In place of a value: there is none."""


class Frozen:
    """A value that was committed in a durable run: its JSON. Each reader decodes its own copy."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


class _Write:
    """What one unfinished activation did to its neuron's value."""

    __slots__ = ("before", "count", "first", "last", "value")

    def __init__(self, before: object, version: int) -> None:
        self.before = before
        self.first = version
        self.last = version
        self.count = 0
        self.value: object = MISSING


class _Open:
    """A neuron whose value has uncommitted writes."""

    __slots__ = ("committed", "committed_version", "version", "writes")

    def __init__(self, committed: object) -> None:
        self.committed = committed
        self.committed_version = 0
        self.version = 0
        self.writes: dict[object, _Write] = {}


class ContextStore:
    """The context values of one run, a value per neuron.

    The invariant kept here: a snapshot holds no write of an activation that is still owed, and
    every write of one that is not. Writes are versioned. A commit moves the neuron's committed
    value to the last write of that activation, unless a later one is committed already; where
    activations of one neuron overlap, an unfinished one's write may thus be in the snapshot (at
    least once), but none is ever lost.

    The lock is for handlers in threads: each call is whole, but between a `get` and a `set` there
    other threads may come.
    """

    __slots__ = ("_codecs", "_local", "_lock", "_open", "_values")

    def __init__(
        self,
        values: Mapping[str, object] | None = None,
        codecs: Mapping[str, PayloadCodec[Any]] | None = None,
    ) -> None:
        self._values: dict[str, object] = dict(values or {})
        self._open: dict[str, _Open] = {}
        self._codecs = codecs
        self._local: set[str] = set()
        self._lock = threading.RLock()

    def get_all(self) -> dict[str, Any]:
        """The values as a snapshot holds them: without the writes of what is still owed."""
        with self._lock:
            values = {**self._values, **{name: one.committed for name, one in self._open.items()}}
            return {
                neuron: self._thaw(neuron, value)
                for neuron, value in values.items()
                if value is not MISSING and neuron not in self._local
            }

    def read(self, neuron: str, reader: object) -> object:
        """The neuron's value as the activation `reader` sees it: the last one set, or `MISSING`."""
        value = self._values.get(neuron, MISSING)
        if self._codecs is None or value is MISSING:
            return value
        if isinstance(value, Frozen):
            return self._thaw(neuron, value)
        with self._lock:
            opened = self._open.get(neuron)
            own = opened.writes.get(reader) if opened else None
            if own is not None and own.value is value:
                return value
            return self._thaw(neuron, self._frozen(neuron, value) or value)

    def write(self, neuron: str, writer: object, value: object) -> None:
        """Set the neuron's value (`MISSING` deletes it), until `commit` or `roll_back` decides."""
        with self._lock:
            current = self._values.get(neuron, MISSING)
            opened = self._open.get(neuron)
            if opened is None:
                opened = self._open[neuron] = _Open(current)
            opened.version += 1
            write = opened.writes.get(writer)
            if write is None:
                write = opened.writes[writer] = _Write(current, opened.version)
            write.last, write.value = opened.version, value
            write.count += 1
            self._place(neuron, value)

    def commit(self, neuron: str, writer: object) -> object:
        """The activation is over: its writes stay. Returns the neuron's committed value.

        In a durable run that is a `Frozen`, or `MISSING` for a value that was deleted or has no
        JSON form.
        """
        with self._lock:
            opened = self._open[neuron]
            write = opened.writes.pop(writer)
            if write.last > opened.committed_version:
                value = self._to_keep(neuron, write.value)
                opened.committed, opened.committed_version = value, write.last
                if write.last == opened.version:
                    self._place(neuron, value)
            self._close(neuron, opened)
            return MISSING if neuron in self._local else opened.committed

    def roll_back(self, neuron: str, writer: object) -> None:
        """The activation was interrupted: its writes go, unless others have built on them."""
        with self._lock:
            opened = self._open[neuron]
            write = opened.writes.pop(writer)
            alone = write.last == opened.version and write.last - write.first + 1 == write.count
            if alone:
                self._place(neuron, write.before)
            self._close(neuron, opened)

    def _close(self, neuron: str, opened: _Open) -> None:
        if not opened.writes:
            self._place(neuron, opened.committed)
            del self._open[neuron]

    def _place(self, neuron: str, value: object) -> None:
        if value is MISSING:
            self._values.pop(neuron, None)
        else:
            self._values[neuron] = value

    def _to_keep(self, neuron: str, value: object) -> object:
        """What a snapshot will hold of the value: in a durable run its JSON, if it has one."""
        if self._codecs is None or value is MISSING:
            self._local.discard(neuron)
            return value
        frozen = self._frozen(neuron, value)
        if frozen is not None:
            self._local.discard(neuron)
            return frozen
        if neuron not in self._local:
            logger.warning(
                "The context of neuron %r (%s) has no JSON form: it stays in this process, and a "
                "retry will not find it.",
                neuron,
                type(value).__name__,
            )
        self._local.add(neuron)
        return value

    def _frozen(self, neuron: str, value: object) -> Frozen | None:
        codec = (self._codecs or {}).get(neuron, _UNTYPED)
        try:
            return Frozen(codec.encode(value))
        except CnstraError:
            return None

    def _thaw(self, neuron: str, value: object) -> object:
        if not isinstance(value, Frozen):
            return value
        codec = (self._codecs or {}).get(neuron, _UNTYPED)
        return codec.decode(value.data)


_UNTYPED: PayloadCodec[Any] = PayloadCodec("context", Any)
