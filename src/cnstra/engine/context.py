"""What a handler sees of its run, and where its values are kept."""

import logging
import threading
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
from typing import Any, Final, Generic, Protocol, TypeVar, cast, overload

from cnstra.engine.abort import AbortSignal, ObservedSignal
from cnstra.engine.effects import LEDGER, EffectLedger, Happened, Unknown
from cnstra.engine.payloads import PayloadCodec
from cnstra.engine.resources import Resource, Resources
from cnstra.engine.signals import Signal
from cnstra.errors import CnstraError

C = TypeVar("C")
D = TypeVar("D")
T = TypeVar("T")

logger = logging.getLogger("cnstra.engine")


Undo = Callable[[], object]


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()
"""In place of a value: there is none."""


class Frozen:
    """A value that was committed in a durable run: its JSON. Each reader decodes its own copy."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


class _Write:
    """What one unfinished activation did to its neuron's value."""

    __slots__ = ("before", "count", "first", "last", "value")

    def __init__(self, before: object, version: int) -> None:
        self.before = before
        self.first = version
        self.last = version
        self.count = 0
        self.value: object = MISSING


class _Open:
    """A neuron whose value has uncommitted writes."""

    __slots__ = ("committed", "committed_version", "version", "writes")

    def __init__(self, committed: object) -> None:
        self.committed = committed
        self.committed_version = 0
        self.version = 0
        self.writes: dict[object, _Write] = {}


class ContextStore:
    """The context values of one run, a value per neuron.

    The invariant kept here: a snapshot holds no write of an activation that is still owed, and
    every write of one that is not. Writes are versioned. A commit moves the neuron's committed
    value to the last write of that activation, unless a later one is committed already; where
    activations of one neuron overlap, an unfinished one's write may thus be in the snapshot (at
    least once), but none is ever lost.

    The lock is for handlers in threads: each call is whole, but between a `get` and a `set` there
    other threads may come.
    """

    __slots__ = ("_codecs", "_local", "_lock", "_open", "_values")

    def __init__(
        self,
        values: Mapping[str, object] | None = None,
        codecs: Mapping[str, PayloadCodec[Any]] | None = None,
    ) -> None:
        self._values: dict[str, object] = dict(values or {})
        self._open: dict[str, _Open] = {}
        self._codecs = codecs
        self._local: set[str] = set()
        self._lock = threading.RLock()

    def get_all(self) -> dict[str, Any]:
        """The values as a snapshot holds them: without the writes of what is still owed."""
        with self._lock:
            values = {**self._values, **{name: one.committed for name, one in self._open.items()}}
            return {
                neuron: self._thaw(neuron, value)
                for neuron, value in values.items()
                if value is not MISSING and neuron not in self._local
            }

    def read(self, neuron: str, reader: object) -> object:
        """The neuron's value as the activation `reader` sees it: the last one set, or `MISSING`."""
        value = self._values.get(neuron, MISSING)
        if self._codecs is None or value is MISSING:
            return value
        if isinstance(value, Frozen):
            return self._thaw(neuron, value)
        with self._lock:
            opened = self._open.get(neuron)
            own = opened.writes.get(reader) if opened else None
            if own is not None and own.value is value:
                return value
            return self._thaw(neuron, self._frozen(neuron, value) or value)

    def write(self, neuron: str, writer: object, value: object) -> None:
        """Set the neuron's value (`MISSING` deletes it), until `commit` or `roll_back` decides."""
        with self._lock:
            current = self._values.get(neuron, MISSING)
            opened = self._open.get(neuron)
            if opened is None:
                opened = self._open[neuron] = _Open(current)
            opened.version += 1
            write = opened.writes.get(writer)
            if write is None:
                write = opened.writes[writer] = _Write(current, opened.version)
            write.last, write.value = opened.version, value
            write.count += 1
            self._place(neuron, value)

    def commit(self, neuron: str, writer: object) -> object:
        """The activation is over: its writes stay. Returns the neuron's committed value.

        In a durable run that is a `Frozen`, or `MISSING` for a value that was deleted or has no
        JSON form.
        """
        with self._lock:
            opened = self._open[neuron]
            write = opened.writes.pop(writer)
            if write.last > opened.committed_version:
                value = self._to_keep(neuron, write.value)
                opened.committed, opened.committed_version = value, write.last
                if write.last == opened.version:
                    self._place(neuron, value)
            self._close(neuron, opened)
            return MISSING if neuron in self._local else opened.committed

    def roll_back(self, neuron: str, writer: object) -> None:
        """The activation was interrupted: its writes go, unless others have built on them."""
        with self._lock:
            opened = self._open[neuron]
            write = opened.writes.pop(writer)
            alone = write.last == opened.version and write.last - write.first + 1 == write.count
            if alone:
                self._place(neuron, write.before)
            self._close(neuron, opened)

    def _close(self, neuron: str, opened: _Open) -> None:
        if not opened.writes:
            self._place(neuron, opened.committed)
            del self._open[neuron]

    def _place(self, neuron: str, value: object) -> None:
        if value is MISSING:
            self._values.pop(neuron, None)
        else:
            self._values[neuron] = value

    def _to_keep(self, neuron: str, value: object) -> object:
        """What a snapshot will hold of the value: in a durable run its JSON, if it has one."""
        if self._codecs is None or value is MISSING:
            self._local.discard(neuron)
            return value
        frozen = self._frozen(neuron, value)
        if frozen is not None:
            self._local.discard(neuron)
            return frozen
        if neuron not in self._local:
            logger.warning(
                "The context of neuron %r (%s) has no JSON form: it stays in this process, and a "
                "retry will not find it.",
                neuron,
                type(value).__name__,
            )
        self._local.add(neuron)
        return value

    def _frozen(self, neuron: str, value: object) -> Frozen | None:
        codec = (self._codecs or {}).get(neuron, _UNTYPED)
        try:
            return Frozen(codec.encode(value))
        except CnstraError:
            return None

    def _thaw(self, neuron: str, value: object) -> object:
        if not isinstance(value, Frozen):
            return value
        codec = (self._codecs or {}).get(neuron, _UNTYPED)
        return codec.decode(value.data)


_UNTYPED: PayloadCodec[Any] = PayloadCodec("context", Any)


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

    def abort(self, reason: object = None, *, grace: float | None = None) -> None: ...

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
        grace: float | None = None,
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
        grace: float | None = None,
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
    """What most activations never need: made when one does."""

    __slots__ = ("inner_runs", "key", "signal", "stop", "undos", "wrote")

    def __init__(self) -> None:
        self.wrote = False
        self.inner_runs: list[Any] = []
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
