"""Indexes that are kept by hand."""

from collections.abc import Callable, Mapping
from typing import Any

from cnstra.engine.payloads import PayloadCodec
from cnstra.errors import UnknownObject
from cnstra.oimdb.changes import I, K, T
from cnstra.oimdb.indexes import Index
from cnstra.oimdb.undo import Undoes, UndoLog


class ManualIndex(Index[I, K, T]):
    """An index that holds what is put there, for as long as the object is in the collection."""

    __slots__ = ("_collection", "_filed", "_undo", "codec")

    def __init__(
        self,
        name: str,
        kind: Any,
        objects: Mapping[K, T],
        wake: Callable[[], None],
        *,
        collection: str,
    ) -> None:
        super().__init__(name, objects, wake)
        self._collection = collection
        self.codec: PayloadCodec[I] = PayloadCodec(f"index {name}", kind)
        self._filed: dict[K, dict[I, None]] = {}
        self._undo: UndoLog[tuple[I, K], bool] = UndoLog(lambda cell, was: self._file(*cell, was))

    def add(self, index_key: I, *keys: K, undo: Undoes | None = None) -> None:
        """Put the objects with these keys under the key. Raises `UnknownObject`.

        undo: the `ctx` of a handler; should its activation be interrupted or fail, this is undone.
        """
        for key in keys:
            if key not in self._objects:
                raise UnknownObject(collection=self._collection, key=key)
        for key in keys:
            self._set(index_key, key, True, undo)

    def remove(self, index_key: I, *keys: K, undo: Undoes | None = None) -> None:
        """Take the objects with these keys from under the key, as far as they are there."""
        for key in keys:
            self._set(index_key, key, False, undo)

    def clear(self, index_key: I, *, undo: Undoes | None = None) -> None:
        """Take all from under the key."""
        self.remove(index_key, *self.keys_under(index_key), undo=undo)

    # --- for the collection

    def wrote(self, key: K) -> bool:
        """The object with this key was written. Is it heard of?"""
        return self._heard(self._filed.get(key, ()), key)

    def drop(self, key: K, undo: Undoes | None) -> None:
        """The object with this key goes."""
        for index_key in [*self._filed.get(key, ())]:
            self._set(index_key, key, False, undo)

    def forget(self) -> None:
        """From here on nothing that was written before may be taken back."""
        self._undo.forget()

    def _set(self, index_key: I, key: K, there: bool, undo: Undoes | None) -> None:
        was = index_key in self._filed.get(key, ())
        self._undo.wrote((index_key, key), was, undo)
        self._file(index_key, key, there)

    def _file(self, index_key: I, key: K, there: bool) -> None:
        filed = self._filed.get(key, {})
        if there == (index_key in filed) or (there and key not in self._objects):
            return
        if there:
            self._enter(index_key, key)
            self._filed.setdefault(key, {})[index_key] = None
        else:
            self._leave(index_key, key)
            del filed[index_key]
            if not filed:
                del self._filed[key]
        if self._heard((index_key,), key):
            self._wake()
