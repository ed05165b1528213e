"""Indexes: the objects of a collection by something else than their key."""

from collections.abc import Callable, Iterable, Mapping
from typing import Generic

from cnstra.oimdb.changes import Change, Delivery, I, K, Listener, Remove, T, Touched

Keys = tuple[I, ...]


class Index(Generic[I, K, T]):
    """The objects of a collection by another key, which several may have in common.

    Objects come in the order in which they came under the key.
    """

    __slots__ = ("_buckets", "_objects", "_touched", "_wake", "name")

    def __init__(self, name: str, objects: Mapping[K, T], wake: Callable[[], None]) -> None:
        self.name = name
        self._objects = objects
        self._wake = wake
        self._buckets: dict[I, dict[K, None]] = {}
        self._touched: Touched[I, K, T] = Touched()

    def get(self, index_key: I) -> list[T]:
        """The objects under the key."""
        objects = self._objects
        return [objects[key] for key in self._buckets.get(index_key, ())]

    def keys_under(self, index_key: I) -> list[K]:
        """The keys of the objects under the key."""
        return [*self._buckets.get(index_key, ())]

    def count(self, index_key: I) -> int:
        """How many objects are under the key."""
        return len(self._buckets.get(index_key, ()))

    def index_keys(self) -> list[I]:
        """The keys under which there is anything."""
        return [*self._buckets]

    def on_key(self, index_key: I, listener: Listener[K, T]) -> Remove:
        """Let it hear of each object that comes, goes or changes under the key.

        Returns the remover, harmless when called twice.
        """
        return self._touched.topics.listen(index_key, listener)

    # --- for the collection

    def take(self, changes: Mapping[K, Change[K, T]]) -> list[Delivery]:
        """Whom to tell of what happened since the last flush."""
        return self._touched.take(changes, self._objects)

    def _enter(self, index_key: I, key: K) -> None:
        bucket = self._buckets.get(index_key)
        if bucket is None:
            bucket = self._buckets[index_key] = {}
        bucket[key] = None

    def _leave(self, index_key: I, key: K) -> None:
        bucket = self._buckets[index_key]
        del bucket[key]
        if not bucket:
            del self._buckets[index_key]

    def _heard(self, index_keys: Iterable[I], key: K) -> bool:
        """Something happened to the object under these keys. Is there anybody who listens?"""
        if not self._touched.topics:
            return False
        for index_key in index_keys:
            self._touched.note(index_key, key)
        return True


class DerivedIndex(Index[I, K, T]):
    """An index that keeps itself, by a function of the object.

    It remembers under what it filed each object, so one that was changed in place is found again.
    """

    __slots__ = ("_filed", "_single", "keys_of")

    def __init__(
        self,
        name: str,
        objects: Mapping[K, T],
        wake: Callable[[], None],
        keys_of: Callable[[T], Keys[I]],
    ) -> None:
        super().__init__(name, objects, wake)
        self.keys_of = keys_of
        """By which it files an object."""
        self._filed: dict[K, Keys[I]] = {}
        self._single: dict[I, Keys[I]] = {}
        for key, value in objects.items():
            self.file(key, keys_of(value))

    def file(self, key: K, index_keys: Keys[I]) -> bool:
        """The object with this key was written, and is to be found under these. Is it heard of?"""
        filed = self._filed.get(key, ())
        heard = bool(self._touched.topics) and self._heard((*filed, *index_keys), key)
        if filed == index_keys:
            return heard
        for index_key in filed:
            if index_key not in index_keys:
                self._leave(index_key, key)
        for index_key in index_keys:
            if index_key not in filed:
                self._enter(index_key, key)
        if index_keys:
            self._filed[key] = self._shared(index_keys)
        else:
            del self._filed[key]
        return heard

    def _leave(self, index_key: I, key: K) -> None:
        super()._leave(index_key, key)
        if index_key not in self._buckets:
            self._single.pop(index_key, None)

    def _shared(self, index_keys: Keys[I]) -> Keys[I]:
        """One tuple for all objects that are under one and the same key."""
        match index_keys:
            case (index_key,):
                return self._single.setdefault(index_key, index_keys)
            case _:
                return index_keys
