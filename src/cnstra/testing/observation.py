"""What was seen of one job, from its enqueueing to its end."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cnstra.testing.faults import Fault, Point


class Start(NamedTuple):
    """A handler was started, in the `process`-th process, with this payload as JSON."""

    activation: str
    neuron: str
    payload: str
    process: int


class Slot(NamedTuple):
    """An effect by its place: the `number`-th of that name in its activation."""

    activation: str
    neuron: str
    name: str
    number: int


class Happened(NamedTuple):
    """An effect was had, under a key of the user's."""

    slot: Slot
    key: str | None
    process: int


@dataclass
class Observation:
    """One job's story.

    state: how it ended: "completed", "dead", or "stuck" where it never did. error: why it is dead.
    parents: for each activation, the one whose commit started it. struck: what went wrong, where.
    complaints: what must never be seen, and was. overwritten: neurons whose activations lost each
    other's context values. trace: every step, in order.
    """

    state: str = "stuck"
    result: Any = None
    error: str = ""
    context: Mapping[str, Any] | None = None
    starts: list[Start] = field(default_factory=list[Start])
    effects: list[Happened] = field(default_factory=list[Happened])
    parents: dict[str, str] = field(default_factory=dict[str, str])
    points: list[Point] = field(default_factory=list[Point])
    struck: list[tuple[Point, Fault]] = field(default_factory=list[tuple[Point, Fault]])
    complaints: list[str] = field(default_factory=list[str])
    overwritten: list[str] = field(default_factory=list[str])
    trace: list[str] = field(default_factory=list[str])

    def lineage(self, activation: str) -> Iterator[str]:
        """The activation, and those that it descends from."""
        found: str | None = activation
        while found is not None:
            yield found
            found = self.parents.get(found)

    def holds_as_done(self, owed: frozenset[str] | None, activation: str) -> bool:
        """Whether a store that owes these has the activation behind it.

        It has, if it knows the run, and neither owes the activation nor any that leads to it.
        """
        return owed is not None and not any(one in owed for one in self.lineage(activation))
