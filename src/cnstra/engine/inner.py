"""The network as a handler sees it: `ctx.cns`."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from cnstra.clock import seconds
from cnstra.engine.abort import AbortSignal
from cnstra.engine.audience import Audience, Listener
from cnstra.engine.context import Context
from cnstra.engine.entries import (
    Signals,
    Tasks,
    activate,
    context_store,
    limit,
    stimulate,
    tasks_of,
)
from cnstra.engine.network import Network
from cnstra.engine.stimulation import Host, Stimulation


class InnerCNS:
    """A CNS inside a handler. Its runs are part of the handler's activation."""

    __slots__ = ("_context", "_host", "_network")

    def __init__(self, host: Host, network: Network, context: Context[Any]) -> None:
        self._host = host
        self._network = network
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
        grace: float | timedelta | None = None,
    ) -> Stimulation:
        """Like `CNS.stimulate`; the run inherits this activation's abort, permits and listeners."""
        run = self._run(
            on_response, context_values, concurrency, max_neuron_hops, stimulation_id, grace
        )
        return stimulate(run, self._network, signals, abort_signal)

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
        grace: float | timedelta | None = None,
    ) -> Stimulation:
        """Like `CNS.activate`, as an inner run."""
        found = tasks_of(self._network, tasks)
        adopted = stimulation_id or found[0].stimulation_id or None
        run = self._run(on_response, context_values, concurrency, max_neuron_hops, adopted, grace)
        return activate(run, self._network, found, abort_signal)

    def _run(
        self,
        on_response: Listener | None,
        context_values: Mapping[str, object] | None,
        concurrency: int | None,
        max_neuron_hops: int | None,
        stimulation_id: str | None,
        grace: float | timedelta | None,
    ) -> Stimulation:
        outer = self._context
        around = outer.run.audience
        run = Stimulation(self._host, stimulation_id, context_store(self._network, context_values))
        run.outer = outer
        run.lulls = outer.run.lulls
        run.attempt = outer.attempt
        run.grace = outer.run.grace if grace is None else seconds(grace)
        if outer.run.recorder is not None:
            index = outer.needed().inner_count
            run.recorder = outer.run.recorder.inner(outer.lineage, index)
        if on_response is not None or around is not None:
            run.audience = Audience(() if on_response is None else (on_response,), around)
        if concurrency is not None:
            run.slots = limit("concurrency", concurrency)
        if max_neuron_hops is not None:
            run.max_hops = limit("max_neuron_hops", max_neuron_hops)
        return run
