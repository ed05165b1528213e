"""What a durable run writes down of each commit."""

from collections.abc import Collection, Iterable, Sequence
from functools import partial
from typing import Any, cast

import msgspec

from cnstra.durable.entries import (
    META,
    Entry,
    ErrorEntry,
    ResultEntry,
    RunMeta,
    StartEntry,
    TaskEntry,
)
from cnstra.durable.journal import Durability, Journal
from cnstra.durable.lineage import (
    Lineage,
    child,
    emission_key,
    follow,
    inner_root,
    path_text,
    root,
    worked_out,
)
from cnstra.durable.progress import Progress
from cnstra.engine.context_store import Frozen
from cnstra.engine.network import Network
from cnstra.engine.payloads import PayloadCodec
from cnstra.engine.recorder import Barrier, ContextChange, Emission, Item
from cnstra.engine.signals import Signal, VersionedSignal
from cnstra.engine.tasks import error_to_wire
from cnstra.engine.versions import UNVERSIONED
from cnstra.errors import DuplicateKey, InvalidOption


class Lineages:
    """The recorder of an inner run: it has keys, but keeps nothing."""

    __slots__ = ("_root",)

    is_wary = False

    def __init__(self, origin: Lineage) -> None:
        self._root = origin

    def key_of(self, lineage: Lineage) -> str:
        return lineage.text

    def inner(self, lineage: Lineage, index: int) -> "Lineages":
        return Lineages(inner_root(lineage, index))

    def entries(self, emissions: Sequence[Emission]) -> list[Item]:
        return self._descend(self._root, emissions, 1)

    def started(self, item: Item) -> Barrier | None:
        del item
        return None

    def committed(
        self, item: Item, emissions: Sequence[Emission], change: ContextChange | None
    ) -> tuple[list[Item], Barrier | None]:
        del change
        return self._descend(item[2], emissions, item[3] + 1), None

    def failed(
        self, item: Item, error: BaseException, *, aborted: bool, change: ContextChange | None
    ) -> None:
        del item, error, aborted, change

    def _descend(self, parent: Lineage, emissions: Sequence[Emission], hops: int) -> list[Item]:
        items: list[Item] = []
        for position, (signal, targets) in enumerate(emissions):
            name, own_key = signal.collateral_name, _own_key(signal)
            emission = emission_key(parent, name, position, own_key)
            for target in targets:
                lineage = child(parent, emission, target.neuron_name, len(items), 0)
                items.append((target, signal, lineage, hops))
        return items


