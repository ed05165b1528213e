"""What a run may start with: signals and tasks, checked before anything runs."""

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import msgspec

from cnstra.engine.abort import AbortSignal
from cnstra.engine.context_store import ContextStore
from cnstra.engine.network import Network
from cnstra.engine.payloads import decode_json, encode_json
from cnstra.engine.recorder import Emission, Item
from cnstra.engine.signals import EncodedSignal, Signal, is_signal, signal_from_wire
from cnstra.engine.stimulation import Stimulation
from cnstra.engine.tasks import ActivationTask, FailedTask, task_from_wire
from cnstra.errors import InvalidOption, NoRunningLoop, NothingToActivate

Signals = Signal[Any] | Mapping[str, Any] | Sequence[Signal[Any] | Mapping[str, Any]]
"""One signal or a list of them, each a `Signal` or its wire form."""

Tasks = Sequence[ActivationTask | FailedTask | Mapping[str, Any]]
"""Activation tasks, each itself or its wire form."""


def stimulate(
    run: Stimulation, network: Network, signals: object, abort_signal: AbortSignal | None
) -> Stimulation:
    """Start the run with these signals."""
    entries = [signals] if is_signal(signals) else signals_of(network, signals)
    if run.loop is None:
        _require_sync(run, network, [signal.collateral_name for signal in entries])
    emissions: list[Emission] = []
    items: list[Item] = []
    for signal in entries:
        targets = network.receivers_of(signal.collateral_name)
        emissions.append((signal, targets))
        for target in targets:
            items.append((target, signal, None, 1))
    if run.recorder is not None:
        items = run.recorder.entries(emissions)
    run.begin(items, entries, abort_signal)
    return run


def activate(
    run: Stimulation,
    network: Network,
    tasks: Sequence[ActivationTask],
    abort_signal: AbortSignal | None,
) -> Stimulation:
    """Start the run with these tasks."""
    receivers = [network.receiver(one.neuron_id, one.dendrite_collateral_name) for one in tasks]
    if run.loop is None:
        awaited = [one.collateral_name for one in receivers if one.is_async]
        reached = [name for receiver in receivers for name in receiver.collateral_names]
        _require_sync(run, network, [*awaited, *reached])
    emissions = [(task.input, (to,)) for task, to in zip(tasks, receivers, strict=True)]
    items: list[Item] = (
        [(to, task.input, None, 1) for task, to in zip(tasks, receivers, strict=True)]
        if run.recorder is None
        else run.recorder.entries(emissions)
    )
    run.begin(items, (), abort_signal)
    return run


def signals_of(network: Network, signals: object) -> list[Signal[Any]]:
    """The signals: known collaterals, and payloads of their type where they came as JSON."""
    if isinstance(signals, list | tuple):
        return [_checked(network, one) for one in cast(Sequence[object], signals)]
    return [_checked(network, signals)]


def tasks_of(network: Network, tasks: Iterable[object]) -> list[ActivationTask]:
    """The tasks: known neurons, and payloads of their type. Raises `NothingToActivate`."""
    found = [task_from_wire(task) for task in tasks]
    if not found:
        raise NothingToActivate
    return [_typed(network, task) for task in found]


def context_store(network: Network, values: Mapping[str, object] | None) -> ContextStore | None:
    """The context to start with, each value of its neuron's type."""
    if not values:
        return None
    codecs = network.context_codecs
    return ContextStore(
        {
            name: codecs[name].convert(value) if name in codecs else value
            for name, value in network.values_now(values).items()
        }
    )


def limit(option: str, value: int) -> int:
    """The value of an option that limits something. Raises `InvalidOption`."""
    if value < 1:
        raise InvalidOption(option=option, value=value, remedy="allow at least 1")
    return value


def _checked(network: Network, signal: object) -> Signal[Any]:
    if is_signal(signal):
        if signal.collateral_name not in network.collaterals:
            network.require(signal.collateral_name)
        return signal
    if isinstance(signal, EncodedSignal):
        return _decoded(network, signal)
    found = signal_from_wire(signal)
    found.collateral_name = network.name_now(found.collateral_name)
    network.require(found.collateral_name)
    collateral = network.collaterals.get(found.collateral_name)
    if collateral is None:
        return found
    codec = collateral.codec
    if found.version == codec.version:
        found.payload = codec.convert(found.payload)
        return found
    data = codec.upcast(encode_json(found.payload), found.version)
    return collateral.create_signal(codec.decode(data), key=found.key)


def _decoded(network: Network, signal: EncodedSignal) -> Signal[Any]:
    name = network.name_now(signal.collateral_name)
    collateral = network.collaterals.get(name)
    if collateral is None:
        network.require(name)
        return Signal(name, decode_json(signal.payload), signal.key)
    codec, data = collateral.codec, signal.payload
    if signal.v != codec.version:
        data = msgspec.Raw(codec.upcast(bytes(data), signal.v))
    return collateral.create_signal(codec.accept(data), key=signal.key)


def _typed(network: Network, task: ActivationTask) -> ActivationTask:
    receiver = network.receiver(task.neuron_id, task.dendrite_collateral_name)
    name = receiver.collateral_name
    codec, given = network.collaterals[name].codec, task.input
    payload = (
        codec.convert(given.payload)
        if given.version == codec.version
        else codec.decode(codec.upcast(encode_json(given.payload), given.version))
    )
    signal = network.collaterals[name].create_signal(payload, key=given.key)
    return ActivationTask(task.stimulation_id, receiver.neuron_name, name, signal)


def _require_sync(run: Stimulation, network: Network, collateral_names: Iterable[str]) -> None:
    """Raise `NoRunningLoop` for a listener, or a handler in reach, that needs one."""
    for name in collateral_names:
        awaiting = network.first_awaiting(name)
        if awaiting is not None:
            kind = "thread" if awaiting.in_thread else "coroutine"
            neuron = awaiting.neuron_name
            raise NoRunningLoop(
                reason=f"The {kind} handler of neuron {neuron!r}, in reach of {name!r},"
            )
    if run.audience is not None:
        for listener, _ in run.audience.ears:
            if inspect.iscoroutinefunction(listener):
                raise NoRunningLoop(reason="An async listener")
