"""The network as its users hold it."""

import asyncio
import copy
from asyncio.events import _get_running_loop  # pyright: ignore
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

from cnstra.clock import SYSTEM_CLOCK, Clock, seconds
from cnstra.engine.abort import AbortSignal
from cnstra.engine.audience import Audience, Listener
from cnstra.engine.context import Context, Stimulator
from cnstra.engine.context_store import ContextStore, Frozen
from cnstra.engine.entries import (
    Signals,
    Tasks,
    activate,
    context_store,
    limit,
    signals_of,
    stimulate,
    tasks_of,
)
from cnstra.engine.inner import InnerCNS
from cnstra.engine.lulls import LullListener, Lulls
from cnstra.engine.network import Network
from cnstra.engine.neurons import Neuron
from cnstra.engine.recorder import Emission, Recorder
from cnstra.engine.resources import Given, ResourceLife, Resources
from cnstra.engine.signals import Signal
from cnstra.engine.stimulation import DEFAULT_GRACE, Stimulation
from cnstra.errors import LoopIsRunning

__all__ = ["CNS", "Signals", "Tasks"]

NO_CONTEXTS: Mapping[str, bytes] = {}


class CNS:
    """A network of neurons, checked and compiled. `stimulate` starts a run of it.

    resources: what its handlers find in `ctx.resources`. Those that must be opened are open inside
        `async with cns`, during `cns.run()`, and while a `Worker` runs.

    Raises `DuplicateName` where two neurons, two different collaterals, or two resources share a
    name.

    >>> cns = CNS([step1, step2, step3])
    >>> run = cns.stimulate(request.create_signal({"id": 100}))
    >>> await run
    """

    def __init__(
        self,
        neurons: Iterable[Neuron[Any, Any]] = (),
        *,
        resources: Iterable[Given] = (),
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.network = Network(neurons)
        self.clock = clock
        self._life = ResourceLife(resources)
        self._listeners: dict[object, Listener] = {}
        self._lull_listeners: dict[object, LullListener] = {}

    @property
    def resources(self) -> Resources:
        """What handlers find in `ctx.resources`."""
        return self._life.current

    def with_resources(self, resources: Iterable[Given]) -> "CNS":
        """The same network, listeners and limits, with some resources replaced by these.

        It opens resources of its own: for a test, or for a second event loop.

        >>> cns.with_resources([bank.of(FakeBank())])
        """
        other = copy.copy(self)
        other._life = self._life.replaced(resources)
        return other

    async def __aenter__(self) -> Self:
        """Open the resources, unless they are open. Raises `ResourceFailed`."""
        await self._life.enter()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._life.leave()

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
        grace: float | timedelta = DEFAULT_GRACE,
    ) -> Stimulation:
        """Start a run with one signal or several, and return it.

        Sync handlers run inside this very call, as long as nothing makes them wait. If the signals
        can reach an async handler, an event loop must be running, else `NoRunningLoop` is raised
        before anything has run.

        on_response: hears every response; an awaitable that it returns holds back the successors.
        abort_signal: aborts the run.
        context_values: the context to start with, a value per neuron.
        concurrency: how many activations of this run may run at once.
        max_neuron_hops: how many neurons a path of this run may pass; one more is a failed task.
        stimulation_id: the run's id; made where it is not given.
        grace: seconds (or a `timedelta`) that an abort leaves to running handlers before it cancels
            them.

        Raises `UnknownCollateral`, `InvalidSignal`, `ResourcesNotOpen`, and `InvalidPayload` for a
        wire form whose payload is of the wrong type.
        """
        run = self._run(
            on_response, context_values, concurrency, max_neuron_hops, stimulation_id, grace
        )
        return stimulate(run, self.network, signals, abort_signal)

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
        grace: float | timedelta = DEFAULT_GRACE,
    ) -> Stimulation:
        """Continue a run from the tasks that it owes.

        These are `run.failed_tasks`, `run.frontier`, or their wire form. The new run adopts their
        stimulation id. The options are those of `stimulate`.

        Raises `NothingToActivate` without tasks, `UnknownNeuron` for a task whose neuron is gone.
        """
        found = tasks_of(self.network, tasks)
        adopted = stimulation_id or found[0].stimulation_id or None
        run = self._run(on_response, context_values, concurrency, max_neuron_hops, adopted, grace)
        return activate(run, self.network, found, abort_signal)

    def run(self, signals: Signals, /, **options: Any) -> Stimulation:
        """Run to the end on an event loop of its own, for a caller without one.

        It opens the resources, and closes them. The options are those of `stimulate`. Raises what
        awaiting the run would, and `LoopIsRunning` inside an event loop.
        """
        if _get_running_loop() is not None:
            raise LoopIsRunning(call="cns.run()")

        async def see_through() -> Stimulation:
            async with self:
                return await self.stimulate(signals, **options)

        return asyncio.run(see_through())

    def add_response_listener(self, listener: Listener) -> Callable[[], None]:
        """Let `listener` hear every response of every run that starts from now on.

        Returns the remover, harmless when called twice.
        """
        token = object()
        self._listeners[token] = listener
        return lambda: self._listeners.pop(token, None) and None

    def add_lull_listener(self, listener: LullListener) -> Callable[[], None]:
        """Let `listener(run)` hear of each lull of every run that starts from now on.

        A lull: all of the run that could run without waiting has run, its inner runs included. Its
        end is the last one, with `run.done`. What a listener raises is logged. Returns the remover,
        harmless when called twice.
        """
        token = object()
        self._lull_listeners[token] = listener
        return lambda: self._lull_listeners.pop(token, None) and None

    def describe(self) -> dict[str, Any]:
        """The graph as plain data: what `cnstra graph --format json` prints."""
        return self.network.describe()

    # --- for the layer above, and for inner runs

    def inside(self, context: Context[Any]) -> Stimulator:
        """The network as the handler of `context` sees it: what it starts are inner runs."""
        return InnerCNS(self, self.network, context)

    def recorded_run(
        self,
        recorder: Recorder,
        *,
        stimulation_id: str,
        contexts: Mapping[str, bytes] = NO_CONTEXTS,
        attempt: int = 1,
        grace: float = DEFAULT_GRACE,
        on_response: Listener | None = None,
    ) -> Stimulation:
        """A run that `begin` starts. For the durable layer. contexts: the values, as JSON."""
        run = self._new_run(stimulation_id, None)
        run.context_codecs = self.network.context_codecs
        if contexts:
            values = {name: Frozen(data) for name, data in contexts.items()}
            run.context = ContextStore(values, run.context_codecs)
        if on_response is not None or self._listeners:
            run.audience = self._audience(on_response)
        run.grace = grace
        run.recorder = recorder
        run.attempt = attempt
        return run

    def signals_of(self, signals: object) -> list[Signal[Any]]:
        """The signals: known collaterals, and payloads of their type where they came as JSON."""
        return signals_of(self.network, signals)

    def emissions_of(self, signals: Sequence[Signal[Any]]) -> list[Emission]:
        """The signals with who receives them."""
        return [(one, self.network.receivers_of(one.collateral_name)) for one in signals]

    def _run(
        self,
        on_response: Listener | None,
        context_values: Mapping[str, object] | None,
        concurrency: int | None,
        max_neuron_hops: int | None,
        stimulation_id: str | None,
        grace: float | timedelta,
    ) -> Stimulation:
        """A run with these options. What is the default costs a tiny run no more than a look."""
        store = context_store(self.network, context_values) if context_values else None
        run = self._new_run(stimulation_id, store)
        if on_response is not None or self._listeners:
            run.audience = self._audience(on_response)
        if concurrency is not None:
            run.slots = limit("concurrency", concurrency)
        if max_neuron_hops is not None:
            run.max_hops = limit("max_neuron_hops", max_neuron_hops)
        if grace != DEFAULT_GRACE:
            run.grace = seconds(grace)
        return run

    def _new_run(self, stimulation_id: str | None, store: ContextStore | None) -> Stimulation:
        if self._life.closed:
            self._life.refuse()
        run = Stimulation(self, stimulation_id, store)
        if self._lull_listeners:
            run.lulls = Lulls(run, self._lull_listeners.values())
        return run

    def _audience(self, on_response: Listener | None) -> Audience | None:
        own = () if on_response is None else (on_response,)
        listeners = (*own, *self._listeners.values())
        return Audience(listeners) if listeners else None
