"""An object database in memory."""

import logging
from asyncio import AbstractEventLoop
from asyncio.events import _get_running_loop  # pyright: ignore
from collections.abc import Callable
from typing import Any, Literal, overload

from cnstra.engine.cns import CNS
from cnstra.errors import DuplicateName, EndlessFlush, InvalidOption
from cnstra.oimdb import snapshots
from cnstra.oimdb.changes import K, Remove, T
from cnstra.oimdb.collection import Collection

logger = logging.getLogger("cnstra.oimdb")

MOST_ROUNDS = 100


class OIMDB:
    """Collections of objects in memory, in one thread, and one flush of what has changed in them.

    flush: "hand": call `flush()`, or have `flush_with(cns)` do so. "loop": what has changed is told
        when the event loop comes round.

    >>> db = OIMDB()
    >>> orders = db.collection("orders", Order, key=lambda order: order.id)
    >>> of_customer = orders.index("customer", lambda order: order.customer)
    >>> orders.upsert(Order(7, "ann"))
    >>> of_customer.get("ann")
    [Order(id=7, customer='ann')]
    """

    def __init__(self, *, flush: Literal["hand", "loop"] = "hand") -> None:
        if flush not in ("hand", "loop"):
            raise InvalidOption(option="flush", value=flush, remedy='choose "hand" or "loop"')
        self._collections: dict[str, Collection[Any, Any]] = {}
        self._on_loop = flush == "loop"
        self._waiting_for: AbstractEventLoop | None = None
        self._dirty = False
        self._flushing = False

    @overload
    def collection(self, name: str, kind: type[T], *, key: str) -> Collection[Any, T]: ...
    @overload
    def collection(
        self, name: str, kind: type[T], *, key: Callable[[T], K]
    ) -> Collection[K, T]: ...
    def collection(
        self, name: str, kind: Any, *, key: str | Callable[[Any], Any]
    ) -> Collection[Any, Any]:
        """A collection of objects of that type, by a field or by what a function makes of one.

        Raises `DuplicateName`.
        """
        if name in self._collections:
            raise DuplicateName(kind="collection", name=name)
        made = self._collections[name] = Collection[Any, Any](name, kind, key, self._wake)
        return made

    # --- the flush

    def flush(self) -> None:
        """Tell the subscribers what has changed since the last flush, an object once.

        What they write is told before this returns. One that raises is logged, and keeps no other
        from hearing. Raises `EndlessFlush`.
        """
        if self._flushing:
            return
        self._flushing = True
        try:
            for _ in range(MOST_ROUNDS):
                if not self._dirty:
                    return
                self._deliver()
            raise EndlessFlush(rounds=MOST_ROUNDS)
        finally:
            self._flushing = False

    def flush_with(self, cns: CNS, *, each: Literal["lull", "run"] = "lull") -> Remove:
        """Flush at each lull of each run of `cns` that starts from now on, or only at its end.

        A lull: all of the run that could run without waiting has run; its end is one. Returns the
        remover, harmless when called twice.
        """
        if each not in ("lull", "run"):
            raise InvalidOption(option="each", value=each, remedy='choose "lull" or "run"')

        def flush(run: Any) -> None:
            if each == "lull" or run.done:
                self.flush()

        return cns.add_lull_listener(flush)

    def _deliver(self) -> None:
        self._dirty = False
        each = [one for collection in self._collections.values() for one in collection.take()]
        for deliver in each:
            try:
                deliver()
            except Exception:
                logger.exception("A subscriber raised; the others are told all the same.")

    def _wake(self) -> None:
        """There is something to flush."""
        self._dirty = True
        loop = _get_running_loop() if self._on_loop else None
        if loop is not None and loop is not self._waiting_for:
            self._waiting_for = loop
            loop.call_soon(self._come_round)

    def _come_round(self) -> None:
        self._waiting_for = None
        self.flush()

    # --- snapshots

    def snapshot(self) -> bytes:
        """All objects, and what is in the manual indexes, as JSON.

        Raises `SnapshotFailed` for an object that has no JSON form, and `MutatedKey`.
        """
        return snapshots.taken(self._collections)

    def restore(self, snapshot: bytes | str) -> None:
        """Hold what the snapshot holds, and nothing else; the subscribers hear of it. No activation
        takes back any more what it wrote before.

        Collections and manual indexes must have been made before. Raises `SnapshotUnreadable`, and
        then nothing has changed.
        """
        snapshots.restored(self._collections, snapshot)
