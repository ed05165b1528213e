"""One run: the hot loop.

The run keeps one FIFO of activations. Whoever starts the run drains it until a coroutine handler is
at its head; from there strands go on: tasks that take the head, run it, and go on with the next. A
strand that is about to wait leaves a spare one behind, so that a chain costs one task and a fan-out
as many as are waiting.

The invariant kept here: at any moment an activation stands in exactly one place (the FIFO, ready,
running, in line at a gate, held at a barrier, or owed), or it is done and its successors stand in
one. It moves between them in one synchronous step, whose middle no listener, snapshot or other
thread can see.
"""

import asyncio
import contextvars
import inspect
import logging
import sys
import threading
from asyncio.events import _get_running_loop  # pyright: ignore
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Sequence
from typing import Any, Protocol, cast

from cnstra.clock import Clock
from cnstra.engine.abort import AbortSignal, ObservedSignal, Remove
from cnstra.engine.audience import Audience
from cnstra.engine.context import Context, ContextStore, Stimulator
from cnstra.engine.gates import Gate, Waiter, outer_activations
from cnstra.engine.outcomes import (
    Done,
    Failed,
    Interrupted,
    Outcome,
    Unfinished,
    outcome_of_error,
    outcome_of_return,
)
from cnstra.engine.recorder import Barrier, ContextChange, Emission, Item, Recorder
from cnstra.engine.signals import Signal
from cnstra.engine.tasks import NEVER_STARTED, ActivationTask, FailedTask, Response
from cnstra.errors import (
    Aborted,
    CnstraError,
    DurationExceeded,
    HopLimitExceeded,
    ListenerFailed,
    NoRunningLoop,
    StimulationFailed,
    WaitCycle,
    WrongThread,
)

logger = logging.getLogger("cnstra.engine")

UNLIMITED = sys.maxsize
DEFAULT_GRACE = 5.0


class Host(Protocol):
    """The part of a CNS that its runs use."""

    @property
    def clock(self) -> Clock: ...

    def inside(self, context: Context[Any]) -> Stimulator:
        """The network as the handler of `context` may use it."""
        ...


class _Owed:
    """An activation that ended without being done."""

    __slots__ = ("aborted", "error", "item")

    def __init__(self, item: Item, error: BaseException, aborted: bool) -> None:
        self.item = item
        self.error = error
        self.aborted = aborted


