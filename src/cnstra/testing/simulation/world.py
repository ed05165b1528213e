"""The time, the chance and the processes of one simulation."""

import asyncio
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Literal

from cnstra.testing.simulation.loop import SimulatedLoop

EPOCH = 1_700_000_000.0
MOST_TURNS = 200_000
"""A run that has not ended after so many turns goes round in circles."""

Halt = Literal["over", "idle", "late", "busy"]
"""Why the loops stand: it is over; all wait, and nothing will wake them; its time is up; they have
had too many turns."""


class World:
    """Loops that take turns; which one is next, the seed decides. Time passes when all wait."""

    def __init__(self, seed: str) -> None:
        self.now = 0.0
        self.was_called_from_outside = False
        self.chance = Random(f"{seed} schedule")
        self._loops: list[SimulatedLoop] = []
        self._timers: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = count()
        self._turns = 0

    def new_loop(self) -> SimulatedLoop:
        loop = SimulatedLoop(self)  # type: ignore[abstract]
        self._loops.append(loop)
        return loop

    def drop(self, loop: SimulatedLoop) -> None:
        """The loop takes no turn any more."""
        loop.abandon()
        self._loops = [one for one in self._loops if one is not loop]

    def call_at(self, when: float, callback: Callable[[], object]) -> None:
        heappush(self._timers, (when, next(self._numbers), callback))

    def call_later(self, delay: float, callback: Callable[[], object]) -> None:
        self.call_at(self.now + delay, callback)

    def run(self, is_over: Callable[[], bool], until: float) -> Halt:
        """Let them run until it is over, or has no prospect of that."""
        while not is_over():
            able = [one for one in self._loops if one.awake and one.has_work]
            if able:
                self._turns += 1
                if self._turns > MOST_TURNS:
                    return "busy"
                (able[0] if len(able) == 1 else self.chance.choice(able)).turn()
            elif not self._timers:
                return "idle"
            elif self._timers[0][0] > until:
                return "late"
            else:
                self._pass_time()
        return "over"

    def _pass_time(self) -> None:
        when, _, callback = heappop(self._timers)
        self.now = max(self.now, when)
        callback()
        while self._timers and self._timers[0][0] <= self.now:
            heappop(self._timers)[2]()


class SimulatedClock:
    """The clock of a process: the world's time and chance, and ids that say who made them."""

    def __init__(self, world: World, process: int) -> None:
        self._world = world
        self._process = process
        self._ids = count(1)

    def time(self) -> float:
        return EPOCH + self._world.now

    def monotonic(self) -> float:
        return self._world.now

    async def sleep(self, duration: float) -> None:
        await asyncio.sleep(duration)

    def random(self) -> float:
        return self._world.chance.random()

    def new_id(self) -> str:
        return f"id-{self._process}-{next(self._ids)}"
