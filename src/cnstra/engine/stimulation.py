"""One run of a network, as its caller holds it."""

import asyncio
import contextvars
import logging
import threading
from asyncio.events import _get_running_loop  # pyright: ignore
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Protocol

from cnstra.clock import Clock, seconds
from cnstra.engine.abort import AbortSignal, ObservedSignal, Remove
from cnstra.engine.admission import wait_for_permits
from cnstra.engine.audience import Audience
from cnstra.engine.commits import deliver, vacate
from cnstra.engine.context import Context, Stimulator
from cnstra.engine.context_store import ContextStore
from cnstra.engine.lulls import Lulls
from cnstra.engine.payloads import PayloadCodec
from cnstra.engine.places import NONE, Places, item_of
from cnstra.engine.recorder import Item, Recorder
from cnstra.engine.resources import Resources
from cnstra.engine.run import UNLIMITED
from cnstra.engine.signals import Signal
from cnstra.engine.spells import Spell
from cnstra.engine.strands import drain, stop, strand
from cnstra.engine.tasks import NEVER_STARTED, ActivationTask, FailedTask
from cnstra.engine.threads import call_on
from cnstra.errors import Aborted, ListenerFailed, StimulationFailed, WrongThread, text_of

logger = logging.getLogger("cnstra.engine")

DEFAULT_GRACE = 5.0


class Host(Protocol):
    """The part of a CNS that its runs use."""

    @property
    def clock(self) -> Clock: ...

    @property
    def resources(self) -> Resources: ...

    def inside(self, context: Context[Any]) -> Stimulator:
        """The network as the handler of `context` may use it."""
        ...


class Unnoticed:
    """The errors of a run that is over and at which nobody has looked."""

    __slots__ = ("errors", "run_id")

    def __init__(self, run_id: str, errors: list[BaseException]) -> None:
        self.run_id = run_id
        self.errors = errors

    def __del__(self) -> None:
        if self.errors:
            logger.error(
                "Run %s failed and nobody looked: %r. Await it, or read run.failed_tasks.",
                self.run_id,
                self.errors,
            )


