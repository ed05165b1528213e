"""Permits of a neuron: how many of its activations run at once, over all runs of a CNS.

First come, first served. A waiter holds no slot of its run, and takes its permit only when its run has a
slot free, so that a permit never waits for a slot. Permits are re-entrant: an activation inside an inner run of
a holder needs none. Runs may live on several threads; one lock guards all the gates of a network.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any


class Waiter:
    """An activation in line at a gate. `offer` is called, on any thread, when a permit may be free."""

    __slots__ = ("gate", "item", "offer", "run")

    def __init__(self, gate: "Gate", run: Any, item: Any, offer: Callable[[], bool]) -> None:
        self.gate = gate
        self.run = run
        self.item = item
        self.offer = offer


class Gate:
    """The permits of one neuron."""

    __slots__ = ("_gates", "holders", "limit", "neuron_name", "waiters")

    def __init__(self, gates: "Gates", neuron_name: str, limit: int) -> None:
        self._gates = gates
        self.neuron_name = neuron_name
        self.limit = limit
        self.holders: dict[int, Any] = {}
        self.waiters: deque[Waiter] = deque()

    def enter(self, holder: Any, waiter: Waiter | None = None) -> bool:
        """Take a permit, if one is free and nobody (but for the waiter itself) is ahead in line."""
        with self._gates.lock:
            ahead = self.waiters[0] if self.waiters else None
            if len(self.holders) >= self.limit or (waiter is None and ahead is not None):
                return False
            if waiter is not None:
                self.waiters.remove(waiter)
            self.holders[id(holder)] = holder
            return True

    def wait(self, waiter: Waiter) -> list[str] | None:
        """Stand in line. Returns the cycle, as neuron names, where the wait could never end."""
        with self._gates.lock:
            cycle = self._gates.cycle(self, waiter.run)
            if cycle is None:
                self.waiters.append(waiter)
            return cycle

    def leave(self, waiter: Waiter) -> None:
        """Step out of the line."""
        with self._gates.lock:
            if waiter in self.waiters:
                self.waiters.remove(waiter)
        self.offer()

    def release(self, holder: Any) -> None:
        """Give the permit back, and offer it to the line."""
        with self._gates.lock:
            self.holders.pop(id(holder), None)
        self.offer()

    def offer(self, after: Waiter | None = None) -> None:
        """Ask the waiters (those behind `after`) in turn, until what is free is taken.

        A waiter on another thread is taken at its word that it will look; if it then cannot use the
        permit, it offers it to those behind it.
        """
        with self._gates.lock:
            free = self.limit - len(self.holders)
            line = list(self.waiters) if free > 0 else []
        if after in line:
            line = line[line.index(after) + 1 :]
        for waiter in line:
            if free <= 0:
                break
            free -= waiter.offer()


class Gates:
    """The gates of a network, and the lock that guards them."""

    __slots__ = ("lock",)

    def __init__(self) -> None:
        self.lock = threading.RLock()

    def gate(self, neuron_name: str, limit: int) -> Gate:
        return Gate(self, neuron_name, limit)

    def cycle(self, gate: Gate, run: Any) -> list[str] | None:
        """The neurons of a wait that cannot end: each holder is stuck behind a gate held for `run`."""
        ancestors = {id(context) for context in outer_activations(run)}
        path: list[str] = []

        def stuck(gate: Gate, seen: frozenset[int]) -> bool:
            if id(gate) in seen:
                return True
            path.append(gate.neuron_name)
            seen |= {id(gate)}
            return len(gate.holders) >= gate.limit and all(
                id(holder) in ancestors
                or any(stuck(waiter.gate, seen) for waiter in _waits_inside(holder))
                for holder in gate.holders.values()
            )

        return [*path, gate.neuron_name] if stuck(gate, frozenset()) else None


def outer_activations(run: Any) -> Iterator[Any]:
    """The activations that a run is inside of, innermost first."""
    while run is not None and run.outer is not None:
        yield run.outer
        run = run.outer.run


def _waits_inside(holder: Any) -> Iterator[Waiter]:
    for run in holder.rare.inner_runs if holder.rare else ():
        if not run.done:
            yield from run.waiters.values()
            for context in run.running:
                yield from _waits_inside(context)
