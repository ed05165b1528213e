"""Who listens to what: the neurons, compiled for the hot loop."""

import difflib
import inspect
import threading
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from cnstra.engine.gates import Gate
from cnstra.engine.neurons import Dendrite, Neuron
from cnstra.engine.payloads import PayloadCodec
from cnstra.engine.signals import Collateral
from cnstra.engine.versions import UNVERSIONED
from cnstra.errors import DuplicateName, FormerNameTaken, UnknownCollateral, UnknownNeuron

T = TypeVar("T")


class Receiver:
    """One dendrite in its network, with all that its activations look up.

    routes: for each collateral on the neuron's axon, who receives it.
    plain: a handler that nothing holds back: no gate, thread, deadline or checkpoint.
    plain_arity: the arity of a sync handler that is plain; 0 for any other.
    plain_coroutine: a coroutine handler that is plain.
    """

    __slots__ = (
        "arity",
        "axon",
        "checkpoint",
        "collateral_name",
        "collateral_names",
        "gate",
        "handler",
        "in_thread",
        "is_async",
        "max_duration",
        "neuron_name",
        "plain",
        "plain_arity",
        "plain_coroutine",
        "routes",
    )

    def __init__(self, neuron: Neuron[Any, Any], dendrite: Dendrite, gate: Gate | None) -> None:
        self.neuron_name = neuron.name
        self.collateral_name = dendrite.collateral.name
        self.collateral_names = sorted(one.name for one in neuron.collaterals.values())
        self.handler = dendrite.handler
        self.arity = dendrite.arity
        self.axon: Any = neuron.axon
        self.is_async = dendrite.is_async or dendrite.in_thread
        self.in_thread = dendrite.in_thread
        self.max_duration = dendrite.max_duration
        self.checkpoint = neuron.checkpoint or dendrite.checkpoint
        self.gate = gate
        self.plain = not (self.gate or self.in_thread or self.max_duration or self.checkpoint)
        self.plain_arity = self.arity if self.plain and not self.is_async else 0
        self.plain_coroutine = self.is_async and self.plain
        self.routes: dict[str, tuple[Receiver, ...]] = {}

    def __repr__(self) -> str:
        return f"<{self.neuron_name} on {self.collateral_name}>"


