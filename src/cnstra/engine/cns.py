"""The network as its users hold it."""

import asyncio
import inspect
from asyncio.events import _get_running_loop  # pyright: ignore
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

from cnstra.clock import SYSTEM_CLOCK, Clock
from cnstra.engine.abort import AbortSignal
from cnstra.engine.audience import Audience, Listener
from cnstra.engine.context import Context, ContextStore, Stimulator
from cnstra.engine.network import Network
from cnstra.engine.neurons import Neuron
from cnstra.engine.recorder import Emission, Item, Recorder
from cnstra.engine.signals import Signal, signal_from_wire
from cnstra.engine.stimulation import DEFAULT_GRACE, Stimulation
from cnstra.engine.tasks import ActivationTask, FailedTask, task_from_wire
from cnstra.errors import InvalidOption, LoopIsRunning, NoRunningLoop, NothingToActivate

Signals = Signal[Any] | Mapping[str, Any] | Sequence[Signal[Any] | Mapping[str, Any]]
"""One signal or a list of them, each a `Signal` or its wire form."""

Tasks = Sequence[ActivationTask | FailedTask | Mapping[str, Any]]
"""Activation tasks, each itself or its wire form."""


class CNS:
    """The compiled network of neurons. `stimulate` starts a run of it.

    Raises `DuplicateName` where two neurons, or two different collaterals, share a name.

    >>> cns = CNS([step1, step2, step3])
    >>> run = cns.stimulate(request.create_signal({"id": 100}))
    >>> await run
    """

    def __init__(
        self, neurons: Iterable[Neuron[Any, Any]] = (), *, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self.network = Network(neurons)
        self.clock = clock
        self._listeners: dict[object, Listener] = {}

    def stimulate(
        self,
        signals: Signals,
        /,
        *,
        on_response: Listener | None = None,
        abort_signal: AbortSignal | None = None,
        context_values: Mapping[str, object] | None = None,
        concurrency: int | None = None,
        max_neuron_hops: int | None = None,
        stimulation_id: str | None = None,
        grace: float = DEFAULT_GRACE,
    ) -> Stimulation:
        """Start a run with one signal or several, and return it.

        Sync handlers that nothing holds back have run when this returns, in this very call. With a coroutine
        handler in reach an event loop must be running, else `NoRunningLoop`, and nothing has run.

        on_response: hears every response; an awaitable that it returns holds back the successors.
        abort_signal: aborts the run.
        context_values: the context to start with, a value per neuron.
        concurrency: how many activations of this run may run at once.
        max_neuron_hops: how many neurons a path of this run may pass; one more is a failed task.
        stimulation_id: the run's id; made where it is not given.
        grace: seconds that an abort leaves to running handlers before it cancels them.

        Raises `UnknownCollateral`, `InvalidSignal`, and `InvalidPayload` for a wire form of the wrong type.
        """
        run = self._run(
            on_response, context_values, concurrency, max_neuron_hops, stimulation_id, grace
        )
        return self._stimulate(run, signals, abort_signal)

    def activate(
        self,
        tasks: Tasks,
        /,
        *,
        on_response: Listener | None = None,
        abort_signal: AbortSignal | None = None,
        context_values: Mapping[str, object] | None = None,
        concurrency: int | None = None,
        max_neuron_hops: int | None = None,
        stimulation_id: str | None = None,
        grace: float = DEFAULT_GRACE,
    ) -> Stimulation:
        """Continue a run from the tasks that it owes: `run.failed_tasks`, `run.frontier`, or their wire form.

        It adopts the tasks' stimulation id. The options are those of `stimulate`.

        Raises `NothingToActivate` without tasks, `UnknownNeuron` for a task whose neuron is gone.
        """
        found = self._tasks(tasks)
        adopted = stimulation_id or found[0].stimulation_id or None
        run = self._run(on_response, context_values, concurrency, max_neuron_hops, adopted, grace)
        return self._activate(run, found, abort_signal)

    def run(self, signals: Signals, /, **options: Any) -> Stimulation:
        """Run to the end on a loop of its own, for a caller without one. Raises what awaiting would.

        The options are those of `stimulate`. Raises `LoopIsRunning` inside an event loop.
        """
        if _get_running_loop() is not None:
            raise LoopIsRunning(call="cns.run()")

        async def see_through() -> Stimulation:
            return await self.stimulate(signals, **options)

        return asyncio.run(see_through())

    def add_response_listener(self, listener: Listener) -> Callable[[], None]:
        """Let `listener` hear every response of every run. Returns the remover, harmless when called twice."""
        token = object()
        self._listeners[token] = listener
        return lambda: self._listeners.pop(token, None) and None

    def describe(self) -> dict[str, Any]:
        """The graph as plain data."""
        return self.network.describe()

    # --- for the layer above, and for inner runs

    def inside(self, context: Context[Any]) -> Stimulator:
        """The network as the handler of `context` sees it: what it starts are inner runs."""
        return InnerCNS(self, context)

    def resume(
        self,
        items: Sequence[Item],
        *,
        stimulation_id: str,
        store: ContextStore,
        recorder: Recorder,
        attempt: int,
        abort_signal: AbortSignal,
        grace: float = DEFAULT_GRACE,
        on_response: Listener | None = None,
        entries: Sequence[Signal[Any]] = (),
    ) -> Stimulation:
        """Start a recorded run with these activations. For the durable layer."""
        run = Stimulation(self)
        run.configure(
            stimulation_id=stimulation_id,
            audience=self._audience(on_response, None),
            store=store,
            grace=grace,
            recorder=recorder,
            attempt=attempt,
        )
        run.begin(items, entries, abort_signal)
        return run

    def signals_of(self, signals: object) -> list[Signal[Any]]:
        """The signals, checked: known collaterals, and payloads of their type where they came as JSON."""
        many = signals if isinstance(signals, list | tuple) else [signals]
        return [self._checked(one) for one in cast(Sequence[object], many)]

    def emissions_of(self, signals: Sequence[Signal[Any]]) -> list[Emission]:
        """The signals with who receives them."""
        return [(one, self.network.receivers_of(one.collateral_name)) for one in signals]

    def _checked(self, signal: object) -> Signal[Any]:
        if isinstance(signal, Signal):
            self.network.require(signal.collateral_name)
            return signal
        found = signal_from_wire(signal)
        self.network.require(found.collateral_name)
        collateral = self.network.collaterals.get(found.collateral_name)
        if collateral is not None:
            found.payload = collateral.codec.convert(found.payload)
        return found

    def _tasks(self, tasks: Iterable[object]) -> list[ActivationTask]:
        found = [task_from_wire(task) for task in tasks]
        if not found:
            raise NothingToActivate
        return [self._typed(task) for task in found]

    def _typed(self, task: ActivationTask) -> ActivationTask:
        self.network.receiver(task.neuron_id, task.dendrite_collateral_name)
        collateral = self.network.collaterals[task.dendrite_collateral_name]
        payload = collateral.codec.convert(task.input.payload)
        signal = Signal(task.dendrite_collateral_name, payload, task.input.key)
        return ActivationTask(
            task.stimulation_id, task.neuron_id, task.dendrite_collateral_name, signal
        )

    def _run(
        self,
        on_response: Listener | None,
        context_values: Mapping[str, object] | None,
        concurrency: int | None,
        max_neuron_hops: int | None,
        stimulation_id: str | None,
        grace: float,
        outer: Context[Any] | None = None,
    ) -> Stimulation:
        for option, value in (("concurrency", concurrency), ("max_neuron_hops", max_neuron_hops)):
            if value is not None and value < 1:
                raise InvalidOption(option=option, value=value, remedy="allow at least 1")
        run = Stimulation(self)
        run.configure(
            stimulation_id=stimulation_id,
            audience=self._audience(on_response, outer),
            store=self._context_store(context_values) if context_values else None,
            concurrency=concurrency,
            max_neuron_hops=max_neuron_hops,
            grace=grace,
            outer=outer,
            recorder=None if outer is None else _inner_recorder(outer),
            attempt=1 if outer is None else outer.attempt,
        )
        return run

    def _context_store(self, values: Mapping[str, object]) -> ContextStore:
        codecs = self.network.context_codecs()
        return ContextStore(
            {
                name: codecs[name].convert(value) if name in codecs else value
                for name, value in values.items()
            }
        )

    def _audience(
        self, on_response: Listener | None, outer: Context[Any] | None
    ) -> Audience | None:
        """Who hears the run: its own listener, then those of the run around it, or of the CNS."""
        own = () if on_response is None else (on_response,)
        if outer is not None:
            around = outer.run.audience
            return Audience(own, around) if own or around is not None else None
        listeners = (*own, *self._listeners.values())
        return Audience(listeners) if listeners else None

    def _stimulate(
        self, run: Stimulation, signals: Signals, abort_signal: AbortSignal | None
    ) -> Stimulation:
        entries = self.signals_of(signals)
        self._require_loop_for_listeners(run)
        for signal in entries:
            self._require_loop(signal.collateral_name)
        emissions = self.emissions_of(entries)
        items: list[Item] = (
            [(target, signal, None, 1) for signal, targets in emissions for target in targets]
            if run.recorder is None
            else run.recorder.entries(emissions)
        )
        return self._begin(run, items, entries, abort_signal)

    def _activate(
        self, run: Stimulation, tasks: Sequence[ActivationTask], abort_signal: AbortSignal | None
    ) -> Stimulation:
        receivers = [
            self.network.receiver(task.neuron_id, task.dendrite_collateral_name) for task in tasks
        ]
        self._require_loop_for_listeners(run)
        for receiver in receivers:
            if receiver.is_async:
                self._require_loop(receiver.collateral_name)
            for name in receiver.collateral_names:
                self._require_loop(name)
        emissions = [
            (task.input, (receiver,)) for task, receiver in zip(tasks, receivers, strict=True)
        ]
        items: list[Item] = (
            [(targets[0], signal, None, 1) for signal, targets in emissions]
            if run.recorder is None
            else run.recorder.entries(emissions)
        )
        return self._begin(run, items, (), abort_signal)

    def _begin(
        self,
        run: Stimulation,
        items: Sequence[Item],
        entries: Sequence[Signal[Any]],
        abort_signal: AbortSignal | None,
    ) -> Stimulation:
        run.begin(items, entries, abort_signal)
        return run

    def _require_loop(self, collateral_name: str) -> None:
        if _get_running_loop() is not None:
            return
        awaiting = self.network.first_awaiting(collateral_name)
        if awaiting is not None:
            kind = "thread" if awaiting.in_thread else "coroutine"
            reason = (
                f"The {kind} handler of neuron {awaiting.neuron_name!r}, in reach of "
                f"{collateral_name!r},"
            )
            raise NoRunningLoop(reason=reason)

    def _require_loop_for_listeners(self, run: Stimulation) -> None:
        ears = () if run.audience is None else run.audience.ears
        if ears and _get_running_loop() is None:
            if any(inspect.iscoroutinefunction(listener) for listener, _ in ears):
                raise NoRunningLoop(reason="An async listener")


class InnerCNS:
    """A CNS inside a handler: `ctx.cns`. Its runs are part of the handler's activation."""

    __slots__ = ("_cns", "_context")

    def __init__(self, cns: CNS, context: Context[Any]) -> None:
        self._cns = cns
        self._context = context

    def stimulate(
        self,
        signals: Signals,
        /,
        *,
        on_response: Listener | None = None,
        abort_signal: AbortSignal | None = None,
        context_values: Mapping[str, object] | None = None,
        concurrency: int | None = None,
        max_neuron_hops: int | None = None,
        stimulation_id: str | None = None,
        grace: float | None = None,
    ) -> Stimulation:
        """Like `CNS.stimulate`; the run inherits this activation's abort, permits and listeners."""
        run = self._cns._run(
            on_response,
            context_values,
            concurrency,
            max_neuron_hops,
            stimulation_id,
            self._context.run.grace if grace is None else grace,
            self._context,
        )
        return self._cns._stimulate(run, signals, abort_signal)

    def activate(
        self,
        tasks: Tasks,
        /,
        *,
        on_response: Listener | None = None,
        abort_signal: AbortSignal | None = None,
        context_values: Mapping[str, object] | None = None,
        concurrency: int | None = None,
        max_neuron_hops: int | None = None,
        stimulation_id: str | None = None,
        grace: float | None = None,
    ) -> Stimulation:
        """Like `CNS.activate`, as an inner run."""
        found = self._cns._tasks(tasks)
        run = self._cns._run(
            on_response,
            context_values,
            concurrency,
            max_neuron_hops,
            stimulation_id or found[0].stimulation_id or None,
            self._context.run.grace if grace is None else grace,
            self._context,
        )
        return self._cns._activate(run, found, abort_signal)


def _inner_recorder(outer: Context[Any]) -> Recorder | None:
    recorder = outer.run.recorder
    return (
        None if recorder is None else recorder.inner(outer.lineage, len(outer.needed().inner_runs))
    )