class Stimulation:
    """One run of a network, started by `stimulate` or `activate`. Await it to see it through.

    A run belongs to the thread and loop that started it. Waiting for it never cancels it.
    """

    # What a run rarely needs stands here, so that a tiny run need not set it up.
    attempt = 1
    looking = False
    grace = DEFAULT_GRACE
    outer: Context[Any] | None = None
    spell: Spell | None = None
    lulls: Lulls | None = None
    wake: threading.Event | None = None
    context_codecs: Mapping[str, PayloadCodec[Any]] | None = None
    """How context values travel, in a run whose values are saved."""
    _broken: Exception | None = None
    _unnoticed: Unnoticed | None = None
    _aborted_by_outer = False
    _abort_signal: AbortSignal | None = None
    _removes: tuple[Remove, ...] = ()
    _waiting: tuple[asyncio.Future[None], ...] = ()
    _grace_timer: asyncio.Task[Any] | None = None

    def __init__(
        self, host: Host, stimulation_id: str | None = None, store: ContextStore | None = None
    ) -> None:
        self._host = host
        self._id = stimulation_id
        self._store = store
        self._vars = contextvars.copy_context()
        self.loop = _get_running_loop()
        self.thread = threading.get_ident()
        self.places = Places()
        self.audience: Audience | None = None
        self.recorder: Recorder | None = None
        self.slots = UNLIMITED
        self.max_hops = UNLIMITED
        self.closing = False
        self.done = False
        self.spare: asyncio.Task[None] | None = None

    # --- what a caller sees

    @property
    def id(self) -> str:
        """The id of the run: given, adopted from the tasks, or made."""
        if self._id is None:
            self._id = self._host.clock.new_id()
        return self._id

    @property
    def context(self) -> ContextStore:
        """The context values: `run.context.get_all()`."""
        if self._store is None:
            self._store = ContextStore(codecs=self.context_codecs)
        return self._store

    @context.setter
    def context(self, store: ContextStore) -> None:
        self._store = store

    @property
    def failed_tasks(self) -> list[FailedTask]:
        """The tasks that failed so far; once the run has ended, all that it owes."""
        owed = self.places.owed
        if self.done and not owed and not self.closing:
            return []
        failed = [FailedTask(self._task(one.item), one.error, one.aborted) for one in owed]
        if self.done:
            if self._unnoticed is not None:
                self._unnoticed.errors = []
            failed += [
                FailedTask(self._task(item), Aborted(NEVER_STARTED, reason=self.reason), True)
                for item in self.places.unstarted()
            ]
        return failed

    @property
    def frontier(self) -> list[ActivationTask]:
        """All that the run still owes, at any moment: resuming it owes exactly this."""
        return [self._task(item) for item in self.places.all()]

    @property
    def aborted(self) -> bool:
        """Whether an abort was asked for. A run that owes nothing is complete all the same."""
        return self.closing

    def abort(self, reason: object = None, *, grace: float | timedelta | None = None) -> None:
        """Start nothing new. Running handlers may finish; those that have not after `grace` seconds
        (5 unless said) are cancelled. Called again with another grace, it counts from then.

        May be called from any thread.
        """
        if grace is not None:
            self.grace = seconds(grace)
        self._signal().abort(reason)
        self._on_abort()
        if grace is not None:
            self._call_home(self._restart_grace)

    def __await__(self) -> Generator[Any, None, "Stimulation"]:
        return self.wait_until_complete().__await__()

    async def wait_until_complete(self) -> "Stimulation":
        """Wait until nothing runs any more.

        Raises `StimulationFailed` when the run owes anything, `ListenerFailed` when it does not but
        a listener raised.
        """
        if not self.done:
            await self.wait_until_done()
        self.raise_for_failures()
        return self

    def raise_for_failures(self) -> None:
        """Raise what `await` would: for runs that are over when `stimulate` returns."""
        failed = self.failed_tasks
        listener_errors = [] if self.audience is None else self.audience.errors
        if failed:
            raise StimulationFailed(
                count=len(failed),
                summary=_summary(
                    [f"{one.task.neuron_id}: {text_of(one.error, repr)}" for one in failed]
                ),
                failed_tasks=failed,
                listener_errors=listener_errors,
            ) from failed[0].error
        if listener_errors:
            raise ListenerFailed(
                count=len(listener_errors),
                summary=_summary([text_of(error, repr) for error in listener_errors]),
                listener_errors=listener_errors,
            ) from listener_errors[0]

    async def wait_until_done(self) -> None:
        """Wait until nothing runs any more, and raise nothing for what failed."""
        if self._broken is not None:
            raise self._broken
        if self.done:
            return
        loop = asyncio.get_running_loop()
        if loop is not self.loop:
            raise WrongThread
        future = loop.create_future()
        self._waiting = (*self._waiting, future)
        try:
            await future
        finally:
            self._waiting = tuple(one for one in self._waiting if one is not future)

    def __repr__(self) -> str:
        state = "done" if self.done else "aborting" if self.closing else "running"
        return f"<Stimulation {self.id} {state}>"

    # --- how it starts, goes on and ends

    def begin(
        self,
        items: Sequence[Item],
        entries: Sequence[Signal[Any]],
        abort_signal: AbortSignal | None,
    ) -> None:
        """Start with these activations; `entries` are the signals that listeners hear of first."""
        if self.outer is not None:
            self._inherit(self.outer)
        if abort_signal is not None:
            self._obey(abort_signal, abort_signal.add_callback)
        if self.audience is None:
            self.places.queue.extend(items)
        else:
            deliver(self, list(items), [(None, signal, None) for signal in entries], None)
        try:
            self._vars.run(drain, self)
            if self.loop is None:
                self._see_through()
        finally:
            self.go_on()
            if self.lulls is not None and not self.done:
                self.lulls.mark(self)

    def go_on(self) -> None:
        """Start a strand where work waits that none will come to; end the run if it is over."""
        places = self.places
        more = places.ready or (places.queue and len(places.running) < self.slots)
        if self.closing or not more:
            self._end_if_over()
        elif self.spare is None:
            self.spare = self.spawn(strand(self))

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """A task of the run's, in a copy of the variables that the run began with."""
        assert self.loop is not None
        task = self.loop.create_task(coroutine, context=self._vars.copy())
        _tasks.add(task)
        task.add_done_callback(self._task_ended)
        return task

    def _task_ended(self, task: "asyncio.Task[None]") -> None:
        """A spare strand that was cancelled leaves its work behind. What a task of ours raises is
        no failure of a handler: it is told, and breaks the run.
        """
        _tasks.discard(task)
        if self.spare is task:
            self.spare = None
            self.abort(asyncio.CancelledError("the run's task was cancelled"))
        error = None if task.cancelled() else task.exception()
        if error is not None:
            message = f"A task of run {self.id} raised"
            task.get_loop().call_exception_handler({"message": message, "exception": error})
            if isinstance(error, Exception):
                self._break(error)

    def _break(self, error: Exception) -> None:
        """What the run was at may be lost to it: nobody waits for that."""
        self._broken = error
        self.abort(error)
        for future in self._waiting:
            if not future.done():
                future.set_exception(error)

    def _see_through(self) -> None:
        """Without a loop, other threads' permits are the one thing to wait for: wait here."""
        while self.places.waiting and not self.closing:
            try:
                wait_for_permits(self)
            except BaseException as error:
                self.abort(error)
                raise
            self._vars.run(drain, self)

    def _end_if_over(self) -> None:
        if self.closing:
            self._take_back()
        places = self.places
        if self.done or places.running or places.current is not None:
            return
        if self.audience is not None and self.audience.waiting:
            return
        if self.closing or not (places.queue or places.held or places.waiting):
            self._end()

    def _end(self) -> None:
        self.done = True
        if self._grace_timer is not None:
            self._grace_timer.cancel()
        if self._removes:
            self._detach()
        if self.places.owed or self.audience is not None:
            self._remember_errors()
        if self.lulls is not None:
            self.lulls.ended(self)
        for future in self._waiting:
            if not future.done():
                future.set_result(None)

    def _detach(self) -> None:
        for remove in self._removes:
            remove()
        self._removes = ()
        if self.outer is not None:
            self._leave(self.outer)

    def _remember_errors(self) -> None:
        errors = [one.error for one in self.places.owed if not one.aborted]
        errors += self.audience.errors if self.audience else []
        if errors:
            self._unnoticed = Unnoticed(self.id, errors)

    # --- its abort

    def _inherit(self, outer: Context[Any]) -> None:
        """Become part of the activation around us: its abort is ours, and it outlasts us."""
        rare = outer.needed()
        rare.inner_runs[self] = None
        rare.inner_count += 1
        signal = outer.observed_signal()
        self._obey(signal, signal.inherit)

    def _leave(self, outer: Context[Any]) -> None:
        """We have ended: the activation around us need not keep us."""
        rare = outer.needed()
        rare.inner_runs.pop(self, None)
        if self._aborted_by_outer and (self.places.owed or self.places.unstarted()):
            rare.is_cut_short = True

    def _obey(
        self, source: AbortSignal, add_callback: Callable[[Callable[[], object]], Remove]
    ) -> None:
        def on_abort() -> None:
            if not self.closing:
                self._aborted_by_outer = isinstance(source, ObservedSignal)
            self._signal().abort(source.reason)
            self._on_abort()

        self._removes = (*self._removes, add_callback(on_abort))

    def _on_abort(self) -> None:
        """An abort was asked for, on any thread: nothing new starts from here on."""
        if self.closing or self.done:
            return
        self.closing = True
        wake = self.wake
        if wake is not None:
            wake.set()
        self._call_home(self._close)

    def _call_home(self, function: Callable[[], None]) -> None:
        """Call it on the run's own thread: now, if that is this one."""
        if self.thread == threading.get_ident():
            function()
        elif self.loop is not None:
            call_on(self.loop, function)

    def _close(self) -> None:
        """Take back what has not started, and give what runs its grace."""
        if self.done:
            return
        self._take_back()
        if self.loop is not None and not self.loop.is_closed():
            self._restart_grace()
            self.loop.call_soon(self._end_if_over)

    def _take_back(self) -> None:
        """What has a slot but has not started goes back to the FIFO, before what stood in line."""
        places = self.places
        unstarted = [*places.ready, *places.starting]
        waiters = places.waiters
        places.ready.clear()
        places.starting = NONE
        places.queue.extendleft(waiter.item for waiter in reversed(waiters))
        places.queue.extendleft(item_of(context) for context in reversed(unstarted))
        for waiter in waiters:
            places.step_out(waiter)
            waiter.gate.leave(waiter)
        for context in unstarted:
            vacate(self, context)

    def _restart_grace(self) -> None:
        if self._grace_timer is not None:
            self._grace_timer.cancel()
        if self.loop is not None and self.places.running and not self.done:
            self._grace_timer = self.spawn(self._cancel_after_grace())

    async def _cancel_after_grace(self) -> None:
        await self._host.clock.sleep(self.grace)
        for _ in range(2):  # a task that was just about to begin has now begun
            for holder in list(self.places.running):
                stop(self, holder, Aborted(reason=self.reason))
            await asyncio.sleep(0)

    # --- for the engine

    @property
    def clock(self) -> Clock:
        """The clock of the CNS."""
        return self._host.clock

    @property
    def reason(self) -> object:
        """What the run was aborted for."""
        return None if self._abort_signal is None else self._abort_signal.reason

    @property
    def resources(self) -> Resources:
        """What was given to the CNS."""
        return self._host.resources

    def observed_signal(self) -> ObservedSignal:
        """One activation's view of this run's abort."""
        return ObservedSignal(self._signal())

    def key_of(self, lineage: Any) -> str | None:
        """The idempotency key of an activation, where the run has a recorder."""
        return None if self.recorder is None else self.recorder.key_of(lineage)

    def inner_stimulator(self, context: Context[Any]) -> Stimulator:
        """What `ctx.cns` is for this activation."""
        return self._host.inside(context)

    def _signal(self) -> AbortSignal:
        if self._abort_signal is None:
            self._abort_signal = AbortSignal()
        return self._abort_signal

    def _task(self, item: Item) -> ActivationTask:
        receiver, signal, _, _ = item
        return ActivationTask(self.id, receiver.neuron_name, receiver.collateral_name, signal)


_tasks: set[asyncio.Task[Any]] = set()
"""The loop keeps only weak references to its tasks."""


def _summary(errors: Sequence[str]) -> str:
    shown = "; ".join(error[:200] for error in errors[:3])
    return shown if len(errors) <= 3 else f"{shown}; and {len(errors) - 3} more"
