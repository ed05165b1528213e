"""How long a run keeps its event loop to itself."""

import asyncio
from math import inf

from cnstra.clock import Clock

LENGTH = 0.02
TURNS = 3
"""Of the loop, in which it hears of a signal: it finds it, looks who asked for it, calls them."""
QUICK, SKIPPED = 0.0005, 3
"""To ask for the time costs a part of a quick hop: while they are, so many go by unasked."""


class Spell:
    """The time for which a run may go on without giving way to what else waits for the loop: a
    signal, an abort, other runs. It ends between two activations.

    skip: how many activations may go by before somebody asks again whether it is over.
    """

    __slots__ = ("_asked_at", "_ends_at", "_now", "skip")

    def __init__(self, clock: Clock) -> None:
        self._now = clock.monotonic
        self._begin()

    def _begin(self) -> None:
        self._asked_at = -inf
        self._ends_at = self._now() + LENGTH
        self.skip = 0

    @property
    def is_over(self) -> bool:
        """Whether it is time to give way."""
        now = self._now()
        self.skip = SKIPPED if now - self._asked_at < QUICK else 0
        self._asked_at = now
        return now >= self._ends_at

    async def give_way(self) -> None:
        """Let the loop come round; the next spell begins then."""
        for _ in range(TURNS):
            await asyncio.sleep(0)
        self._begin()
