"""The user's graph, with somebody who watches each handler."""

import copy
import inspect
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, cast

from cnstra.clock import Clock
from cnstra.durable.lineage import Lineage, child, emission_key
from cnstra.durable.recording import Recording
from cnstra.durable.store import Saved
from cnstra.engine.cns import CNS
from cnstra.engine.context import Context
from cnstra.engine.context_store import ContextStore, Frozen
from cnstra.engine.network import Network
from cnstra.engine.neurons import Dendrite, Neuron
from cnstra.engine.signals import Signal
from cnstra.testing.context import WatchedContext
from cnstra.testing.witness import Activation, Place, Witness, current


def observed(cns: CNS, witness: Witness, clock: Clock) -> CNS:
    """The same graph for a process of its own: its gates and resources are shared with nobody."""
    other = copy.copy(cns.with_resources(()))
    versions: Counter[Place] = Counter()
    neurons = cns.network.neurons.values()
    other.network = Network(_watched(one, witness, versions) for one in neurons)
    other.clock = clock
    return other


def context_of(run: Any, saved: Saved | None, cns: CNS) -> dict[str, Any]:
    """The context values of a run, or of one that was loaded with nothing left to run."""
    if run is None and saved is not None:
        kept = {key[2:]: data for key, data in saved.entries.items() if key.startswith("c/")}
        values = {name: Frozen(data) for name, data in kept.items()}
        return ContextStore(values, cns.network.context_codecs).get_all()
    return {} if run is None else dict(run.context.get_all())


def _watched(
    neuron: Neuron[Any, Any], witness: Witness, versions: Counter[Place]
) -> Neuron[Any, Any]:
    other = copy.copy(neuron)
    other.dendrites = [_watching(neuron.name, one, witness, versions) for one in neuron.dendrites]
    return other


def _watching(
    neuron: str, dendrite: Dendrite, witness: Witness, versions: Counter[Place]
) -> Dendrite:
    """A handler for a thread runs on the loop instead: a simulation has no threads."""
    handler = dendrite.handler
    call = _caller(handler, dendrite.arity)

    def enter(payload: object, context: Context[Any]) -> Activation:
        run = cast(Any, context.run)
        key = run.key_of(context.lineage) or ""
        is_inner = not isinstance(run.recorder, Recording)
        activation = Activation(witness, neuron, key, run, is_inner, versions=versions)
        cast(Any, context).__class__ = WatchedContext
        witness.started(activation, _written(dendrite, payload))
        return activation

    def leave(activation: Activation, context: Context[Any], output: object) -> None:
        witness.returned(activation, [] if activation.is_inner else list(_keys(context, output)))

    async def on_signal(payload: Any, axon: Any, context: Context[Any]) -> Any:
        activation = enter(payload, context)
        token = current.set(activation)
        try:
            output = call(payload, axon, context)
            if dendrite.is_async:
                output = await output
        finally:
            current.reset(token)
        leave(activation, context, output)
        return output

    def on_signal_sync(payload: Any, axon: Any, context: Context[Any]) -> Any:
        activation = enter(payload, context)
        token = current.set(activation)
        try:
            output = call(payload, axon, context)
        finally:
            current.reset(token)
        if inspect.iscoroutine(output):
            return finish(output, activation, context)
        leave(activation, context, output)
        return output

    async def finish(rest: Any, activation: Activation, context: Context[Any]) -> Any:
        token = current.set(activation)
        try:
            output = await rest
        finally:
            current.reset(token)
        leave(activation, context, output)
        return output

    other = copy.copy(dendrite)
    other.is_async = dendrite.is_async or dendrite.in_thread
    other.in_thread = False
    other.handler = on_signal if other.is_async else on_signal_sync
    other.arity = 3
    return other


def _written(dendrite: Dendrite, payload: object) -> str:
    """The payload as JSON; one that stays in its process, as it shows itself."""
    try:
        return dendrite.collateral.codec.encode(payload).decode()
    except Exception:
        return repr(type(payload))


def _caller(handler: Callable[..., Any], arity: int) -> Callable[[Any, Any, Any], Any]:
    if arity == 3:
        return handler
    if arity == 2:
        return lambda payload, axon, context: handler(payload, axon)
    return lambda payload, axon, context: handler(payload)


def _keys(context: Context[Any], output: object) -> Iterator[str]:
    """The keys of the activations that these signals will start."""
    signals = cast(list[Any], output if isinstance(output, list | tuple) else [output])
    parent = cast(Lineage, context.lineage)
    for position, signal in enumerate(signals):
        if isinstance(signal, Signal):
            name, own_key = signal.collateral_name, signal.key
            emission = emission_key(parent, name, position, own_key)
            for target in context.receiver.routes.get(name, ()):
                yield child(parent, emission, target.neuron_name, 0, 0).text
