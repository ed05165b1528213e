"""What has changed since the last flush, and who is told of it."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Generic, NamedTuple, TypeVar

I = TypeVar("I")  # noqa: E741 - of index, beside K of key and T of type
K = TypeVar("K")
T = TypeVar("T")

Remove = Callable[[], None]
Delivery = Callable[[], object]


class Change(NamedTuple, Generic[K, T]):
    """What has become of one object between two flushes, however often it was written.

    before: as it was at the last flush; `None`: it was not there.
    after: as it is now; `None`: it is gone.
    """

    key: K
    before: T | None
    after: T | None


Listener = Callable[[Sequence[Change[K, T]]], object]
"""Hears of changes, once a flush."""


class Topics(dict[I, dict[object, Listener[K, T]]]):
    """The listeners to each of some topics: the keys of a collection, or those of an index.

    It is a dictionary, so that to ask whether anybody listens costs a write next to nothing.
    """

    __slots__ = ()

    def listen(self, topic: I, listener: Listener[K, T]) -> Remove:
        """Returns the remover, harmless when called twice."""
        token = object()
        self.setdefault(topic, {})[token] = listener

        def remove() -> None:
            listeners = self.get(topic, {})
            if listeners.pop(token, None) is not None and not listeners:
                del self[topic]

        return remove

    def deliveries(self, topic: I, changes: Sequence[Change[K, T]]) -> list[Delivery]:
        """One for each that listens to the topic."""
        return [partial(one, changes) for one in self.get(topic, {}).values()]


class Touched(Generic[I, K, T]):
    """Under which keys of an index something has changed, for those who listen to them."""

    __slots__ = ("_keys", "topics")

    def __init__(self) -> None:
        self.topics: Topics[I, K, T] = Topics()
        self._keys: dict[I, dict[K, None]] = {}

    def note(self, topic: I, key: K) -> None:
        """The object with this key came, went or changed under the index key `topic`."""
        self._keys.setdefault(topic, {})[key] = None

    def take(self, changes: Mapping[K, Change[K, T]], objects: Mapping[K, T]) -> list[Delivery]:
        """What is to be told of since the last flush."""
        touched, self._keys = self._keys, {}
        deliveries: list[Delivery] = []
        for topic, keys in touched.items():
            told = [changes.get(key) or _same(key, objects.get(key)) for key in keys]
            told = [one for one in told if one.before is not None or one.after is not None]
            if told:
                deliveries += self.topics.deliveries(topic, told)
        return deliveries


class Feed(Generic[K, T]):
    """The changes of one collection since the last flush.

    of_all, of_key: who listens to every object, and to one.
    wake: called when there is something to flush.
    """

    __slots__ = ("_objects", "_pending", "of_all", "of_key", "wake")

    def __init__(self, objects: Mapping[K, T], wake: Callable[[], None]) -> None:
        self.of_all: Topics[None, K, T] = Topics()
        self.of_key: Topics[K, K, T] = Topics()
        self.wake = wake
        self._objects = objects
        self._pending: dict[K, T | None] = {}

    def note(self, key: K, before: T | None) -> None:
        """The object was written: only what it was at the last flush counts."""
        self._pending.setdefault(key, before)
        self.wake()

    def take(self) -> dict[K, Change[K, T]]:
        """The changes since the last flush. What came and went in between is none."""
        pending, self._pending = self._pending, {}
        return {
            key: Change(key, before, after)
            for key, before in pending.items()
            if (after := self._objects.get(key)) is not None or before is not None
        }

    def deliveries(self, changes: Mapping[K, Change[K, T]]) -> list[Delivery]:
        """Whom to tell of them."""
        if not changes:
            return []
        told = [*changes.values()]
        each = [one for change in told for one in self.of_key.deliveries(change.key, [change])]
        return [*self.of_all.deliveries(None, told), *each]


def _same(key: K, value: T | None) -> Change[K, T]:
    """The object itself is as it was."""
    return Change(key, value, value)
