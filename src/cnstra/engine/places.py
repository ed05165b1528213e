"""Where each activation of a run stands."""

from collections import deque
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any, Final, cast

from cnstra.engine.context import Context
from cnstra.engine.gates import Gate, Waiter
from cnstra.engine.recorder import Item


class Owed:
    """An activation that ended without being done."""

    __slots__ = ("aborted", "error", "item")

    def __init__(self, item: Item, error: BaseException, aborted: bool) -> None:
        self.item = item
        self.error = error
        self.aborted = aborted


class Turn:
    """The plain activation that a strand runs just now; the strand uses it for one after another.

    context: made when the handler takes one, or somebody needs it.
    """

    __slots__ = ("context", "item")

    def __init__(self, item: Item) -> None:
        self.item = item
        self.context: Context[Any] | None = None


Holder = Context[Any] | Turn
"""What holds a slot of a run."""


NONE: Final = cast(Any, MappingProxyType[Any, Any]({}))
"""What most runs never need is made when one does: a tiny run is mostly its start and its end."""


class Places:
    """The activations of one run, each in its place.

    The invariant kept with it: at any moment an activation stands in exactly one place, or it is
    done and its successors stand in one. It moves between them in one synchronous step, whose
    middle no listener, snapshot or other thread can see.

    queue: the FIFO of what may start.
    current: the one plain sync handler that runs.
    running: what holds a slot of the run, each with the task that may be cancelled for it.
    starting: of those, what waits for a checkpoint before its handler starts.
    ready: of those, what starts before anything in the queue.
    waiting: what stands in line, by its gate.
    held: successors that a listener or a checkpoint holds back.
    owed: what failed, or was interrupted.
    """

    __slots__ = ("current", "held", "owed", "queue", "ready", "running", "starting", "waiting")

    def __init__(self) -> None:
        self.queue: deque[Item] = deque()
        self.current: Item | None = None
        self.running: dict[Holder, Any] = {}
        self.ready: list[Context[Any]] = []
        self.starting: dict[Context[Any], None] = NONE
        self.waiting: dict[Gate, dict[Waiter, None]] = NONE
        self.held: dict[object, list[Item]] = NONE
        self.owed: Sequence[Owed] = ()

    def owe(self, item: Item, error: BaseException, aborted: bool) -> None:
        """It ended without being done."""
        self.owed = self.owed or []
        cast(list[Owed], self.owed).append(Owed(item, error, aborted))

    def hold(self, token: object, items: list[Item]) -> None:
        """They wait until whoever has the token lets them go."""
        self.held = self.held or {}
        self.held[token] = items

    def hold_back(self, context: Context[Any]) -> None:
        """It has its slot, and waits for a checkpoint."""
        self.starting = self.starting or {}
        self.starting[context] = None

    def line_up(self, waiter: Waiter) -> None:
        """It waits in line at its gate."""
        self.waiting = self.waiting or {}
        self.waiting.setdefault(waiter.gate, {})[waiter] = None

    def step_out(self, waiter: Waiter) -> None:
        """It waits no more."""
        line = self.waiting[waiter.gate]
        del line[waiter]
        if not line:
            del self.waiting[waiter.gate]

    @property
    def waiters(self) -> list[Waiter]:
        """All that stands in line at a gate."""
        return [waiter for line in self.waiting.values() for waiter in line]

    @property
    def contexts(self) -> list[Context[Any]]:
        """Of what runs, what has a context."""
        found = [one.context if isinstance(one, Turn) else one for one in self.running]
        return [one for one in found if one is not None]

    def unstarted(self) -> list[Item]:
        """What has not started, in the order in which it would."""
        lined_up = [waiter.item for waiter in self.waiters]
        held = [item for items in self.held.values() for item in items]
        return [*lined_up, *held, *self.queue]

    def all(self) -> list[Item]:
        """All that the run owes."""
        items = [one.item for one in self.owed]
        if self.current is not None:
            items.append(self.current)
        items += [item_of(holder) for holder in self.running]
        return items + self.unstarted()


def item_of(holder: Holder) -> Item:
    """The bare tuple of an activation."""
    return holder.item if isinstance(holder, Turn) else _tuple_of(holder)


def _tuple_of(context: Context[Any]) -> Item:
    return context.receiver, context.signal, context.lineage, context.hops
