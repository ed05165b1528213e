"""Objects of one type by their key."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar, overload

from cnstra.engine.payloads import PayloadCodec
from cnstra.errors import DuplicateName, DuplicateObject, InvalidName, MutatedKey, UnknownObject
from cnstra.oimdb.changes import Delivery, Feed, I, K, Listener, Remove, T
from cnstra.oimdb.fields import getter, is_frozen
from cnstra.oimdb.indexes import DerivedIndex, Index, Keys
from cnstra.oimdb.manual import ManualIndex
from cnstra.oimdb.merging import How, combined
from cnstra.oimdb.undo import Undoes, UndoLog

D = TypeVar("D")

Filing = Sequence[Keys[Any]]
"""Under what each derived index has one object."""


class Collection(Generic[K, T]):
    """The objects of one type, each under its key. Made by `OIMDB.collection`.

    Each method that writes takes `undo=`, the `ctx` of a handler: should its activation be
    interrupted or fail, what it wrote is taken back, save where others have written since.

    The objects are yours: best are frozen ones. One that you change in place is noticed when you
    `upsert` it again; its key must never change, and to store one whose key has is a `MutatedKey`.
    """

    def __init__(
        self, name: str, kind: Any, key: str | Callable[[T], K], wake: Callable[[], None]
    ) -> None:
        if not isinstance(name, str) or not name:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidName(kind="A collection", name=name)
        self.name = name
        self.codec: PayloadCodec[T] = PayloadCodec(name, kind)
        self.manual: dict[str, ManualIndex[Any, K, T]] = {}
        self._key_of: Callable[[T], K] = getter(kind, key) if isinstance(key, str) else key
        self._objects: dict[K, T] = {}
        self._stored_under: dict[int, K] | None = None if is_frozen(kind) else {}
        """The key of each object by its identity, for those that may say another by now."""
        self._derived: dict[str, DerivedIndex[Any, K, T]] = {}
        self._feed: Feed[K, T] = Feed(self._objects, wake)
        self._undo: UndoLog[K, T | None] = UndoLog(self._restore)

    # --- reading

    def __len__(self) -> int:
        return len(self._objects)

    def __contains__(self, key: object) -> bool:
        return key in self._objects

    def __iter__(self) -> Iterator[K]:
        return iter(self._objects)

    def __getitem__(self, key: K) -> T:
        """The object with the key. Raises `UnknownObject`."""
        try:
            return self._objects[key]
        except KeyError:
            raise UnknownObject(collection=self.name, key=key) from None

    @overload
    def get(self, key: K) -> T | None: ...
    @overload
    def get(self, key: K, default: D) -> T | D: ...
    def get(self, key: K, default: Any = None) -> Any:
        """The object with the key, or `default`."""
        return self._objects.get(key, default)

    def values(self) -> list[T]:
        """All objects, in the order in which they came."""
        return [*self._objects.values()]

    def key_of(self, value: T) -> K:
        """The key of an object, whether it is here or not."""
        return self._key_of(value)

    # --- writing

    def add(self, value: T, *, undo: Undoes | None = None) -> T:
        """Store an object whose key is new, and return it. Raises `DuplicateObject`."""
        key = self._key_of(value)
        if key in self._objects:
            raise DuplicateObject(collection=self.name, key=key)
        self._put(key, value, self._place(key, value), undo)
        return value

    def upsert(self, value: T, *, how: How[T] = "replace", undo: Undoes | None = None) -> T:
        """Store an object, and return what is stored.

        how: where there is one with its key, "replace" it, "merge" the fields into it that this one
            sets, or store what a function of the two, the stored one first, returns.

        Raises `MutatedKey` where that has another key, and for an object that is stored already,
        under the key that it had then.
        """
        key = self._key_of(value)
        before = self._objects.get(key)
        if before is not None:
            value = self._over(key, before, value, how)
        self._put(key, value, self._place(key, value), undo)
        return value

    def upsert_many(
        self, values: Iterable[T], *, how: How[T] = "replace", undo: Undoes | None = None
    ) -> list[T]:
        """`upsert` each, and return what is stored. Where one cannot be, none is."""
        prepared: list[tuple[K, T, Filing]] = []
        so_far: dict[K, T] = {}
        for value in values:
            key = self._key_of(value)
            before = so_far[key] if key in so_far else self._objects.get(key)
            after = value if before is None else self._over(key, before, value, how)
            so_far[key] = after
            prepared.append((key, after, self._place(key, after)))
        for key, after, filing in prepared:
            self._put(key, after, filing, undo)
        return [after for _, after, _ in prepared]

    def update(self, key: K, change: Callable[[T], T], *, undo: Undoes | None = None) -> T:
        """Store what `change` makes of the object with the key, and return that.

        Raises `UnknownObject`, and `MutatedKey` where the key is not the same.
        """
        before = self[key]
        self._require_key(key, before)
        after = change(before)
        self._require_key(key, after)
        self._put(key, after, self._place(key, after), undo)
        return after

    def remove(self, key: K, *, undo: Undoes | None = None) -> T:
        """Remove the object with the key, and return it. Raises `UnknownObject`."""
        before = self[key]
        for index in self.manual.values():
            index.drop(key, undo)
        self._put(key, None, self._filing(None), undo)
        return before

    def discard(self, key: K, *, undo: Undoes | None = None) -> T | None:
        """Remove the object with the key, if there is one, and return it."""
        return self.remove(key, undo=undo) if key in self._objects else None

    # --- indexes

    @overload
    def index(self, name: str) -> Index[Any, K, T]: ...
    @overload
    def index(self, name: str, by: Callable[[T], I]) -> Index[I, K, T]: ...
    def index(self, name: str, by: Callable[[T], Any] | None = None) -> Index[Any, K, T]:
        """An index that keeps itself, by what `by` makes of an object, or by the field `name`."""
        of = getter(self.codec.type, name) if by is None else by

        def keys_of(value: T) -> Keys[Any]:
            index_keys = (of(value),)
            hash(index_keys)  # before anything is written
            return index_keys

        return self._derive(name, keys_of)

    @overload
    def multi_index(self, name: str) -> Index[Any, K, T]: ...
    @overload
    def multi_index(self, name: str, by: Callable[[T], Iterable[I]]) -> Index[I, K, T]: ...
    def multi_index(
        self, name: str, by: Callable[[T], Iterable[Any]] | None = None
    ) -> Index[Any, K, T]:
        """Like `index`, with any number of keys for an object; under none it is not in it."""
        of = getter(self.codec.type, name) if by is None else by
        return self._derive(name, lambda value: tuple(dict.fromkeys(of(value))))

    def manual_index(self, name: str, kind: type[I]) -> ManualIndex[I, K, T]:
        """An index that is kept by hand. kind: the type of its keys, for a snapshot."""
        self._require_new(name)
        index: ManualIndex[I, K, T] = ManualIndex(
            name, kind, self._objects, self._feed.wake, collection=self.name
        )
        self.manual[name] = index
        return index

    # --- subscriptions

    def on_change(self, listener: Listener[K, T]) -> Remove:
        """Let it hear of all that has changed, once a flush.

        Returns the remover, harmless when called twice.
        """
        return self._feed.of_all.listen(None, listener)

    def on_key(self, key: K, listener: Listener[K, T]) -> Remove:
        """Let it hear of one object, which need not be there yet, once a flush it has changed in.

        Returns the remover, harmless when called twice.
        """
        return self._feed.of_key.listen(key, listener)

    def __repr__(self) -> str:
        return f"<Collection {self.name!r} of {len(self)}>"

    # --- for the database

    def take(self) -> list[Delivery]:
        """Whom to tell of what happened since the last flush."""
        changes = self._feed.take()
        deliveries = self._feed.deliveries(changes)
        for index in (*self._derived.values(), *self.manual.values()):
            deliveries += index.take(changes)
        return deliveries

    def check(self) -> None:
        """Raise `MutatedKey` if there is an object whose key is not that it is stored under."""
        for key, value in self._objects.items():
            self._require_key(key, value)

    def check_new(self, values: Sequence[T]) -> None:
        """Raise what would come of it, were these all that there is: `DuplicateObject`, and what
        the functions of indexes raise.
        """
        keys: set[K] = set()
        for value in values:
            key = self._key_of(value)
            if key in keys:
                raise DuplicateObject(collection=self.name, key=key)
            keys.add(key)
            self._filing(value)

    def replace_all(
        self, values: Sequence[T], filed: Iterable[tuple[str, Any, Iterable[K]]]
    ) -> None:
        """Hold these, which were checked, and what the manual indexes, by name, have of them."""
        kept = {self._key_of(value) for value in values}
        for key in [*self._objects]:
            for index in self.manual.values():
                index.drop(key, None)
            if key not in kept:
                self.remove(key)
        for value in values:
            self._put(self._key_of(value), value, self._filing(value), None)
        for name, index_key, keys in filed:
            self.manual[name].add(index_key, *keys)
        self._undo.forget()
        for index in self.manual.values():
            index.forget()

    # --- its parts

    def _over(self, key: K, before: T, value: T, how: How[T]) -> T:
        """What is stored when `value` comes and `before` is there."""
        self._require_key(key, before)
        if how == "replace":
            return value
        after = combined(before, value, how)
        self._require_key(key, after)
        return after

    def _require_key(self, key: K, value: T) -> None:
        found = self._key_of(value)
        if found != key:
            raise MutatedKey(collection=self.name, key=key, found=found)

    def _place(self, key: K, value: T) -> Filing:
        """The object's filing, if it may be stored under the key. Raises `MutatedKey`."""
        keys = self._stored_under
        if keys is not None and (stored := keys.get(id(value), key)) != key:
            raise MutatedKey(collection=self.name, key=stored, found=key)
        return [index.keys_of(value) for index in self._derived.values()]

    def _filing(self, value: T | None) -> Filing:
        """Under what each derived index is to have the object. Raises what its function raises."""
        if value is None:
            return [() for _ in self._derived]
        return [index.keys_of(value) for index in self._derived.values()]

    def _put(self, key: K, after: T | None, filing: Filing, undo: Undoes | None) -> None:
        """Write an object, or with `None` remove it; from here on nothing can fail."""
        before = self._objects.get(key)
        self._undo.wrote(key, before, undo)
        keys = self._stored_under
        if keys is not None and before is not None:
            keys.pop(id(before), None)
        if after is not None:
            self._objects[key] = after
            if keys is not None:
                keys[id(after)] = key
        elif before is not None:
            del self._objects[key]
        feed = self._feed
        heard = bool(feed.of_all or feed.of_key)
        for index, index_keys in zip(self._derived.values(), filing, strict=True):
            heard |= index.file(key, index_keys)
        for manual in self.manual.values():
            heard |= manual.wrote(key)
        if heard:
            feed.note(key, before)

    def _restore(self, key: K, before: T | None) -> None:
        """Take a write back."""
        if before is None:
            for index in self.manual.values():
                index.drop(key, None)
        self._put(key, before, self._filing(before), None)

    def _derive(self, name: str, keys_of: Callable[[T], Keys[Any]]) -> Index[Any, K, T]:
        self._require_new(name)
        index = self._derived[name] = DerivedIndex(name, self._objects, self._feed.wake, keys_of)
        return index

    def _require_new(self, name: str) -> None:
        if name in self._derived or name in self.manual:
            raise DuplicateName(kind="index", name=name)
