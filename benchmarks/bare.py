"""The least that Python can do to run a graph: a deque, a look-up and a call."""

from collections import deque
from collections.abc import Iterable
from typing import Any

from cnstra import Neuron, Signal

Routes = dict[str, tuple[Any, Any]]
"""For each collateral the one handler that listens to it, with its axon."""


def routes_of(neurons: Iterable[Neuron[Any, Any]]) -> Routes:
    """The very handlers of these neurons, without the engine."""
    return {
        dendrite.collateral.name: (dendrite.handler, neuron.axon)
        for neuron in neurons
        for dendrite in neuron.dendrites
    }


def run(routes: Routes, signal: Signal[Any]) -> None:
    queue = deque((signal,))
    while queue:
        signal = queue.popleft()
        handler, axon = routes[signal.collateral_name]
        output = handler(signal.payload, axon)
        if output is not None:
            if type(output) is list:
                queue.extend(output)
            else:
                queue.append(output)


async def run_async(routes: Routes, signal: Signal[Any]) -> None:
    queue = deque((signal,))
    while queue:
        signal = queue.popleft()
        handler, axon = routes[signal.collateral_name]
        output = await handler(signal.payload, axon)
        if output is not None:
            if type(output) is list:
                queue.extend(output)
            else:
                queue.append(output)
