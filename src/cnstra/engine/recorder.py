"""What a run tells the layer above of each commit, for runs that must outlive their process."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from cnstra.engine.network import Receiver
from cnstra.engine.signals import Signal

Item = tuple[Receiver, Signal[Any], Any, int]
"""An activation that waits: its receiver, its signal, its lineage, its hop on the path. A bare
tuple, as the hot loop makes one for every hop."""

Emission = tuple[Signal[Any], tuple[Receiver, ...]]
"""An emitted signal and who receives it."""

Barrier = Callable[[Callable[[], None]], None]
"""Takes what is to be done once the checkpoint has landed, and calls it then, on the run's loop."""


class ContextChange(NamedTuple):
    """What a commit did to its neuron's context value: a `Frozen`, or `MISSING`."""

    neuron_name: str
    value: object


class Recorder(Protocol):
    """Keeps a run's lineage and, if it is durable, its progress. Called on the run's own thread."""

    @property
    def is_wary(self) -> bool:
        """Whether it must hear of each start. Else it hears of those before which it is asked for a
        checkpoint, and may of others.
        """
        ...

    def key_of(self, lineage: Any) -> str:
        """The idempotency key of the activation with this lineage."""
        ...

    def inner(self, lineage: Any, index: int) -> "Recorder":
        """The recorder of the `index`-th inner run of an activation, and so of its inner runs."""
        ...

    def entries(self, emissions: Sequence[Emission]) -> list[Item]:
        """The first activations of a run that starts with these signals."""
        ...

    def started(self, item: Item) -> Barrier | None:
        """An activation is about to start; with a barrier, not before that lets it."""
        ...

    def committed(
        self, item: Item, emissions: Sequence[Emission], change: ContextChange | None
    ) -> tuple[list[Item], Barrier | None]:
        """An activation is done. Returns its successors, which start once the barrier lets them.

        Raises `NotSerializable`, `InvalidPayload` or `DuplicateKey`: the activation then fails
        instead, and nothing of it is recorded.
        """
        ...

    def failed(
        self, item: Item, error: BaseException, *, aborted: bool, change: ContextChange | None
    ) -> None:
        """An activation failed, or was interrupted (`aborted`): it is still owed."""
        ...
