"""Effects outside the process that should happen once: what `ctx.once` asks of a ledger."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeVar

from cnstra.engine.resources import Resource

T_co = TypeVar("T_co", covariant=True)

Unknown = Literal["repeat", "dead_letter"]


@dataclass(frozen=True, slots=True)
class Happened(Generic[T_co]):
    """What a `reconcile` function answers when the effect did happen: with this result."""

    result: T_co


class EffectLedger(Protocol):
    """Where it is written down which effects have happened."""

    def once(
        self,
        ctx: Any,
        name: str,
        fn: Callable[[str], Any],
        *,
        reconcile: Callable[[str], Any] | None,
        unknown: Unknown,
        returns: Any,
    ) -> Any:
        """`ctx.once`: a coroutine where `fn` is a coroutine function, else the result."""
        ...


LEDGER: Resource[EffectLedger] = Resource("ledger")
"""The ledger that `ctx.once` uses unless it is told another."""
