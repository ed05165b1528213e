"""What goes wrong in a trial, and when."""

from collections.abc import Collection, Mapping
from random import Random
from typing import Protocol

from cnstra.testing.faults import ERRORS, FAULTS, Fault, Kind

LIKELIHOOD = 0.1
MOST = 4
"""Fewer than the crash limit of a worker, which is not what is tried here."""


class Plan(Protocol):
    """Asked at each point, by its place among all."""

    def at(self, place: int, kind: Kind) -> Fault | None: ...


class Fixed:
    """So many faults, each at its place."""

    def __init__(self, faults: Mapping[int, Fault]) -> None:
        self._faults = faults

    def at(self, place: int, kind: Kind) -> Fault | None:
        del kind
        return self._faults.get(place)


class ByChance:
    """One point in ten, with whatever its kind allows, up to a few."""

    def __init__(self, seed: str, without: Collection[Fault]) -> None:
        self._chance = Random(f"{seed} faults")
        self._without = {*without}
        self._left = MOST

    def at(self, place: int, kind: Kind) -> Fault | None:
        del place
        able = [one for one in FAULTS[kind] if one not in self._without]
        if not self._left or not able or self._chance.random() >= LIKELIHOOD:
            return None
        self._left -= 1
        fault = self._chance.choice(able)
        if fault in ERRORS:  # the job has one attempt more, perhaps, but not two
            self._without |= ERRORS
        return fault
