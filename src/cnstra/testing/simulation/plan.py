"""What goes wrong in a trial, and when."""

from collections.abc import Collection, Mapping
from random import Random
from typing import Protocol

from cnstra.testing.faults import DEATHS, FAULTS, Fault, Kind

LIKELIHOOD = 0.1
MOST_DEATHS = 3
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
    """One point in ten, with whatever its kind allows."""

    def __init__(self, seed: str, without: Collection[Fault]) -> None:
        self._chance = Random(f"{seed} faults")
        self._without = without
        self._deaths = 0

    def at(self, place: int, kind: Kind) -> Fault | None:
        del place
        if self._chance.random() >= LIKELIHOOD:
            return None
        without = {*self._without, *(DEATHS if self._deaths >= MOST_DEATHS else ())}
        able = [one for one in FAULTS[kind] if one not in without]
        if not able:
            return None
        fault = self._chance.choice(able)
        self._deaths += fault in DEATHS
        return fault