class Network:
    """The neurons of a CNS, checked: names are unique, and each name is one collateral.

    context_codecs: how the context values of each neuron travel. versioned_contexts: the versions
        of those whose types have one.
    """

    def __init__(self, neurons: Iterable[Neuron[Any, Any]]) -> None:
        self.neurons: dict[str, Neuron[Any, Any]] = {}
        self.collaterals: dict[str, Collateral[Any]] = {}
        for neuron in neurons:
            self._admit(neuron)
        self.renamed_neurons = renamed("neuron", self.neurons)
        self.renamed_collaterals = renamed("collateral", self.collaterals)
        self.receivers: dict[tuple[str, str], Receiver] = {}
        self.listeners: dict[str, tuple[Receiver, ...]] = dict.fromkeys(self.collaterals, ())
        self.context_codecs: Mapping[str, PayloadCodec[Any]] = {
            name: neuron.codec for name, neuron in self.neurons.items()
        }
        self.versioned_contexts = {
            name: codec.version
            for name, codec in self.context_codecs.items()
            if codec.version != UNVERSIONED
        }
        self._connect()
        self._awaiting: dict[str, Receiver | None] = {}

    def receivers_of(self, collateral_name: str) -> tuple[Receiver, ...]:
        """Who listens to the collateral. Raises `UnknownCollateral`; an empty network knows all."""
        found = self.listeners.get(collateral_name)
        if found is None:
            self.require(collateral_name)
            return ()
        return found

    def require(self, collateral_name: str) -> None:
        """Raise `UnknownCollateral`, unless the network knows the name, or is empty."""
        if self.neurons and collateral_name not in self.collaterals:
            near = difflib.get_close_matches(collateral_name, self.collaterals, n=1)
            raise UnknownCollateral(
                collateral=collateral_name,
                suggestion=f" (did you mean {near[0]!r}?)" if near else "",
                known=", ".join(sorted(self.collaterals)),
            )

    def name_now(self, collateral_name: str) -> str:
        """The name of the collateral that has or had this one."""
        return self.renamed_collaterals.get(collateral_name, collateral_name)

    def receiver(self, neuron_name: str, collateral_name: str) -> Receiver:
        """The dendrite of that neuron on that collateral, by names that they have or had.

        Raises `UnknownNeuron`.
        """
        neuron_now = self.renamed_neurons.get(neuron_name, neuron_name)
        found = self.receivers.get((neuron_now, self.name_now(collateral_name)))
        if found is None:
            raise UnknownNeuron(neuron=neuron_name, collateral=collateral_name)
        return found

    def first_awaiting(self, collateral_name: str) -> Receiver | None:
        """A handler, if there is one, that needs an event loop and can be reached from there."""
        if collateral_name not in self._awaiting:
            self._awaiting[collateral_name] = self._search(collateral_name)
        return self._awaiting[collateral_name]

    @property
    def has_renamed(self) -> bool:
        """Whether anything here had another name before."""
        return bool(self.renamed_neurons or self.renamed_collaterals)

    def values_now(self, values: Mapping[str, T]) -> dict[str, T]:
        """Values by neuron, under the names that the neurons have now.

        Where there are several for one neuron, that under its own name counts, else the first.
        """
        former = {name: self.renamed_neurons.get(name) for name in values}
        found = {name: value for name, value in values.items() if former[name] is None}
        for name, value in values.items():
            found.setdefault(former[name] or name, value)
        return found

    def describe(self) -> dict[str, Any]:
        """The graph as plain data: neurons with what they hear, emit and are told to keep to, and
        collaterals with their types, as JSON schemas too.
        """
        emitted = {name for one in self.receivers.values() for name in one.collateral_names}
        return {
            "neurons": [_neuron_as_data(neuron) for neuron in self.neurons.values()],
            "collaterals": [_collateral_as_data(one) for one in self.collaterals.values()],
            "entries": sorted(name for name in self.collaterals if name not in emitted),
            "exits": sorted(name for name, heard in self.listeners.items() if not heard),
        }

    def _admit(self, neuron: Neuron[Any, Any]) -> None:
        if neuron.name in self.neurons:
            raise DuplicateName(kind="neuron", name=neuron.name)
        self.neurons[neuron.name] = neuron
        emitted = list(neuron.collaterals.values())
        for collateral in [*emitted, *(one.collateral for one in neuron.dendrites)]:
            if self.collaterals.setdefault(collateral.name, collateral) is not collateral:
                raise DuplicateName(kind="collateral", name=collateral.name)

    def _connect(self) -> None:
        lock = threading.RLock()
        for neuron in self.neurons.values():
            limit = neuron.concurrency
            gate = Gate(neuron.name, limit, lock) if limit else None
            for dendrite in neuron.dendrites:
                name = dendrite.collateral.name
                receiver = Receiver(neuron, dendrite, gate)
                self.receivers[neuron.name, name] = receiver
                self.listeners[name] = (*self.listeners[name], receiver)
        for receiver in self.receivers.values():
            receiver.routes = {name: self.listeners[name] for name in receiver.collateral_names}

    def _search(self, collateral_name: str) -> Receiver | None:
        seen, stack = {collateral_name}, [collateral_name]
        while stack:
            for receiver in self.listeners.get(stack.pop(), ()):
                if receiver.is_async:
                    return receiver
                stack.extend(name for name in receiver.collateral_names if name not in seen)
                seen.update(receiver.collateral_names)
        return None


def _neuron_as_data(neuron: Neuron[Any, Any]) -> dict[str, Any]:
    return {
        "name": neuron.name,
        "formerNames": list(neuron.former_names),
        "axon": sorted(one.name for one in neuron.collaterals.values()),
        "dendrites": [one.collateral.name for one in neuron.dendrites],
        "handlers": [
            {
                "collateral": one.collateral.name,
                "doc": inspect.getdoc(one.handler),
                "async": one.is_async,
                "inThread": one.in_thread,
                "maxDuration": one.max_duration,
            }
            for one in neuron.dendrites
        ],
        "context": neuron.codec.type_name,
        "concurrency": neuron.concurrency,
        "maxDuration": neuron.max_duration,
        "checkpoint": neuron.checkpoint,
    }


def _collateral_as_data(one: Collateral[Any]) -> dict[str, Any]:
    return {
        "name": one.name,
        "formerNames": list(one.former_names),
        "type": one.codec.type_name,
        "version": one.codec.version,
        "schema": one.codec.schema(),
    }


def renamed(kind: str, known: Mapping[str, Neuron[Any, Any] | Collateral[Any]]) -> dict[str, str]:
    """From each former name to the name that has replaced it. Raises `FormerNameTaken`."""
    found: dict[str, str] = {}
    for name, one in known.items():
        for former in one.former_names:
            other = former if former in known else found.get(former)
            if other is not None:
                raise FormerNameTaken(kind=kind, name=name, former=former, other=other)
            found[former] = name
    return found
