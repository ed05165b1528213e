"""Where a job can be struck, and with what."""

from enum import StrEnum
from typing import Literal, NamedTuple

Kind = Literal[
    "receive", "start", "ask", "effect", "commit", "finish", "settle", "record", "message"
]  # fmt: skip
"""receive: a job is leased. start: an activation starts. ask: it is about to have an effect.
effect: one was recorded. commit: a checkpoint is written. finish: a result is stored. settle: the
broker is told how the job ended. record: a broker of messages writes down what it knows of a job.
message: one is sent, acknowledged, put back or buried, by a broker of messages."""


class Fault(StrEnum):
    """What goes wrong at a point."""

    DIE_BEFORE = "the process died before it was sent"
    DIE_AFTER = "the process died once it was done, and before it knew"
    DIE = "the process died"
    REFUSED = "it was refused, and not done"
    REPLY_LOST = "it was done, and the reply was lost"
    FREEZE_BEFORE = "the process stood still for longer than its lease before it was sent"
    FREEZE_AFTER = "the process stood still for longer than its lease once it was done"
    FREEZE = "the process stood still for longer than its lease"
    STOP = "the worker was told to stop"
    FAIL = "it failed, and was not done"
    RAISE = "it was done, and raised as if the reply was lost"


ON_CALLS = (
    Fault.DIE_BEFORE,
    Fault.DIE_AFTER,
    Fault.REFUSED,
    Fault.REPLY_LOST,
    Fault.FREEZE_BEFORE,
    Fault.FREEZE_AFTER,
)
DEATHS = frozenset({Fault.DIE_BEFORE, Fault.DIE_AFTER, Fault.DIE})
ERRORS = frozenset({Fault.FAIL, Fault.RAISE})
"""What a handler is told of its effect: the job needs one attempt more."""

FAULTS: dict[Kind, tuple[Fault, ...]] = {
    "receive": (Fault.DIE_AFTER, Fault.REPLY_LOST, Fault.FREEZE_AFTER),
    "start": (Fault.DIE, Fault.FREEZE, Fault.STOP),
    "ask": (Fault.DIE, Fault.FAIL),
    "effect": (Fault.DIE, Fault.FREEZE, Fault.STOP, Fault.RAISE),
    "commit": ON_CALLS,
    "finish": ON_CALLS,
    "settle": ON_CALLS,
    "record": ON_CALLS,
    "message": ON_CALLS,
}


class Point(NamedTuple):
    """A moment of a run at which something can go wrong: the `number`-th of its kind there.

    what: the neuron, the effect or the settlement, as far as the kind has one.
    """

    kind: Kind
    what: str
    number: int

    @property
    def place(self) -> str:
        """Where it is, in words."""
        match self.kind:
            case "receive":
                return "when the job was leased"
            case "start":
                return f"at the start of neuron {self.what!r}"
            case "ask":
                return f"before effect {self.what}"
            case "effect":
                return f"after effect {self.what}"
            case "commit":
                return "at a checkpoint"
            case "finish":
                return "when the result was stored"
            case "record":
                return "when the job's record was written"
            case "message":
                return f"when a message was {self.what}"
            case "settle":
                return f"when the job was settled as {self.what}"

    def __str__(self) -> str:
        return f"{self.place} (no. {self.number})"
