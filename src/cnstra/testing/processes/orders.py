"""What the process is told that starts the workers, and what it answers."""

from typing import Any

import msgspec

from cnstra.testing.faults import Fault, Kind


class Strike(msgspec.Struct, frozen=True):
    """Where the process dies: at the `number`-th point of that kind, before or after it."""

    kind: Kind
    fault: Fault
    number: int


class Orders(msgspec.Struct, frozen=True):
    """target: `module:name` or `file.py:name` of the worker. world: of what makes its world, if it
    has one. signal: as JSON. folder: for files.

    options: of the job. patience: seconds after which a process that works is thought stuck.
    strike: the one to try; `None`: all, one after the other. strikes: whether any is to be.
    """

    target: str
    world: str | None
    signal: msgspec.Raw
    folder: str
    options: dict[str, Any]
    patience: float
    strike: Strike | None = None
    strikes: bool = True


Event = tuple[str, list[Any]]
"""A step of the job: the name of a method of `Story`, and its arguments."""


class Outcome(msgspec.Struct, frozen=True):
    """One run of the job, from its enqueueing on. strike: `None` for the run without one. point:
    what was struck, if it was.
    """

    strike: Strike | None
    events: list[Event]
    point: str | None = None
