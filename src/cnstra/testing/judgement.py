"""Compares a job that was struck with one that was not."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, cast

from cnstra.testing.complaint import Complaint
from cnstra.testing.deeds import misdeeds
from cnstra.testing.faults import ERRORS
from cnstra.testing.observation import Observation

View = Callable[[Any], Any]

RESULT, CONTEXT = "the result", "the context"

LONGEST_VALUE = 300
RAISED = " (a handler that raises keeps what it has written to its context)"


class Other(NamedTuple):
    """The run that a job is compared with. name: what it is called. hint: why they may differ."""

    name: str
    hint: str = ""

    def than(self, mine: object, theirs: object) -> str:
        return f"{_shown(mine)}, and {self.name} {_shown(theirs)}{self.hint}"


STRUCK = Other("without faults")
AGAIN = Other(
    "the first time",
    ": the flow depends on chance, on the time, on the order of a set, or on what its module "
    "remembers. Where it may, leave that out by view=",
)
REORDERED = Other(
    "in another order of tasks",
    ": the flow depends on which of them is first. Where it may, leave that out by view=",
)


def complaints(
    seen: Observation, calm: Observation, view: View, other: Other = STRUCK
) -> Iterator[Complaint]:
    """What is wrong with the job. view: is applied to results, contexts and payloads first."""
    yield from (Complaint("a rule of the engine", what) for what in seen.complaints)
    if seen.state == "stuck":
        yield Complaint("the end", f"the job never ended: {seen.error}")
        return
    if seen.state == "dead":
        yield Complaint("the end", f"the job was dead-lettered: {seen.error}")
        return
    yield from _overwritten(seen)
    yield from _payloads(seen, view)
    yield from misdeeds(seen, calm)
    yield from _branches(seen, calm)
    if view(seen.result) != view(calm.result):
        yield Complaint(RESULT, f"the result is {other.than(seen.result, calm.result)}")
    if not _has_raised(seen):
        yield from _contexts(view(seen.context), view(calm.context), other)


def _has_raised(seen: Observation) -> bool:
    """A handler that failed keeps what it wrote: there the context may well be another."""
    return any(fault in ERRORS for _, fault in seen.struck)


def _overwritten(seen: Observation) -> Iterator[Complaint]:
    for neuron in dict.fromkeys(seen.overwritten):
        yield Complaint(
            f"writes of {neuron}",
            f"neuron {neuron!r} wrote its context over what another activation of it had written "
            "since ctx.get(): let no await be between ctx.get() and ctx.set()",
        )


def _contexts(mine: Any, theirs: Any, other: Other) -> Iterator[Complaint]:
    if mine == theirs:
        return
    if not all(isinstance(one, Mapping) for one in (mine, theirs)):
        yield Complaint(CONTEXT, f"the context is {other.than(mine, theirs)}")
        return
    ours, calm = cast(Mapping[str, Any], mine), cast(Mapping[str, Any], theirs)
    for neuron in sorted({*ours, *calm}):
        if ours.get(neuron) != calm.get(neuron):
            told = other.than(ours.get(neuron), calm.get(neuron))
            yield Complaint(CONTEXT, f"the context of neuron {neuron!r} is {told}")


def _branches(seen: Observation, calm: Observation) -> Iterator[Complaint]:
    mine = {one.activation: one.neuron for one in seen.starts}
    theirs = {one.activation: one.neuron for one in calm.starts}
    hint = RAISED if _has_raised(seen) else ""
    for name in sorted({theirs[key] for key in theirs.keys() - mine}):
        what = f"an activation of neuron {name!r} never started: a branch was lost{hint}"
        yield Complaint(f"branches of {name}", what)
    for name in sorted({mine[key] for key in mine.keys() - theirs}):
        yield Complaint(
            f"branches of {name}",
            f"neuron {name!r} had an activation that there is none of without faults: what its "
            f"predecessor emits must depend on its payload and context alone{hint}",
        )


def _payloads(seen: Observation, view: View) -> Iterator[Complaint]:
    by_activation: dict[str, dict[str, str]] = defaultdict(dict)
    for one in seen.starts:
        by_activation[one.activation][one.payload] = one.neuron
    for payloads in by_activation.values():
        first, *others = payloads
        expected = _viewed(first, view) if others else None
        for other in others:
            if _viewed(other, view) != expected:
                yield Complaint(
                    f"payloads of {payloads[first]}",
                    f"one activation of neuron {payloads[first]!r} was given "
                    f"{_shown(first)} and later {_shown(other)}: what its predecessor emits, or "
                    "the order of it, changes from attempt to attempt. Give the predecessor "
                    "checkpoint=True; or, where it may change, leave that out by view=",
                )
                break


def _viewed(payload: str, view: View) -> Any:
    """What counts of a payload, which is JSON unless it stays in its process."""
    try:
        return view({"payload": json.loads(payload)})
    except json.JSONDecodeError:
        return view({"payload": payload})


def _shown(value: object) -> str:
    text = str(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"
