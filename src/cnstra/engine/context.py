"""What a handler sees of its run."""

import logging
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
from datetime import timedelta
from typing import Any, Generic, Protocol, TypeVar, cast, overload

from cnstra.engine.abort import AbortSignal, ObservedSignal
from cnstra.engine.context_store import MISSING, ContextStore
from cnstra.engine.effects import LEDGER, EffectLedger, Happened, Unknown
from cnstra.engine.resources import Resource, Resources
from cnstra.engine.signals import Signal

C = TypeVar("C")
D = TypeVar("D")
T = TypeVar("T")

logger = logging.getLogger("cnstra.engine")


Undo = Callable[[], object]


class InnerRun(Protocol):
    """A run that a handler started through `ctx.cns`: what a handler may do with it."""

    @property
    def id(self) -> str: ...

    @property
    def done(self) -> bool: ...

    @property
    def aborted(self) -> bool: ...

    @property
    def context(self) -> ContextStore: ...

    @property
    def failed_tasks(self) -> list[Any]: ...

    @property
    def frontier(self) -> list[Any]: ...

    def abort(self, reason: object = None, *, grace: float | timedelta | None = None) -> None: ...

    def raise_for_failures(self) -> None: ...

    async def wait_until_complete(self) -> Any: ...

    def __await__(self) -> Generator[Any, None, Any]: ...


class Stimulator(Protocol):
    """The part of a CNS that a handler may use: `ctx.cns`. What it starts are inner runs."""

    def stimulate(
        self,
        signals: Any,
        /,
        *,
        on_response: Callable[[Any], object] | None = None,
        abort_signal: AbortSignal | None = None,
        context_values: Mapping[str, object] | None = None,
        concurrency: int | None = None,
        max_neuron_hops: int | None = None,
        stimulation_id: str | None = None,
        grace: float | timedelta | None = None,
    ) -> InnerRun: ...

    def activate(
        self,
        tasks: Any,
        /,
        *,
        on_response: Callable[[Any], object] | None = None,
        abort_signal: AbortSignal | None = None,
        context_values: Mapping[str, object] | None = None,
        concurrency: int | None = None,
        max_neuron_hops: int | None = None,
        stimulation_id: str | None = None,
        grace: float | timedelta | None = None,
    ) -> InnerRun: ...


class RunOfContext(Protocol):
    """The part of a run that its contexts, and the inner runs of those, use."""

    outer: "Context[Any] | None"

    @property
    def id(self) -> str: ...

    @property
    def attempt(self) -> int: ...

    @property
    def context(self) -> ContextStore: ...

    @property
    def audience(self) -> Any: ...

    @property
    def recorder(self) -> Any: ...

    @property
    def lulls(self) -> Any: ...

    @property
    def resources(self) -> Resources: ...

    @property
    def grace(self) -> float: ...

    def observed_signal(self) -> ObservedSignal: ...

    def key_of(self, lineage: Any) -> str | None: ...

    def inner_stimulator(self, context: "Context[Any]") -> Stimulator: ...


class Rare:
    """What most activations never need: made when one does.

    inner_runs: those that go on. inner_count: how many there have been. is_cut_short: the abort of
    the activation came before one of them had done all it owed.
    """

    __slots__ = (
        "inner_count", "inner_runs", "is_cut_short", "key", "signal", "stop", "undos", "wrote",
    )  # fmt: skip

    def __init__(self) -> None:
        self.wrote = False
        self.inner_runs: dict[Any, None] = {}
        self.inner_count = 0
        self.is_cut_short = False
        self.stop: BaseException | None = None
        self.signal: ObservedSignal | None = None
        self.key: str | None = None
        self.undos: list[Undo] | None = None