class Recording:
    """The recorder of a durable run: every commit becomes one change of its progress.

    Payloads are encoded here and decoded for each receiver, so that what a handler sees is the same
    on the first attempt as on a resumed one.
    """

    def __init__(
        self,
        network: Network,
        progress: Progress,
        journal: Journal,
        *,
        results: Collection[str],
        durability: Durability,
    ) -> None:
        self._network = network
        self._progress = progress
        self._journal = journal
        self._results = results
        self._durability = durability
        self._suspects: set[str] = set()
        self._unwritten: list[tuple[Item, bytes]] = []
        """The first activations, with their payloads, until they are put down."""
        self._number = 0
        self._owed = 0
        self.held_back = 0
        """Tasks that are owed, but not started."""
        self.is_heard = False
        """Whether listeners may hold the run up once it owes nothing."""

    # --- how a run begins

    def begin(self, emissions: Sequence[Emission]) -> list[Item]:
        """The first activations of a fresh run. Raises `NotSerializable` or `InvalidPayload`.

        They are not put down yet: until the first commit, whoever holds the signal can begin again.
        """
        self._unwritten, _ = self._descend(root(self._progress.run), emissions, 1)
        self._owed = len(self._unwritten)
        return [item for item, _ in self._unwritten]

    def put_down(self) -> None:
        """Put down what the run began with, for whoever looks at the progress. Harmless twice."""
        unwritten, self._unwritten = self._unwritten, []
        if unwritten:
            with self._progress:
                self._progress.put(META, RunMeta(stimulation_id=self._progress.run))
                for item, data in unwritten:
                    self._progress.put(*_task_entry(item, data))

    def resume(self) -> list[Item]:
        """The activations that the progress owes and does not hold back, in the order of their
        emission.

        Raises `UnknownNeuron` or `InvalidPayload` for what this code cannot resume.
        """
        items: list[Item] = []
        for key, task in self._progress.tasks():
            self._number = task.number + 1
            if self._progress.is_held_back(key):
                self.held_back += 1
                continue
            receiver = self._network.receiver(task.neuron, task.collateral)
            codec = self._network.collaterals[task.collateral].codec
            signal = _copy_of(codec, bytes(task.payload), task.key)
            items.append((receiver, signal, task.lineage(key), task.hops))
        self._owed = len(items) + self.held_back
        return items

    def suspect(self, keys: Iterable[str]) -> None:
        """These may have killed the process: write each start down before it happens."""
        self._suspects.update(keys)

    # --- the recorder

    @property
    def is_wary(self) -> bool:
        return bool(self._suspects)

    def key_of(self, lineage: Lineage) -> str:
        return lineage.text

    def inner(self, lineage: Lineage, index: int) -> Lineages:
        return Lineages(inner_root(lineage, index))

    def entries(self, emissions: Sequence[Emission]) -> list[Item]:
        raise AssertionError("a durable run begins with begin() or resume()")

    def started(self, item: Item) -> Barrier | None:
        if item[0].checkpoint:
            self.put_down()
        if self._suspects and (key := item[2].text) in self._suspects:
            self._suspects.discard(key)
            mark = self._progress.start(key) or StartEntry()
            with self._progress:
                self._progress.put(f"s/{key}", StartEntry(mark.crashes, True))
            return self._journal.when_landed
        return self._journal.when_landed if item[0].checkpoint else None

    def committed(
        self, item: Item, emissions: Sequence[Emission], change: ContextChange | None
    ) -> tuple[list[Item], Barrier | None]:
        receiver, _, lineage, hops = item
        born, results = self._descend(lineage, emissions, hops + 1)
        items = [successor for successor, _ in born]
        self._owed += len(items) - 1
        is_over = not self._owed and not self.is_heard
        if is_over and self._unwritten and not results:
            return items, None  # nothing was put down, and nothing need be
        self.put_down()
        progress, key = self._progress, lineage.text
        with progress:
            for prefix in ("t/", "e/", "s/"):
                progress.delete(prefix + key)
            for successor, data in born:
                progress.put(*_task_entry(successor, data))
            for entry, value in results:
                progress.put(entry, value)
            self._keep(change)
        if is_over:
            return items, None  # its end is the one thing left to write
        if receiver.checkpoint or self._durability == "step":
            return items, self._journal.when_landed
        self._behind()
        return items, None

    def failed(
        self, item: Item, error: BaseException, *, aborted: bool, change: ContextChange | None
    ) -> None:
        key, wire = item[2].text, error_to_wire(error)
        entry = ErrorEntry(wire["message"], wire["name"], wire["stack"], aborted)
        self.put_down()
        with self._progress:
            self._progress.put(f"e/{key}", entry)
            mark = self._progress.start(key)
            if mark is not None:
                self._progress.put(f"s/{key}", StartEntry(mark.crashes, False))
            self._keep(change)
        self._behind()

    def _behind(self) -> None:
        if self._durability != "exit":
            self._journal.write()

    def _keep(self, change: ContextChange | None) -> None:
        if change is None:
            return
        name = change.neuron_name
        if isinstance(change.value, Frozen):
            self._progress.put_context(
                name, change.value.data, self._network.versioned_contexts.get(name, UNVERSIONED)
            )
        else:
            self._progress.delete_context(name)

    def _descend(
        self, parent: Lineage, emissions: Sequence[Emission], hops: int
    ) -> tuple[list[tuple[Item, bytes]], list[tuple[str, Entry]]]:
        """The successors, each with its payload as JSON, and the results among the emissions."""
        born: list[tuple[Item, bytes]] = []
        results: list[tuple[str, Entry]] = []
        seen: set[tuple[str, str]] = set()
        for position, (signal, targets) in enumerate(emissions):
            name = signal.collateral_name
            is_result = bool(parent.depth) and name in self._results
            if not targets and not is_result:
                continue
            codec = self._network.collaterals[name].codec
            data = codec.encode(signal.payload)
            own_key = _own_key(signal)
            if own_key is not None:
                if (name, own_key) in seen:
                    raise DuplicateKey(collateral=name, key=own_key)
                seen.add((name, own_key))
            of = (parent, name, position, own_key)
            emission = emission_key(*of) if parent.depth else partial(emission_key, *of)
            if is_result:
                path = path_text(follow(parent.path, position))
                entry = ResultEntry(name, msgspec.Raw(data), path, parent.depth + 1, codec.version)
                results.append((f"r/{worked_out(emission).hex()}", entry))
            for target in targets:
                lineage = child(parent, emission, target.neuron_name, len(born), self._number)
                self._number += 1
                copy = _copy_of(codec, data, own_key)
                born.append(((target, copy, lineage, hops), data))
        return born, results


def _task_entry(item: Item, data: bytes) -> tuple[str, TaskEntry]:
    """What is put down of an activation that is owed, with its payload as JSON."""
    receiver, signal, lineage, hops = item
    entry = TaskEntry(
        receiver.neuron_name,
        signal.collateral_name,
        msgspec.Raw(data),
        lineage.number,
        path_text(lineage.path),
        lineage.depth,
        hops,
        signal.key,
        signal.version,
    )
    return f"t/{lineage.text}", entry


def _copy_of(codec: PayloadCodec[Any], data: bytes, key: str | None) -> Signal[Any]:
    """A signal for one receiver alone, of a payload as JSON. Raises `InvalidPayload`."""
    payload = codec.decode(data)
    if codec.version == UNVERSIONED:
        return Signal(codec.name, payload, key)
    return VersionedSignal(codec.name, payload, key, version=codec.version)


def _own_key(signal: Signal[Any]) -> str | None:
    """The key that its handler gave the signal. Raises `InvalidOption`."""
    own_key = cast(object, signal.key)
    if own_key is None:
        return None
    if not isinstance(own_key, str):
        remedy = "the key of a signal is a text: str(...) it"
        raise InvalidOption(option="key", value=own_key, remedy=remedy)
    if not _is_unicode(own_key):
        remedy = "half of a surrogate pair cannot be saved: ascii(...) it"
        raise InvalidOption(option="key", value=own_key, remedy=remedy)
    return own_key


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
