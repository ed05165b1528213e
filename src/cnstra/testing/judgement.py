"""Compares a job that was struck with one that was not."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from cnstra.testing.faults import Fault
from cnstra.testing.observation import Observation, Slot

View = Callable[[Any], Any]


class Repeat(NamedTuple):
    """An effect that was had more than once, under the same key; so the far side can drop it."""

    effect: str
    neuron: str


def complaints(seen: Observation, calm: Observation, view: View) -> Iterator[str]:
    """What is wrong with the job, in words. `view` is applied to results and context first."""
    yield from seen.complaints
    if seen.state == "stuck":
        yield "the job never ended"
        return
    if seen.state == "dead":
        yield f"the job was dead-lettered: {seen.error}"
        return
    if view(seen.result) != view(calm.result):
        yield f"the result is {seen.result}, and without faults {calm.result}"
    if _context_counts(seen) and view(seen.context) != view(calm.context):
        yield f"the context is {seen.context}, and without faults {calm.context}"
    yield from _branches(seen, calm)
    yield from _payloads(seen)
    yield from _effects(seen, calm)


def repeats(seen: Observation) -> Iterator[Repeat]:
    """The effects that were had again."""
    for slot, keys in _keys_by_slot(seen).items():
        if len(keys) > 1:
            yield Repeat(slot.name, slot.neuron)


def _context_counts(seen: Observation) -> bool:
    """A handler that failed keeps what it wrote: there the context may well be another."""
    return all(fault is not Fault.RAISE for _, fault in seen.struck)


def _branches(seen: Observation, calm: Observation) -> Iterator[str]:
    mine = {one.activation: one.neuron for one in seen.starts}
    theirs = {one.activation: one.neuron for one in calm.starts}
    for name in sorted({theirs[key] for key in theirs.keys() - mine}):
        yield f"an activation of neuron {name!r} never started: a branch was lost"
    for name in sorted({mine[key] for key in mine.keys() - theirs}):
        yield (
            f"neuron {name!r} had an activation that there is none of without faults: what its "
            "predecessor emits must depend on its payload and context alone"
        )


def _payloads(seen: Observation) -> Iterator[str]:
    by_activation: dict[str, dict[str, str]] = defaultdict(dict)
    for one in seen.starts:
        by_activation[one.activation][one.payload] = one.neuron
    for payloads in by_activation.values():
        if len(payloads) > 1:
            first, second, *_ = payloads
            yield (
                f"one activation of neuron {payloads[first]!r} was given {first} and "
                f"later {second}: what its predecessor emits, or the order of it, "
                "changes from attempt to attempt"
            )


def _effects(seen: Observation, calm: Observation) -> Iterator[str]:
    mine, theirs = _keys_by_slot(seen), _keys_by_slot(calm)
    for name, neuron in sorted({(one.name, one.neuron) for one in theirs.keys() - mine}):
        yield f"effect {name!r} of neuron {neuron!r} is missing: it was counted as done"
    for name, neuron in sorted({(one.name, one.neuron) for one in mine.keys() - theirs}):
        yield f"effect {name!r} of neuron {neuron!r} was had, and never without faults"
    for slot, keys in mine.items():
        if len(keys) == 1:
            continue
        if len({*keys}) > 1:
            yield (
                f"effect {slot.name!r} of neuron {slot.neuron!r} was had under several keys "
                f"({', '.join(sorted({str(one) for one in keys}))}): use ctx.idempotency_key, or "
                "a key that an earlier neuron has put into the payload"
            )
        elif keys[0] is None:
            yield (
                f"effect {slot.name!r} of neuron {slot.neuron!r} was had {len(keys)} times, "
                "without a key to know the repeat by"
            )


def _keys_by_slot(seen: Observation) -> dict[Slot, list[str | None]]:
    found: dict[Slot, list[str | None]] = defaultdict(list)
    for one in seen.effects:
        found[one.slot].append(one.key)
    return found
