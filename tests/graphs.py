"""What many tests of the engine build their graphs from."""

import asyncio
from types import SimpleNamespace
from typing import Any

from cnstra import Context, Neuron, Signal, collateral, neuron

entry = collateral("entry", int)
middle = collateral("middle", int)
out = collateral("out", int)


def passing(name: str, source: Any, target: Any, log: list[Any] | None = None) -> Neuron[Any, Any]:
    """A neuron that passes each payload on, and writes down that it did."""

    def pass_on(payload: int, axon: Any) -> Signal[int]:
        if log is not None:
            log.append((name, payload))
        return axon.target.create_signal(payload)

    return neuron(name, {"target": target}).dendrite(source, pass_on)


def sink(name: str, source: Any, log: list[Any], **options: Any) -> Neuron[Any, Any]:
    """A neuron that writes its payloads down and emits nothing."""

    def keep(payload: Any) -> None:
        log.append(payload)

    return neuron(name, {}, **options).dendrite(source, keep)


class Door:
    """A neuron whose handlers come in, say so, and wait until they are let out."""

    def __init__(self, name: str, source: Any, target: Any = None, **options: Any) -> None:
        self.inside: list[Any] = []
        self.most = 0
        self.opened = asyncio.Event()
        self.entered = asyncio.Event()
        axon = {} if target is None else {"target": target}
        self.neuron: Neuron[Any, Any] = neuron(name, axon, **options)
        self.neuron.dendrite(source, self._pass)

    async def _pass(self, payload: Any, axon: Any, ctx: Context[Any]) -> Any:
        del ctx
        self.inside.append(payload)
        self.most = max(self.most, len(self.inside))
        self.entered.set()
        await self.opened.wait()
        self.inside.remove(payload)
        return axon.target.create_signal(payload) if vars(axon) else None


def names(tasks: Any) -> list[tuple[str, Any]]:
    """Tasks, or failed tasks, as (neuron, payload)."""
    plain = [getattr(one, "task", one) for one in tasks]
    return [(one.neuron_id, one.input.payload) for one in plain]


def stranger() -> Any:
    """Somebody who may hold a permit, and of whom nothing else is known."""
    return SimpleNamespace(rare=None, run=SimpleNamespace(thread=None))
