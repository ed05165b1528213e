"""All that a database holds, as JSON and back."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from cnstra.errors import InvalidPayload, NotSerializable, SnapshotFailed, SnapshotUnreadable
from cnstra.oimdb.collection import Collection

VERSION = 1

Collections = Mapping[str, Collection[Any, Any]]


class _Entry(msgspec.Struct, frozen=True, array_like=True):
    """A key of a manual index, and by their positions the objects under it."""

    index_key: msgspec.Raw
    positions: list[int]


class _Part(msgspec.Struct, frozen=True):
    """A collection."""

    objects: list[msgspec.Raw]
    indexes: dict[str, list[_Entry]] = {}


class _Snapshot(msgspec.Struct, frozen=True):
    v: int
    collections: dict[str, _Part]


Found = tuple[Collection[Any, Any], Sequence[Any], Sequence[tuple[str, Any, Sequence[Any]]]]
"""A collection, the objects it is to hold, and what its manual indexes have under each key."""


def taken(collections: Collections) -> bytes:
    """The snapshot of all collections."""
    return msgspec.json.encode(
        _Snapshot(VERSION, {name: _part(one) for name, one in collections.items()})
    )


def restored(collections: Collections, snapshot: bytes | str) -> None:
    """Have the collections hold what the snapshot holds."""
    try:
        read = msgspec.json.decode(snapshot, type=_Snapshot)
        found = [_found(collections, name, part) for name, part in _parts(read).items()]
        for collection, values, _ in found:
            collection.check_new(values)
    except SnapshotUnreadable:
        raise
    except Exception as error:  # of the user's own functions too
        raise SnapshotUnreadable(reason=error) from error
    named = {collection.name for collection, _, _ in found}
    found += [(one, (), ()) for name, one in collections.items() if name not in named]
    for collection, values, filed in found:
        collection.replace_all(values, filed)


def _part(collection: Collection[Any, Any]) -> _Part:
    collection.check()
    position = {key: number for number, key in enumerate(collection)}
    return _Part(
        [_encoded(collection, value) for value in collection.values()],
        {
            name: [
                _Entry(
                    msgspec.Raw(index.codec.encode(index_key)),
                    [position[key] for key in index.keys_under(index_key)],
                )
                for index_key in index.index_keys()
            ]
            for name, index in collection.manual.items()
        },
    )


def _encoded(collection: Collection[Any, Any], value: Any) -> msgspec.Raw:
    try:
        return msgspec.Raw(collection.codec.encode(value))
    except NotSerializable as error:
        reason = error.context["reason"]
        raise SnapshotFailed(collection=collection.name, reason=reason) from error


def _parts(snapshot: _Snapshot) -> Mapping[str, _Part]:
    if snapshot.v > VERSION:
        raise SnapshotUnreadable(reason=f"it has version {snapshot.v}, known are up to {VERSION}")
    return snapshot.collections


def _found(collections: Collections, name: str, part: _Part) -> Found:
    collection = collections.get(name)
    if collection is None:
        raise SnapshotUnreadable(reason=f"there is no collection {name!r} here")
    try:
        values = [collection.codec.decode(bytes(raw)) for raw in part.objects]
    except InvalidPayload as error:
        reason = f"an object of {name!r} is not of its type: {error.context['reason']}"
        raise SnapshotUnreadable(reason=reason) from error
    filed: list[tuple[str, Any, Sequence[Any]]] = []
    for index_name, entries in part.indexes.items():
        index = collection.manual.get(index_name)
        if index is None:
            raise SnapshotUnreadable(reason=f"{name!r} has no manual index {index_name!r} here")
        for entry in entries:
            keys = [collection.key_of(values[position]) for position in entry.positions]
            filed.append((index_name, index.codec.decode(bytes(entry.index_key)), keys))
    return collection, values, filed
