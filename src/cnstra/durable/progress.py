"""A run's progress, while the run goes on.

An entry is encoded when it leaves: what is written and deleted again before that never is.
"""

import threading
from collections.abc import Mapping
from typing import Any

import msgspec

from cnstra.durable.entries import (
    META,
    VERSION,
    Entry,
    ErrorEntry,
    ResultEntry,
    RunMeta,
    StartEntry,
    TaskEntry,
    encoded,
)
from cnstra.durable.lineage import Path, lineage_order, path_from_text
from cnstra.durable.store import Patch
from cnstra.engine.network import Network
from cnstra.engine.payloads import NOT_JSON, decode_json, encode_json
from cnstra.engine.versions import UNVERSIONED
from cnstra.errors import ProgressTooNew, ProgressUnreadable

_decode_meta = msgspec.json.Decoder(RunMeta).decode
_decode_task = msgspec.json.Decoder(TaskEntry).decode
_decode_error = msgspec.json.Decoder(ErrorEntry).decode
_decode_start = msgspec.json.Decoder(StartEntry).decode
_decode_version = msgspec.json.Decoder(int).decode
_decode_result = msgspec.json.Decoder(ResultEntry).decode


class Progress:
    """The entries of one run, and what of them has changed since it was last taken.

    Changes are made on the run's thread, all of one commit inside one `with progress:`, and taken
    on the I/O thread. What is written and deleted again between two takes leaves no trace.
    """

    __slots__ = ("_deletes", "_fresh", "_lock", "_puts", "entries", "run", "version")

    def __init__(self, run: str, entries: Mapping[str, bytes] | None = None) -> None:
        self.run = run
        self.entries: dict[str, Entry] = dict(entries or {})
        self.version = 0
        self._puts: dict[str, Entry] = {}
        self._deletes: set[str] = set()
        self._fresh: set[str] = set()
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()
        self.version += 1

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def put(self, key: str, value: Entry) -> None:
        """Write an entry."""
        if key not in self.entries and key not in self._deletes:
            self._fresh.add(key)
        self.entries[key] = self._puts[key] = value
        self._deletes.discard(key)

    def delete(self, key: str) -> None:
        """Delete an entry, if it is there."""
        if self.entries.pop(key, None) is None:
            return
        self._puts.pop(key, None)
        if key in self._fresh:
            self._fresh.discard(key)
        else:
            self._deletes.add(key)

    def take(self) -> tuple[Patch, int]:
        """What has changed since the last take, and the version that this brings the store to."""
        with self._lock:
            puts, self._puts, self._fresh = self._puts, {}, set()
            deletes, self._deletes = self._deletes, set()
            version = self.version
        return Patch({key: encoded(entry) for key, entry in puts.items()}, deletes), version

    def drop(self) -> None:
        """What has changed since the last take is of no account any more."""
        with self._lock:
            self._puts, self._fresh, self._deletes = {}, set(), set()

    def unsaved(self) -> "Progress":
        """Itself, with every entry still to be written: its store has none of them."""
        self._puts.update(self.entries)
        self._fresh.update(self.entries)
        self.version += 1
        return self

    def put_context(self, neuron: str, value: bytes, version: int = UNVERSIONED) -> None:
        """Write a context value, as JSON."""
        self.put(f"c/{neuron}", value)
        if version != UNVERSIONED:
            self.put(f"v/{neuron}", encode_json(version))

    def delete_context(self, neuron: str) -> None:
        """Delete a context value, if there is one."""
        self.delete(f"c/{neuron}")
        self.delete(f"v/{neuron}")

    def upcast(self, network: Network) -> None:
        """Bring what older code encoded to the versions that the types have now.

        Raises `PayloadTooNew`, and `InvalidPayload` where an upcast fails. What the network does
        not have is left alone, and so is what is held back: it must keep nothing else from running.
        """
        with self:
            for key, one in [*self._keyed("t/", _decode_task), *self._keyed("r/", _decode_result)]:
                collateral = network.collaterals.get(network.name_now(one.collateral))
                if collateral is None or self.is_held_back(key[2:]):
                    continue
                if one.version != collateral.codec.version:
                    data = collateral.codec.upcast(bytes(one.payload), one.version)
                    one.payload, one.version = msgspec.Raw(data), collateral.codec.version
                    self.put(key, one)
            for name, value in self.contexts().items():
                codec = network.context_codecs.get(network.renamed_neurons.get(name, name))
                version = self.context_version(name)
                if codec is not None and version != codec.version:
                    self.put_context(name, codec.upcast(value, version), codec.version)

    def rename(self, network: Network) -> None:
        """Bring it to the names that neurons and collaterals have now. Keys stay what they were.
        What it holds is of the present versions. What is held back is left alone.
        """
        contexts, tasks = self.contexts(), self.due()
        with self:
            for key, task in tasks:
                receiver = network.receiver(task.neuron, task.collateral)
                now = (receiver.neuron_name, receiver.collateral_name)
                if now != (task.neuron, task.collateral):
                    task.neuron, task.collateral = now
                    self.put(f"t/{key}", encode_json(task))
            for name, value in network.values_now(contexts).items():
                if name not in contexts:
                    self.put_context(name, value, network.versioned_contexts.get(name, UNVERSIONED))
            for name in contexts.keys() & network.renamed_neurons.keys():
                self.delete_context(name)

    def hold_back_all_but(self, chosen: str) -> None:
        """Redriven once, only the task of that key runs, and what comes of it."""
        for key, _ in self.tasks():
            if key != chosen:
                self.put(f"h/{key}", b"true")
        self.delete(f"h/{chosen}")

    def clear_holds(self) -> None:
        """Redriven once, all of it runs."""
        for key in self.holds:
            self.delete(f"h/{key}")

    def mark_held_back(self) -> None:
        """Turn what is to be held back into marks, which the next redrive clears."""
        with self:
            for key in self.holds:
                self.delete(f"h/{key}")
                self.put(f"s/{key}", StartEntry(held_back=True))

    # --- what the entries say

    @property
    def started(self) -> bool:
        """Whether the run has ever saved anything."""
        return META in self.entries

    @property
    def marked(self) -> bool:
        """Whether any activation carries a start mark."""
        return any(key.startswith("s/") for key in self.entries)

    @property
    def holds(self) -> list[str]:
        """The keys of the tasks that are to be held back once the job is redriven."""
        return [key[2:] for key in self.entries if key.startswith("h/")]

    @property
    def stimulation_id(self) -> str:
        """The id of the run as its handlers see it."""
        return (self.meta().stimulation_id if self.started else "") or self.run

    def meta(self) -> RunMeta:
        """The run's own entry. Raises `ProgressTooNew`."""
        meta: RunMeta = self._read(META, _decode_meta)
        if meta.v > VERSION:
            raise ProgressTooNew(run=self.run, version=meta.v, known=VERSION)
        return meta

    def tasks(self) -> list[tuple[str, TaskEntry]]:
        """What the run owes: (key, task), in the order of emission."""
        found = [(key[2:], task) for key, task in self._keyed("t/", _decode_task)]
        return sorted(found, key=lambda pair: pair[1].number)

    def due(self) -> list[tuple[str, TaskEntry]]:
        """The tasks that are not held back."""
        return [pair for pair in self.tasks() if not self.is_held_back(pair[0])]

    def is_held_back(self, key: str) -> bool:
        """Whether the task of that key waits while another branch runs alone."""
        mark = self.start(key)
        return f"h/{key}" in self.entries or (mark is not None and mark.held_back)

    def task(self, key: str) -> TaskEntry | None:
        """The task of that key, if it is owed."""
        return self._read(f"t/{key}", _decode_task) if f"t/{key}" in self.entries else None

    def error(self, key: str) -> ErrorEntry | None:
        """Why the task of that key failed, if it has."""
        return self._read(f"e/{key}", _decode_error) if f"e/{key}" in self.entries else None

    def start(self, key: str) -> StartEntry | None:
        """The start mark of the task of that key."""
        return self._read(f"s/{key}", _decode_start) if f"s/{key}" in self.entries else None

    def contexts(self) -> dict[str, bytes]:
        """The context values, as JSON."""
        return {
            key[2:]: encoded(entry) for key, entry in self.entries.items() if key.startswith("c/")
        }

    def context_version(self, neuron: str) -> int:
        """The version of the neuron's context value."""
        if f"v/{neuron}" not in self.entries:
            return UNVERSIONED
        return int(self._read(f"v/{neuron}", _decode_version))

    def results(self) -> list[ResultEntry]:
        """The results, in lineage order."""
        found = [one for _, one in self._keyed("r/", _decode_result)]
        return sorted(found, key=lambda one: lineage_order((one.depth, self._path(one.path))))

    def result(self) -> bytes:
        """The job's result: `{"results": [payloads]}`."""
        return b'{"results":[' + b",".join(bytes(one.payload) for one in self.results()) + b"]}"

    def check(self) -> None:
        """Raise `ProgressUnreadable` or `ProgressTooNew` unless every entry can be read."""
        if not self.started:
            raise ProgressUnreadable(run=self.run, reason=f"it has no entry {META!r}")
        self.meta()
        for key, task in self.tasks():
            self._path(task.path)
            self._key(key)
            self.error(key)
            self.start(key)
        self.results()
        for name, value in self.contexts().items():
            self._json(f"c/{name}", value)
            self.context_version(name)

    def _keyed(self, prefix: str, decode: Any) -> list[tuple[str, Any]]:
        keys = [key for key in self.entries if key.startswith(prefix)]
        return [(key, self._read(key, decode)) for key in keys]

    def _read(self, key: str, decode: Any) -> Any:
        entry = self.entries[key]
        if not isinstance(entry, bytes):
            return entry
        try:
            return decode(entry)
        except NOT_JSON as error:
            raise ProgressUnreadable(run=self.run, reason=f"entry {key!r}: {error}") from error

    def _path(self, text: str) -> Path:
        try:
            return path_from_text(text)
        except ValueError as error:
            raise ProgressUnreadable(run=self.run, reason=f"path {text!r}") from error

    def _key(self, text: str) -> bytes:
        try:
            return bytes.fromhex(text)
        except ValueError as error:
            raise ProgressUnreadable(run=self.run, reason=f"key {text!r}") from error

    def _json(self, key: str, value: bytes) -> Any:
        try:
            return decode_json(value)
        except ValueError as error:
            raise ProgressUnreadable(run=self.run, reason=f"entry {key!r}: {error}") from error