class Stimulation:
    """One run of a network, started by `stimulate` or `activate`. Await it to see it through.

    A run belongs to the thread and loop that started it. Waiting for it never cancels it.
    """

    # What a run rarely needs stands here, so that a tiny run need not set it up.
    attempt = 1
    done = False
    grace = DEFAULT_GRACE
    outer: Context[Any] | None = None
    recorder: Recorder | None = None
    interrupted_from_outside = False
    """The abort of the activation around this inner run came before it had done all it owed."""
    _audience: Audience | None = None
    _id: str | None = None
    _store: ContextStore | None = None
    _slots = UNLIMITED
    _max_hops = UNLIMITED
    _spare = False
    _noticed = False
    _aborted_by_outer = False
    _abort_signal: AbortSignal | None = None
    _removes: tuple[Remove, ...] = ()
    _owed: Sequence[_Owed] = ()
    _waiting: tuple[asyncio.Future[None], ...] = ()
    _wake: threading.Event | None = None
    _grace_timer: asyncio.Task[Any] | None = None

    def __init__(self, host: Host) -> None:
        self._host = host
        self._loop = _get_running_loop()
        self._thread = threading.get_ident()
        self._vars = contextvars.copy_context()
        self._closing = False
        self._current: Item | None = None
        self._queue: deque[Item] = deque()
        self._ready: list[Context[Any]] = []
        self.running: dict[Context[Any], asyncio.Task[Any] | None] = {}
        self.waiters: dict[int, Waiter] = {}
        self._starting: dict[Context[Any], None] = {}
        self._held: dict[object, list[Item]] = {}

    def configure(
        self,
        *,
        stimulation_id: str | None = None,
        audience: Audience | None = None,
        store: ContextStore | None = None,
        concurrency: int | None = None,
        max_neuron_hops: int | None = None,
        grace: float = DEFAULT_GRACE,
        outer: Context[Any] | None = None,
        recorder: Recorder | None = None,
        attempt: int = 1,
    ) -> None:
        """Set what is not the default, before `begin`."""
        self._id = stimulation_id
        self._audience = audience
        self._store = store
        self._slots = concurrency or UNLIMITED
        self._max_hops = max_neuron_hops or UNLIMITED
        self.grace = grace
        self.outer = outer
        self.recorder = recorder
        self.attempt = attempt

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
            self._store = ContextStore()
        return self._store

    @property
    def failed_tasks(self) -> list[FailedTask]:
        """The tasks that failed so far; once the run has ended, all that it owes."""
        self._noticed = True
        failed = [FailedTask(self._task(one.item), one.error, one.aborted) for one in self._owed]
        if self.done:
            failed += [
                FailedTask(self._task(item), Aborted(NEVER_STARTED, reason=self._reason), True)
                for item in self._unstarted()
            ]
        return failed

    @property
    def frontier(self) -> list[ActivationTask]:
        """All that the run still owes, at any moment: resuming it owes exactly this."""
        items = [one.item for one in self._owed]
        if self._current is not None:
            items.append(self._current)
        items += [_item_of(context) for context in self.running]
        return [self._task(item) for item in (*items, *self._unstarted())]

    @property
    def aborted(self) -> bool:
        """Whether an abort was asked for. A run that owes nothing is complete all the same."""
        return self._closing

    def abort(self, reason: object = None, *, grace: float | None = None) -> None:
        """Start nothing new. Running handlers may finish; those that have not after `grace` seconds
        (5 unless said) are cancelled. May be called from any thread.
        """
        if grace is not None:
            self.grace = grace
        self._signal().abort(reason)
        self._on_abort()
        if grace is not None and self._grace_timer is not None:
            self._grace_timer.cancel()
            self._grace_timer = self._spawn(self._cancel_after_grace())

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
        listener_errors = [] if self._audience is None else self._audience.errors
        if failed:
            raise StimulationFailed(
                count=len(failed),
                summary=_summary([f"{one.task.neuron_id}: {one.error!r}" for one in failed]),
                failed_tasks=failed,
                listener_errors=listener_errors,
            ) from failed[0].error
        if listener_errors:
            raise ListenerFailed(
                count=len(listener_errors),
                summary=_summary([repr(error) for error in listener_errors]),
                listener_errors=listener_errors,
            ) from listener_errors[0]

    async def wait_until_done(self) -> None:
        """Wait until nothing runs any more, and raise nothing for what failed."""
        if self.done:
            return
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            raise WrongThread
        future = loop.create_future()
        self._waiting = (*self._waiting, future)
        await future

    def __repr__(self) -> str:
        state = "done" if self.done else "aborting" if self._closing else "running"
        return f"<Stimulation {self.id} {state}>"

    def __del__(self) -> None:
        if not self._noticed and self.done:
            errors = [one.error for one in self._owed]
            errors += self._audience.errors if self._audience else []
            if errors:
                logger.error(
                    "Run %s failed and nobody looked: %r. Await it, or read run.failed_tasks.",
                    self._id,
                    errors,
                )

    # --- starting

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
        self._deliver(items, [(None, signal, None) for signal in entries], None)
        self._vars.run(self._drain)
        if self._loop is None:
            self._see_through()
        else:
            self._leave_to_strands()

    def _inherit(self, outer: Context[Any]) -> None:
        """Become part of the activation around us: its abort is ours, and it outlasts us."""
        outer.needed().inner_runs.append(self)
        signal = outer.observed_signal()
        self._obey(signal, signal.inherit)

    def _obey(
        self, source: AbortSignal, add_callback: Callable[[Callable[[], None]], Remove]
    ) -> None:
        def on_abort() -> None:
            if not self._closing:
                self._aborted_by_outer = isinstance(source, ObservedSignal)
            self._signal().abort(source.reason)
            self._on_abort()

        self._removes = (*self._removes, add_callback(on_abort))

    def _see_through(self) -> None:
        """Without a loop, other threads' permits are the one thing to wait for: wait here."""
        while self.waiters and not self._closing:
            wake = self._wake = self._wake or threading.Event()
            for waiter in list(self.waiters.values()):
                self._claim(waiter)
            if not self._ready:
                wake.wait()
                wake.clear()
            self._vars.run(self._drain)
        self._end_if_over()

    # --- the hot loop

    def _drain(self) -> None:
        """Run what can run without waiting, up to the first coroutine handler."""
        queue, ready, running, slots = self._queue, self._ready, self.running, self._slots
        max_hops, observed = self._max_hops, self._is_observed()
        while (queue or ready) and not self._closing and len(running) < slots:
            if ready:
                if ready[0].receiver.is_async:
                    break
                self._call(ready.pop(0))
                continue
            item = queue.popleft()
            receiver, signal, lineage, hops = item
            if receiver.is_async:
                queue.appendleft(item)
                break
            if observed or not receiver.plain or hops > max_hops:
                admitted = self._admit(item)
                if admitted is not None:
                    self._call(admitted)
                continue

            # What follows is `_call` and `_commit` for the plain case, inlined.
            context: Context[Any] | None = None
            self._current, arity = item, receiver.arity
            try:
                if arity == 2:
                    output = receiver.handler(signal.payload, receiver.axon)
                elif arity == 3:
                    context = Context(self, receiver, signal, lineage, hops)
                    output = receiver.handler(signal.payload, receiver.axon, context)
                else:
                    output = receiver.handler(signal.payload)
            except BaseException as error:
                self._raised(item, context, error)
                continue
            if output is not None or context is not None:
                targets = (
                    receiver.routes.get(output.collateral_name)
                    if type(output) is Signal and (context is None or context.rare is None)
                    else None
                )
                if targets is None:
                    self._returned(item, context, output)
                    continue
                hops += 1
                for target in targets:
                    queue.append((target, output, None, hops))
            self._current = None

    def _call(self, context: Context[Any]) -> None:
        """Call the sync handler of an admitted activation."""
        try:
            output = _invoke(context)
        except BaseException as error:
            self._raised(_item_of(context), context, error)
        else:
            self._returned(_item_of(context), context, output)

    def _is_observed(self) -> bool:
        return self.recorder is not None or self._audience is not None

    # --- strands

    def _leave_to_strands(self) -> None:
        """Start a strand where work waits that none will come to; end the run if it is over."""
        if not self._closing and (self._queue or self._ready):
            if not self._spare and len(self.running) < self._slots:
                self._spawn_strand()
        else:
            self._end_if_over()

    def _go_on(self) -> None:
        """More can run now. Called by the loop itself, never inside a drain."""
        self._vars.run(self._drain)
        self._leave_to_strands()

    def _go_on_soon(self) -> None:
        if self._loop is None:
            cast(threading.Event, self._wake).set()
        elif not self._loop.is_closed():
            self._loop.call_soon(self._go_on)

    def _spawn_strand(self) -> None:
        self._spare = True
        self._spawn(self._strand())

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        loop = cast(asyncio.AbstractEventLoop, self._loop)
        task = loop.create_task(coroutine, context=self._vars)
        _strands.add(task)
        task.add_done_callback(_strands.discard)
        return task

    async def _strand(self) -> None:
        """Take the head of what waits, run it, go on with the next."""
        self._spare = False
        task = cast("asyncio.Task[None]", asyncio.current_task())
        queue, ready, running, slots = self._queue, self._ready, self.running, self._slots
        max_hops, observed = self._max_hops, self._is_observed()
        while (queue or ready) and not self._closing and len(running) < slots:
            context: Context[Any] | None
            item = None if ready else queue.popleft()
            if item is None:
                context = ready.pop(0)
            elif not item[0].is_async:
                queue.appendleft(item)
                self._drain()
                continue
            elif observed or not item[0].plain or item[3] > max_hops:
                context = self._admit(item)
                if context is None:
                    continue
            else:
                context = Context(self, *item)
            if not context.receiver.is_async:
                self._call(context)
                continue
            running[context] = task
            if (queue or ready) and not self._spare and len(running) < slots:
                self._spawn_strand()
            if not context.receiver.plain:
                await self._perform(context, task)
                continue

            # What follows is `_perform` and `_commit` for the plain case, inlined.
            receiver = context.receiver
            try:
                if receiver.arity == 2:
                    output = await receiver.handler(context.signal.payload, receiver.axon)
                elif receiver.arity == 3:
                    output = await receiver.handler(context.signal.payload, receiver.axon, context)
                else:
                    output = await receiver.handler(context.signal.payload)
            except BaseException as error:
                await self._failed_in_task(context, task, error)
                continue
            targets = (
                receiver.routes.get(output.collateral_name)
                if type(output) is Signal and context.rare is None and not observed
                else None
            )
            if targets is None:
                await self._ended_in_task(context, task, output)
                continue
            del running[context]
            hops = context.hops + 1
            for target in targets:
                queue.append((target, output, None, hops))
        self._leave_to_strands()

    async def _perform(self, context: Context[Any], task: "asyncio.Task[None]") -> None:
        """Await the coroutine handler, or the thread, of an activation, and conclude it."""
        timer = self._start_timer(context, task)
        try:
            receiver = context.receiver
            output = await (self._in_thread(context) if receiver.in_thread else _invoke(context))
        except BaseException as error:
            await self._failed_in_task(context, task, error)
        else:
            await self._ended_in_task(context, task, output)
        finally:
            if timer is not None:
                timer.cancel()

    async def _ended_in_task(
        self, context: Context[Any], task: "asyncio.Task[None]", output: Any
    ) -> None:
        self.running[context] = None
        if context.rare is not None:
            await self._settle_rare(context, task)
        self._returned(_item_of(context), context, output)

    async def _failed_in_task(
        self, context: Context[Any], task: "asyncio.Task[None]", error: BaseException
    ) -> None:
        self.running[context] = None
        if context.rare is not None:
            await self._settle_rare(context, task)
        self._raised(_item_of(context), context, error, cancelled=task.cancelling() > 0)

    async def _settle_rare(self, context: Context[Any], task: "asyncio.Task[None]") -> None:
        """Take back our cancellation of the task; let the inner runs end, as the activation must."""
        rare = context.needed()
        if rare.stop is not None and task.cancelling():
            task.uncancel()
        for run in rare.inner_runs:
            if not run.done:
                await asyncio.shield(run.wait_until_done())

    async def _in_thread(self, context: Context[Any]) -> Any:
        """Run a sync handler in a daemon thread of its own. It can be asked to stop, no more."""
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        outcome: list[tuple[Any, BaseException | None]] = []
        variables = contextvars.copy_context()

        def body() -> None:
            try:
                outcome.append((variables.run(_invoke, context), None))
            except BaseException as error:
                outcome.append((None, error))
            if not loop.is_closed():
                loop.call_soon_threadsafe(ended.set)

        threading.Thread(target=body, name=f"cnstra {context!r}", daemon=True).start()
        await ended.wait()
        output, error = outcome[0]
        if error is not None:
            raise error
        return output

    def _start_timer(
        self, context: Context[Any], task: "asyncio.Task[None]"
    ) -> "asyncio.Task[None] | None":
        receiver = context.receiver
        if receiver.max_duration is None:
            return None

        async def expire() -> None:
            await self._host.clock.sleep(receiver.max_duration)
            self._stop(
                context, DurationExceeded(neuron=receiver.neuron_name, limit=receiver.max_duration)
            )

        return self._spawn(expire())

    def _stop(self, context: Context[Any], error: BaseException) -> None:
        """Stop a handler, but nothing else of its task: a commit and a listener go on."""
        task = self.running.get(context)
        if task is not None:
            context.stop(error)
            if not context.receiver.in_thread:
                task.cancel()

    # --- admission: hop limit, gate, checkpoint

    def _admit(self, item: Item) -> Context[Any] | None:
        """Let an activation start; `None` if it failed here, or waits for a permit or a checkpoint."""
        context: Context[Any] = Context(self, *item)
        receiver, hops = context.receiver, context.hops
        if hops > self._max_hops:
            limit = self._max_hops
            error = HopLimitExceeded(neuron=receiver.neuron_name, hops=hops, limit=limit)
            self._conclude(item, context, Failed(error))
            return None
        gate = receiver.gate
        if gate is not None and not self._holds(gate) and not gate.enter(context):
            self._stand_in_line(item, context, gate)
            return None
        return self._admitted(item, context)

    def _holds(self, gate: Gate) -> bool:
        """Whether an activation around this run holds a permit already."""
        return any(id(context) in gate.holders for context in outer_activations(self))

    def _admitted(self, item: Item, context: Context[Any]) -> Context[Any] | None:
        """The activation takes its slot; `None` if a checkpoint must land before it starts."""
        self.running[context] = None
        barrier = None if self.recorder is None else self.recorder.started(item)
        if barrier is None:
            return context
        self._starting[context] = None

        def start() -> None:
            if context in self._starting:
                del self._starting[context]
                self._ready.append(context)
                self._go_on()

        barrier(start)
        return None

    def _stand_in_line(self, item: Item, context: Context[Any], gate: Gate) -> None:
        waiter = Waiter(gate, self, item, lambda: self._offered(waiter))
        self.waiters[id(waiter)] = waiter
        cycle = gate.wait(waiter)
        if cycle is not None:
            del self.waiters[id(waiter)]
            error = WaitCycle(neuron=gate.neuron_name, cycle=" -> ".join(cycle))
            self._conclude(item, context, Failed(error))

    def _offered(self, waiter: Waiter) -> bool:
        """A permit may be free. On our own thread take it; on another, ask our thread to look."""
        if self._thread == threading.get_ident():
            taken = self._claim(waiter)
            if taken:
                self._go_on_soon()
            return taken
        if self._loop is None:
            cast(threading.Event, self._wake).set()
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._look, waiter)
        else:
            return False
        return True

    def _look(self, waiter: Waiter) -> None:
        if id(waiter) in self.waiters and self._claim(waiter):
            self._go_on()
        else:
            waiter.gate.offer(after=waiter)

    def _claim(self, waiter: Waiter) -> bool:
        """Take a permit for an activation in line, if this run has a slot for it."""
        if self._closing or self.done or len(self.running) >= self._slots:
            return False
        context: Context[Any] = Context(self, *waiter.item)
        if not waiter.gate.enter(context, waiter):
            return False
        del self.waiters[id(waiter)]
        if self._admitted(waiter.item, context) is not None:
            self._ready.append(context)
        return True

    # --- how an activation ends

    def _returned(self, item: Item, context: Context[Any] | None, output: Any) -> None:
        outcome = outcome_of_return(item[0], context, output, self._reason)
        self._conclude(item, context, outcome)

    def _raised(
        self,
        item: Item,
        context: Context[Any] | None,
        error: BaseException,
        *,
        cancelled: bool = False,
    ) -> None:
        outcome = outcome_of_error(context, error, aborting=self._closing, cancelled=cancelled)
        self._conclude(item, context, outcome)

    def _conclude(self, item: Item, context: Context[Any] | None, outcome: Outcome) -> None:
        match outcome:
            case Done(emissions):
                self._commit(item, context, emissions)
            case Failed(error, aborted):
                self._fail(item, context, error, aborted, self._keep_writes(context))
            case Interrupted(error, fatal):
                self._interrupt(item, context, error)
                if fatal:
                    self.abort(error)
                    raise error
            case Unfinished(output):
                self._conclude_later(item, context or Context(self, *item), output)

    def _commit(
        self, item: Item, context: Context[Any] | None, emissions: Sequence[Emission]
    ) -> None:
        """The activation is done: it and all its outputs become visible together."""
        change = self._keep_writes(context)
        barrier: Barrier | None = None
        if self.recorder is None:
            hops = item[3] + 1
            items: list[Item] = [
                (target, signal, None, hops) for signal, targets in emissions for target in targets
            ]
        else:
            try:
                items, barrier = self.recorder.committed(item, emissions, change)
            except CnstraError as error:
                self._fail(item, context, error, aborted=False, change=change)
                return
        self._let_go(context)
        outputs: list[Signal[Any] | None] = [signal for signal, _ in emissions]
        outputs = outputs or [None]
        self._deliver(items, [(item[1], output, None) for output in outputs], barrier)

    def _fail(
        self,
        item: Item,
        context: Context[Any] | None,
        error: BaseException,
        aborted: bool,
        change: ContextChange | None,
    ) -> None:
        """The activation failed: it is owed, and keeps its writes."""
        if self.recorder is not None:
            self.recorder.failed(item, error, aborted=aborted, change=change)
        self._owe(item, context, error, aborted)
        self._deliver([], [(item[1], None, error)], None)

    def _interrupt(self, item: Item, context: Context[Any] | None, error: BaseException) -> None:
        """The activation was stopped: it is owed, as if it had never started."""
        if context is not None and context.rare is not None and context.rare.wrote:
            self.context.roll_back(item[0].neuron_name, context)
        if self.recorder is not None:
            self.recorder.failed(item, error, aborted=True, change=None)
        self._owe(item, context, error, aborted=True)

    def _conclude_later(self, item: Item, context: Context[Any], output: Any) -> None:
        """Wait for what a sync handler has left behind, then conclude."""
        self._current = None
        if self._loop is None:
            if inspect.iscoroutine(output):
                output.close()
            reason = f"The awaitable that neuron {item[0].neuron_name!r} returned"
            self._conclude(item, context, Failed(NoRunningLoop(reason=reason)))
            return

        async def conclude() -> None:
            task = cast("asyncio.Task[None]", asyncio.current_task())
            self.running[context] = task
            try:
                result = await output if inspect.isawaitable(output) else output
            except BaseException as error:
                await self._failed_in_task(context, task, error)
            else:
                await self._ended_in_task(context, task, result)
            self._drain()
            self._leave_to_strands()

        self.running[context] = self._spawn(conclude())

    def _owe(
        self, item: Item, context: Context[Any] | None, error: BaseException, aborted: bool
    ) -> None:
        if not isinstance(self._owed, list):
            self._owed = []
        self._owed.append(_Owed(item, error, aborted))
        self._let_go(context)

    def _keep_writes(self, context: Context[Any] | None) -> ContextChange | None:
        if context is None or context.rare is None or not context.rare.wrote:
            return None
        name = context.receiver.neuron_name
        return ContextChange(name, self.context.commit(name, context))

    def _let_go(self, context: Context[Any] | None) -> None:
        """The activation leaves its place: its slot, its permit."""
        self._current = None
        if context is None:
            return
        context.release()
        self.running.pop(context, None)
        gate = context.receiver.gate
        if gate is not None and id(context) in gate.holders:
            gate.release(context)
        if self.waiters and self._slots != UNLIMITED:
            for waiter in list(self.waiters.values()):
                self._claim(waiter)

    # --- what listeners hear, and when successors start

    def _deliver(
        self,
        items: Sequence[Item],
        said: Sequence[tuple[Signal[Any] | None, Signal[Any] | None, BaseException | None]],
        barrier: Barrier | None,
    ) -> None:
        """Put the successors in the FIFO, once every listener and the checkpoint let them."""
        audience = self._audience
        if audience is None and barrier is None:
            self._queue.extend(items)
            return
        token = object()
        self._held[token] = list(items)
        awaitables: Sequence[Any] = ()
        if audience is not None:
            parent = None if self.outer is None else self.outer.run
            awaitables = audience.tell([Response(self, *one, parent) for one in said])
        if awaitables and self._loop is None:
            cast(Audience, audience).refuse(awaitables)
            awaitables = ()
        if barrier is not None:
            barrier(lambda: self._release_after(token, awaitables))
        elif awaitables:
            self._release_after(token, awaitables)
        else:
            self._queue.extend(self._held.pop(token))

    def _release_after(self, token: object, awaitables: Sequence[Any]) -> None:
        """Let held successors into the FIFO, when listeners that asked to be waited for are done."""
        if not awaitables:
            self._release(token)
            return
        audience = cast(Audience, self._audience)
        heard = audience.wait_for(awaitables)

        async def wait() -> None:
            await heard
            self._release(token)

        self._spawn(wait())

    def _release(self, token: object) -> None:
        self._queue.extend(self._held.pop(token, ()))
        if self._closing:
            self._end_if_over()
        else:
            self._leave_to_strands()

    # --- the end

    def _on_abort(self) -> None:
        """An abort was asked for, on any thread: nothing new starts from here on."""
        if self._closing or self.done:
            return
        self._closing = True
        if self._thread == threading.get_ident():
            self._close()
        elif self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._close)
        elif self._wake is not None:
            self._wake.set()

    def _close(self) -> None:
        """Take back what has not started, and give what runs its grace."""
        if self.done:
            return
        unstarted = [*self._ready, *self._starting]
        self._ready.clear()
        self._starting.clear()
        for context in reversed(unstarted):
            self._queue.appendleft(_item_of(context))
            self._let_go(context)
        for waiter in list(self.waiters.values()):
            del self.waiters[id(waiter)]
            self._queue.append(waiter.item)
            waiter.gate.leave(waiter)
        if self._loop is not None:
            if self.running:
                self._grace_timer = self._spawn(self._cancel_after_grace())
            self._loop.call_soon(self._end_if_over)

    async def _cancel_after_grace(self) -> None:
        await self._host.clock.sleep(self.grace)
        for context in list(self.running):
            if context.rare is None or context.rare.stop is None:
                self._stop(context, Aborted(reason=self._reason))

    def _end_if_over(self) -> None:
        listening = self._audience is not None and self._audience.waiting
        if self.done or self.running or listening or self._current is not None:
            return
        if self._closing or not (self._queue or self._ready or self._held or self.waiters):
            self._end()

    def _end(self) -> None:
        self.done = True
        for remove in self._removes:
            remove()
        if self._aborted_by_outer:
            self.interrupted_from_outside = bool(self._owed or self._unstarted())
        for future in self._waiting:
            if not future.done():
                future.set_result(None)
        if self._grace_timer is not None:
            self._grace_timer.cancel()

    # --- the small things

    @property
    def listeners(self) -> tuple[Callable[[Response], object], ...]:
        """Those who hear this run, and so its inner runs."""
        return () if self._audience is None else self._audience.listeners

    @property
    def _reason(self) -> object:
        return None if self._abort_signal is None else self._abort_signal.reason

    def _signal(self) -> AbortSignal:
        if self._abort_signal is None:
            self._abort_signal = AbortSignal()
        return self._abort_signal

    def observed_signal(self) -> ObservedSignal:
        """One activation's view of this run's abort."""
        return ObservedSignal(self._signal())

    def key_of(self, lineage: Any) -> str | None:
        """The idempotency key of an activation, where the run has a recorder."""
        return None if self.recorder is None else self.recorder.key_of(lineage)

    def inner_stimulator(self, context: Context[Any]) -> Stimulator:
        """What `ctx.cns` is for this activation."""
        return self._host.inside(context)

    def _task(self, item: Item) -> ActivationTask:
        receiver, signal, _, _ = item
        return ActivationTask(self.id, receiver.neuron_name, receiver.collateral_name, signal)

    def _unstarted(self) -> list[Item]:
        held = [item for items in self._held.values() for item in items]
        return [*(waiter.item for waiter in self.waiters.values()), *held, *self._queue]


_strands: set[asyncio.Task[Any]] = set()
"""The loop keeps only weak references to its tasks."""


def _invoke(context: Context[Any]) -> Any:
    receiver = context.receiver
    if receiver.arity == 2:
        return receiver.handler(context.signal.payload, receiver.axon)
    if receiver.arity == 3:
        return receiver.handler(context.signal.payload, receiver.axon, context)
    return receiver.handler(context.signal.payload)


def _item_of(context: Context[Any]) -> Item:
    return context.receiver, context.signal, context.lineage, context.hops


def _summary(errors: Sequence[str]) -> str:
    shown = "; ".join(error[:200] for error in errors[:3])
    return shown if len(errors) <= 3 else f"{shown}; and {len(errors) - 3} more"
