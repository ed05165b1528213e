"""Permits of a neuron: how many of its activations run at once, over all runs of a CNS.

First come, first served. A waiter holds no slot of its run, and takes its permit only when its run
has a slot free, so that a permit never waits for a slot. Permits are re-entrant: an activation
inside an inner run of a holder needs none. Runs may live on several threads; one lock guards all
the gates of a network.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any


class Waiter:
    """An activation in line at a gate.

    offer: called with the lock held, on any thread, when a permit is free. It takes the permit,
        promises that its own thread will look at it, or does nothing.
    """

    __slots__ = ("gate", "item", "offer", "promised", "run")

    def __init__(self, gate: "Gate", run: Any, item: Any, offer: "Offer") -> None:
        self.gate = gate
        self.run = run
        self.item = item
        self.offer = offer
        self.promised = False


Offer = Callable[[Waiter], None]


class Gate:
    """The permits of one neuron. `promised` of them are kept for waiters that were called."""

    __slots__ = ("holders", "limit", "line", "lock", "neuron_name", "promised")

    def __init__(self, neuron_name: str, limit: int, lock: threading.RLock) -> None:
        self.neuron_name = neuron_name
        self.limit = limit
        self.lock = lock
        self.holders: dict[int, Any] = {}
        self.line: OrderedDict[Waiter, None] = OrderedDict()
        self.promised = 0

    @property
    def free(self) -> int:
        """How many permits nobody holds or has been promised."""
        return self.limit - len(self.holders) - self.promised

    def enter(self, holder: Any) -> bool:
        """Take a permit, if one is free and nobody stands in line."""
        with self.lock:
            if self.line or self.free <= 0:
                return False
            self.holders[id(holder)] = holder
            return True

    def wait(self, waiter: Waiter) -> list[str] | None:
        """Stand in line. Returns the cycle, as neuron names, where the wait could never end."""
        with self.lock:
            cycle = cycle_at(self, waiter.run)
            if cycle is None:
                self.line[waiter] = None
            return cycle

    def promise(self, waiter: Waiter) -> None:
        """Keep a permit for the waiter, whose thread has been called."""
        waiter.promised = True
        self.promised += 1

    def take(self, waiter: Waiter, holder: Any) -> bool:
        """Go from the line to the holders, if a permit is free or was promised."""
        with self.lock:
            if not waiter.promised and self.free <= 0:
                return False
            self._strike(waiter)
            self.holders[id(holder)] = holder
            return True

    def decline(self, waiter: Waiter) -> None:
        """The waiter cannot use what it was promised: offer that to those behind."""
        with self.lock:
            self._break_promise(waiter)
            self.offer(besides=waiter)

    def leave(self, waiter: Waiter) -> None:
        """Step out of the line."""
        with self.lock:
            self._strike(waiter)
            self.offer()

    def release(self, holder: Any) -> None:
        """Give the permit back, and offer it to the line."""
        with self.lock:
            self.holders.pop(id(holder), None)
            self.offer()

    def offer(self, besides: Waiter | None = None) -> None:
        """Ask those in line, the first first, until what is free is taken or nobody can use it."""
        with self.lock:
            self._forget_the_dead()
            asked = {besides}
            while self.free > 0:
                asking = (one for one in self.line if one not in asked and not one.promised)
                waiter = next(asking, None)
                if waiter is None:
                    return
                asked.add(waiter)
                waiter.offer(waiter)

    def _forget_the_dead(self) -> None:
        """A waiter whose loop was closed before it looked will not come back."""
        if self.promised:
            for waiter in [one for one in self.line if one.promised]:
                if waiter.run.loop is not None and waiter.run.loop.is_closed():
                    self._strike(waiter)

    def _strike(self, waiter: Waiter) -> None:
        self._break_promise(waiter)
        self.line.pop(waiter, None)

    def _break_promise(self, waiter: Waiter) -> None:
        if waiter.promised:
            waiter.promised = False
            self.promised -= 1


def cycle_at(gate: Gate, run: Any) -> list[str] | None:
    """The neurons of a wait that cannot end: each holder is stuck behind a gate held for `run`."""
    around = {id(context) for context in outer_activations(run)}
    path: list[str] = []

    def stuck(gate: Gate, seen: frozenset[int]) -> bool:
        if id(gate) in seen:
            return True
        path.append(gate.neuron_name)
        seen |= {id(gate)}
        return len(gate.holders) >= gate.limit and all(
            id(holder) in around
            or _is_under_us(holder, run)
            or any(stuck(waiter.gate, seen) for waiter in _waits_inside(holder))
            for holder in gate.holders.values()
        )

    return [*path, gate.neuron_name] if stuck(gate, frozenset()) else None


def outer_activations(run: Any) -> Iterator[Any]:
    """The activations that a run is inside of, innermost first."""
    while run is not None and run.outer is not None:
        yield run.outer
        run = run.outer.run


def _is_under_us(holder: Any, run: Any) -> bool:
    """Whether a run that must wait in its caller's thread would wait for that very caller."""
    return run.loop is None and holder.run.thread == run.thread


def _waits_inside(holder: Any) -> Iterator[Waiter]:
    for run in list(holder.rare.inner_runs) if holder.rare else ():
        yield from run.places.waiters
        for context in run.places.contexts:
            yield from _waits_inside(context)
