"""An effect outside of any database of ours: done, not done, or unknown.

Its word in the ledger is durable before the effect begins: a row that says `started`, then the
effect, then `done` with the result. So a row that says `started`, found by a later attempt, means
that nobody knows.
"""

from collections.abc import Callable, Generator
from typing import Any

from cnstra.effects.records import UNSEEN, Entry
from cnstra.effects.statements import Call, Statement, Steps
from cnstra.engine.effects import Happened, Unknown
from cnstra.engine.payloads import PayloadCodec
from cnstra.errors import EffectUnknown, HandlerCommitted, InputChanged, NotDone

Turns = Generator[Steps[Any] | Call, Any, Any]
"""What is to be done for an effect, in order: steps in a transaction of their own, and calls of
the user's functions. Whoever takes the turns awaits them, or blocks."""


class Started:
    """The row was there, and says that the effect began. Nobody has written down its end."""


STARTED = Started()


def enter(entry: Entry, now: float) -> Steps[str | Started | None]:
    """Write down that it begins; `None` if that is new, else what the ledger has known of it."""
    if (yield Statement("enter", {**_columns(entry), "now": now})):
        return None
    rows = yield Statement("find", {"key": entry.key})
    if not rows:  # withdrawn or pruned meanwhile
        return (yield from enter(entry, now))
    ((state, outcome, input_then, _),) = rows
    if input_then != entry.input and UNSEEN not in (input_then, entry.input):
        raise InputChanged(neuron=entry.neuron, key=entry.key)
    return str(outcome) if state == "done" else STARTED


def found_done(entry: Entry, now: float) -> Steps[str | None]:
    """The outcome of an activation that is done; `None`, and its row is ours, if it is not.

    While another transaction has the row, this waits for it.
    """
    found = yield from enter(entry, now)
    if isinstance(found, Started):
        raise HandlerCommitted(neuron=entry.neuron, key=entry.key)
    return found


def finish(key: str, outcome: str) -> Steps[bool]:
    """Write down that it is done; `False` if it was not begun, or is done already."""
    return bool((yield Statement("finish", {"key": key, "outcome": outcome})))


def withdraw(key: str) -> Steps[bool]:
    """Strike out that it began; `False` if it had not, or is done."""
    return bool((yield Statement("withdraw", {"key": key})))


def once(
    entry: Entry,
    fn: Callable[[str], Any],
    *,
    reconcile: Callable[[str], Any] | None,
    unknown: Unknown,
    codec: PayloadCodec[Any],
    now: float,
) -> Turns:
    """The turns of one effect. Their end is its result, the same as any later attempt will find."""
    known = yield enter(entry, now)
    if isinstance(known, str):
        return codec.decode(known.encode())
    if known is STARTED:
        happened = yield from _find_out(entry, reconcile, unknown)
        if happened is not None:
            return (yield from _conclude(entry, happened.result, codec))
    try:
        result = yield lambda: fn(entry.key)
    except NotDone:
        yield withdraw(entry.key)
        raise
    return (yield from _conclude(entry, result, codec))


def _find_out(
    entry: Entry, reconcile: Callable[[str], Any] | None, unknown: Unknown
) -> Generator[Call, Any, Happened[Any] | None]:
    """What the outside says of an effect that began; `None` where it is to be begun again."""
    if reconcile is not None:
        answer: Happened[Any] | None = yield lambda: reconcile(entry.key)
        if answer is not None and type(answer) is not Happened:
            raise TypeError(f"reconcile answers Happened(result) or None, not {answer!r}")
        return answer
    if unknown == "dead_letter":
        raise EffectUnknown(name=entry.effect, neuron=entry.neuron, key=entry.key)
    return None


def _conclude(entry: Entry, result: Any, codec: PayloadCodec[Any]) -> Turns:
    data = codec.encode(result)
    yield finish(entry.key, data.decode())
    return codec.decode(data)


def _columns(entry: Entry) -> dict[str, object]:
    return {
        "key": entry.key,
        "run": entry.run,
        "neuron": entry.neuron,
        "effect": entry.effect,
        "input": entry.input,
    }
