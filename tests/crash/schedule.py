"""What a seed decides of a fleet: who is killed when, and upon which kills the server is harmed."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

MOST_STARTS = 6
LONGEST_WAIT = 0.05
ANYWHERE = 0.125
"""The share of kills that wait for no step: they fall where they will, between two steps too."""


@dataclass(frozen=True)
class Blow:
    """One kill. worker: its place in the fleet. starts: how many steps that process has begun when
    it is due, and one of them is open; 0: as soon as it has been started. wait: seconds from there.
    """

    worker: int
    starts: int
    wait: float


class Schedule:
    """Of the kills, the faults and the jobs of one seed. pace: seconds of a step, on average."""

    def __init__(self, seed: int, workers: int, kills: int, faults: int, pace: float) -> None:
        self._blows = random.Random(f"{seed} blows")
        self._jobs = random.Random(f"{seed} jobs")
        self._workers = workers
        self._pace = pace
        self.faults_after = frozenset(random.Random(f"{seed} faults").sample(range(kills), faults))
        """The numbers of the kills in mid-work upon which the server is harmed."""

    def blows(self) -> Iterator[Blow]:
        """For ever, as some miss."""
        chance = self._blows
        while True:
            is_anywhere = chance.random() < ANYWHERE
            yield Blow(
                worker=chance.randrange(self._workers),
                starts=0 if is_anywhere else chance.randint(1, MOST_STARTS),
                wait=chance.uniform(0.0, 1.0 if is_anywhere else LONGEST_WAIT),
            )

    def next_pace(self) -> float:
        """Seconds that each step of the next job takes."""
        return self._jobs.uniform(0.0, 2 * self._pace)
