"""Whoever sees what handlers do: in a simulation, or in a process that will be killed."""

from collections import Counter
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol

Place = tuple[int, str]
"""A run, by its identity, and a neuron."""


class Witness(Protocol):
    """Hears of activations and of their effects; each call may be the last that it hears."""

    def started(self, activation: "Activation", payload: str) -> None: ...

    def returned(self, activation: "Activation", children: Sequence[str]) -> None: ...

    def asks(self, activation: "Activation", name: str) -> None:
        """It is about to have an effect. Where that is to fail, this raises."""
        ...

    def had_effect(self, activation: "Activation", name: str, key: str | None) -> None: ...

    def overwrote(self, activation: "Activation") -> None:
        """It set its neuron's context to what it had made of a value that is gone by now."""
        ...


@dataclass(eq=False, slots=True)
class Activation:
    """A handler that runs.

    key: its idempotency key. run: the stimulation. is_inner: whether that is an inner run.
    effects: how many it has had so far, by name. versions: how often context values were set, by
    their place, in its process. knows: how often its own had been when it read or set it last.
    """

    witness: Witness
    neuron: str
    key: str
    run: Any
    is_inner: bool
    effects: dict[str, int] = field(default_factory=dict[str, int])
    versions: Counter[Place] = field(default_factory=Counter[Place])
    knows: int | None = None

    @property
    def place(self) -> Place:
        """Where its context value is kept."""
        return id(self.run), self.neuron

    @property
    def version(self) -> int:
        return self.versions[self.place]

    def count(self, name: str) -> int:
        """Count one more effect of that name; how many there are now."""
        self.effects[name] = number = self.effects.get(name, 0) + 1
        return number


class Nobody:
    """Hears nothing: what a dead process's `finally` blocks do is not the world's business."""

    def started(self, activation: Activation, payload: str) -> None:
        del activation, payload

    def returned(self, activation: Activation, children: Sequence[str]) -> None:
        del activation, children

    def asks(self, activation: Activation, name: str) -> None:
        del activation, name

    def had_effect(self, activation: Activation, name: str, key: str | None) -> None:
        del activation, name, key

    def overwrote(self, activation: Activation) -> None:
        del activation


NOBODY = Activation(Nobody(), "", "", None, False)

current: ContextVar[Activation | None] = ContextVar("cnstra activation", default=None)
"""The activation whose handler runs here, while somebody watches it."""