class Context(Generic[C]):
    """One activation, as its handler sees it: `ctx`.

    It holds execution metadata, a value per neuron and run; business data travels in payloads. A
    value that was `set` is seen at once by later activations of the neuron. In a durable run a
    value is saved when its activation commits, and `get` returns a copy of its own: change it, then
    `set` it.
    """

    __slots__ = ("hops", "lineage", "rare", "receiver", "run", "signal")

    def __init__(
        self, run: RunOfContext, receiver: Any, signal: Signal[Any], lineage: Any, hops: int
    ) -> None:
        self.run = run
        self.receiver = receiver
        self.signal = signal
        self.lineage = lineage
        self.hops = hops
        self.rare: Rare | None = None

    @overload
    def get(self) -> C | None: ...
    @overload
    def get(self, default: C) -> C: ...
    def get(self, default: C | None = None) -> C | None:
        """This neuron's value in this run, or `default` if it has none."""
        value = self.run.context.read(self.receiver.neuron_name, self)
        return default if value is MISSING else cast(C, value)

    def set(self, value: C) -> None:
        """Set this neuron's value in this run."""
        self.needed().wrote = True
        self.run.context.write(self.receiver.neuron_name, self, value)

    def delete(self) -> None:
        """Forget this neuron's value in this run."""
        self.needed().wrote = True
        self.run.context.write(self.receiver.neuron_name, self, MISSING)

    @property
    def resources(self) -> Resources:
        """What was given to the CNS or the worker: `ctx.resources[bank]`, a `Bank`."""
        return self.run.resources

    @property
    def cns(self) -> Stimulator:
        """The network, for inner runs: part of this activation, with its abort and its permits.

        Payloads of an inner run stay in the process, so they may be anything: an open file, a blob.
        """
        return self.run.inner_stimulator(self)

    @property
    def abort_signal(self) -> AbortSignal:
        """Whether this activation should stop.

        To read it as aborted and return `None` means: interrupted, run it again on the retry.
        Return `[]` for: done, nothing to emit.
        """
        return self.observed_signal()

    @property
    def stimulation_id(self) -> str:
        """The id of the run."""
        return self.run.id

    @property
    def attempt(self) -> int:
        """Which attempt of its job this is, from 1."""
        return self.run.attempt

    @property
    def idempotency_key(self) -> str:
        """A text that names this activation, for the far side of an effect to drop repeats by.

        In a durable run it is the same on every attempt and in any process, once the activation
        before this one is committed. In a plain run it is this activation's own, and of no other.
        """
        rare = self.needed()
        if rare.key is None:
            rare.key = self.run.key_of(self.lineage) or uuid.uuid4().hex
        return rare.key

    @overload
    def once(
        self,
        name: str,
        fn: Callable[[str], Coroutine[Any, Any, T]],
        *,
        reconcile: Callable[[str], Awaitable[Happened[T] | None]] | None = None,
        unknown: Unknown = "repeat",
        returns: Any = Any,
        ledger: Resource[Any] = LEDGER,
    ) -> Coroutine[Any, Any, T]: ...
    @overload
    def once(
        self,
        name: str,
        fn: Callable[[str], T],
        *,
        reconcile: Callable[[str], Happened[T] | None] | None = None,
        unknown: Unknown = "repeat",
        returns: Any = Any,
        ledger: Resource[Any] = LEDGER,
    ) -> T: ...
    def once(
        self,
        name: str,
        fn: Callable[[str], Any],
        *,
        reconcile: Callable[[str], Any] | None = None,
        unknown: Unknown = "repeat",
        returns: Any = Any,
        ledger: Resource[Any] = LEDGER,
    ) -> Any:
        """Have an effect outside of any database of ours: `fn(key)`, written down before and after.

        A later attempt finds it done, and gets its result without calling `fn`; or not done, and
        calls it; or unknown, as the process died while it ran, or `fn` raised. For what is unknown
        `reconcile(key)` looks outside: it answers `Happened(result)`, or `None` for "it did not".
        Without one, `unknown` decides: "repeat" calls `fn` again, with the same key, by which the
        far side can drop the repeat; "dead_letter" fails the job for good with `EffectUnknown`.

        name: names the effect within this activation. returns: the type of the result, which
        travels as JSON. ledger: the resource that keeps it, `cnstra.effects.LEDGER` unless said.

        Where `fn` knows that nothing happened, it raises `NotDone`. In a plain run, which nothing
        resumes, `fn` is just called. Raises `NotSerializable` for a result without a JSON form: the
        effect is unknown then.

        >>> receipt = await ctx.once("charge", lambda key: bank.charge(50, key))
        """
        kept: EffectLedger = self.resources[ledger]
        return kept.once(self, name, fn, reconcile=reconcile, unknown=unknown, returns=returns)

    def add_undo(self, undo: Undo, /) -> None:
        """Have `undo()` called should this activation be interrupted, or fail.

        It is for what the activation did to objects in memory. The last added is called first; what
        one raises is logged. What an inner run has done is undone with the activation around it.
        """
        rare = self.needed()
        if rare.undos is None:
            rare.undos = []
        rare.undos.append(undo)

    # --- for the engine

    def needed(self) -> Rare:
        """The rare part, made now if it has not been."""
        if self.rare is None:
            self.rare = Rare()
        return self.rare

    def observed_signal(self) -> ObservedSignal:
        """The abort signal, as what it is."""
        rare = self.needed()
        if rare.signal is None:
            rare.signal = self.run.observed_signal()
        return rare.signal

    @property
    def observed_abort(self) -> bool:
        """Whether the handler has seen that it should stop."""
        rare = self.rare
        return rare is not None and rare.signal is not None and rare.signal.observed

    def stop(self, error: BaseException) -> None:
        """Ask this activation alone to stop: its deadline, or the abort's grace, has passed."""
        self.needed().stop = error
        self.observed_signal().abort(error)

    def undo(self) -> None:
        """The activation left no trace: call what was added for that."""
        undos = None if self.rare is None else self.rare.undos
        while undos:
            try:
                undos.pop()()
            except Exception:
                logger.exception("An undo of %r raised; the others are called all the same.", self)

    def hand_undos_to(self, outer: "Context[Any]") -> None:
        """The activation is done; from here on it stands and falls with the one around it."""
        if self.rare is not None:
            for undo in self.rare.undos or ():
                outer.add_undo(undo)

    def release(self) -> None:
        """The activation is over."""
        if self.rare is not None and self.rare.signal is not None:
            self.rare.signal.release()

    def __repr__(self) -> str:
        return f"<Context of neuron {self.receiver.neuron_name!r} in run {self.stimulation_id}>"
