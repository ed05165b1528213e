"""What handlers did to the world, compared with what they do undisturbed: by its keys."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

from cnstra.testing.complaint import Complaint
from cnstra.testing.faults import Fault
from cnstra.testing.observation import Observation

Keys = Sequence[str | None]

RECORD_FIRST = (
    " (a fake that remembers what it has done: watch() it, or let it do so after record())"
)
REMEMBERED = " (by an earlier run? What outlives a process, but not its run, is made by world=)"


class Deed(NamedTuple):
    """The effects of one name that an activation has, in whatever order."""

    activation: str
    neuron: str
    name: str

    def __str__(self) -> str:
        return f"effect {self.name!r} of neuron {self.neuron!r}"


class Repeat(NamedTuple):
    """An effect that was had more than once, under the same key; so the far side can drop it."""

    effect: str
    neuron: str


def misdeeds(seen: Observation, calm: Observation) -> Iterator[Complaint]:
    """What a far side that drops repeats has too little or too much of."""
    mine, theirs = _deeds(seen), _deeds(calm)
    hint = "" if seen.struck else REMEMBERED
    if any(fault is Fault.FAIL for _, fault in seen.struck):
        hint = RECORD_FIRST
    for deed in {**theirs, **mine}:
        runs = mine.get(deed, [])
        had, due = _all(runs), _all(theirs.get(deed, []))
        if _number(had) < _number(due):
            what = f"{deed} is missing: it was counted as done{hint}"
            yield Complaint(f"missing {deed}", what)
        elif _number(had) > _number(due):
            most = max(_number(keys) for keys in runs)
            if most > _number(due):
                yield Complaint(f"needless {deed}", _needless(deed, most, _number(due)))
            else:
                yield Complaint(f"keys of {deed}", _badly_keyed(deed, had, due))


def collisions(seen: Observation) -> Iterator[Complaint]:
    """Effects that share a key, where nothing struck: a far side that drops repeats drops those."""
    uses: Counter[tuple[str, str]] = Counter()
    neurons: dict[tuple[str, str], set[str]] = defaultdict(set)
    for deed, runs in _deeds(seen).items():
        for key in {*_all(runs)} - {None}:
            used = deed.name, str(key)
            uses[used] += max(keys.count(key) for keys in runs)
            neurons[used].add(deed.neuron)
    for (name, key), times in uses.items():
        if times > 1:
            where = " and ".join(sorted(map(repr, neurons[name, key])))
            yield Complaint(
                f"shared key of {name}",
                f"effect {name!r} of neuron {where} was had {times} times under one key ({key}), "
                "so the far side drops all but the first: give each its own, as "
                'f"{ctx.idempotency_key}/{number}"',
            )


def repeats(seen: Observation, calm: Observation) -> Iterator[Repeat]:
    """The effects that were had again under their keys."""
    theirs = _deeds(calm)
    for deed, runs in _deeds(seen).items():
        had, due = _all(runs), _all(theirs.get(deed, []))
        if _number(had) == _number(due) and len(had) > len(due):
            yield Repeat(deed.name, deed.neuron)


def _deeds(seen: Observation) -> dict[Deed, list[list[str | None]]]:
    """For each, the keys that it was done under, in each run of its handler."""
    found: dict[Deed, list[list[str | None]]] = defaultdict(list)
    latest: dict[tuple[Deed, int], list[str | None]] = {}
    for one in seen.effects:
        deed = Deed(one.slot.activation, one.slot.neuron, one.slot.name)
        if one.slot.number == 1:
            latest[deed, one.process] = []
            found[deed].append(latest[deed, one.process])
        latest[deed, one.process].append(one.key)
    return found


def _all(runs: Sequence[Keys]) -> Keys:
    return [*chain.from_iterable(runs)]


def _number(keys: Keys) -> int:
    """How many there are, to whoever drops the repeats of a key."""
    return len({*keys} - {None}) + keys.count(None)


def _needless(deed: Deed, times: int, due: int) -> str:
    if not due:
        return f"{deed} was had, and never without faults"
    return f"{deed} was had {times} times in one run of its handler, and {due} without faults"


def _badly_keyed(deed: Deed, had: Keys, due: Keys) -> str:
    times = had.count(None)
    if times > due.count(None):
        return (
            f"{deed} was had {times} times, "
            "without a key to know the repeat by: give it ctx.idempotency_key"
        )
    return (
        f"{deed} was had under several keys "
        f"({', '.join(sorted({str(one) for one in had}))}): use ctx.idempotency_key, or "
        "a key that an earlier neuron with checkpoint=True has put into the payload"
    )
