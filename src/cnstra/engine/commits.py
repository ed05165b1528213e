"""What the end of an activation does to its run."""

import asyncio
import inspect
import logging
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, cast

from cnstra.engine.audience import Audience, Pending
from cnstra.engine.context import Context
from cnstra.engine.lulls import watched
from cnstra.engine.outcomes import (
    Done,
    Failed,
    Interrupted,
    Outcome,
    Unfinished,
    outcome_of_error,
    outcome_of_return,
)
from cnstra.engine.places import Holder, Turn, item_of
from cnstra.engine.recorder import Barrier, ContextChange, Emission, Item
from cnstra.engine.run import UNLIMITED, Run
from cnstra.engine.signals import Signal
from cnstra.engine.tasks import Response
from cnstra.errors import NoRunningLoop

logger = logging.getLogger("cnstra.engine")

Said = tuple[Signal[Any] | None, Signal[Any] | None, BaseException | None]
"""An input, an output, an error: what a response is made of."""


def returned(run: Run, item: Item, context: Context[Any] | None, output: Any) -> None:
    """The handler returned `output`."""
    conclude(run, item, context, outcome_of_return(item[0], context, output, run.reason))


def raised(
    run: Run,
    item: Item,
    context: Context[Any] | None,
    error: BaseException,
    *,
    cancelled: bool = False,
) -> None:
    """The handler raised `error`; `cancelled`: somebody cancelled the task that ran it."""
    outcome = outcome_of_error(context, error, aborting=run.closing, cancelled=cancelled)
    conclude(run, item, context, outcome)


def conclude(run: Run, item: Item, context: Context[Any] | None, outcome: Outcome) -> None:
    """Move the activation to where its outcome puts it."""
    match outcome:
        case Done(emissions):
            commit(run, item, context, emissions)
        case Failed(error, aborted):
            _fail(run, item, context, error, aborted, _keep_writes(run, context))
        case Interrupted(error, fatal):
            _interrupt(run, item, context, error)
            if fatal:
                _end_with(run, error)
        case Unfinished(output):
            _conclude_later(run, item, context or Context(run, *item), output)
    if run.lulls is not None:
        run.lulls.mark(run)


def commit(
    run: Run, item: Item, context: Context[Any] | None, emissions: Sequence[Emission]
) -> None:
    """The activation is done: it and all its outputs become visible together."""
    change = _keep_writes(run, context)
    barrier: Barrier | None = None
    if run.recorder is None:
        hops = item[3] + 1
        items: list[Item] = [
            (target, signal, None, hops) for signal, targets in emissions for target in targets
        ]
    else:
        try:
            items, barrier = run.recorder.committed(item, emissions, change)
        except BaseException as error:
            _fail(run, item, context, error, aborted=False, change=change)
            if isinstance(error, Exception):
                return
            _end_with(run, error)
    if context is not None and run.outer is not None:
        context.hand_undos_to(run.outer)
    let_go(run, context)
    if run.audience is None and barrier is None:
        run.places.queue.extend(items)
    else:
        outputs: list[Signal[Any] | None] = [signal for signal, _ in emissions]
        deliver(run, items, [(item[1], output, None) for output in outputs or [None]], barrier)


def _fail(
    run: Run,
    item: Item,
    context: Context[Any] | None,
    error: BaseException,
    aborted: bool,
    change: ContextChange | None,
) -> None:
    """The activation failed: it is owed, and keeps its writes."""
    _record_failure(run, item, error, aborted, change)
    if context is not None:
        context.undo()
    run.places.owe(item, error, aborted)
    let_go(run, context)
    deliver(run, [], [(item[1], None, error)], None)


def _interrupt(run: Run, item: Item, context: Context[Any] | None, error: BaseException) -> None:
    """The activation was stopped: it is owed, as if it had never started."""
    if context is not None and context.rare is not None:
        context.undo()
        if context.rare.wrote:
            run.context.roll_back(item[0].neuron_name, context)
    _record_failure(run, item, error, aborted=True, change=None)
    run.places.owe(item, error, aborted=True)
    let_go(run, context)


def _record_failure(
    run: Run, item: Item, error: BaseException, aborted: bool, change: ContextChange | None
) -> None:
    """Have it recorded. Where that fails it is owed all the same, without its reason."""
    if run.recorder is None:
        return
    try:
        run.recorder.failed(item, error, aborted=aborted, change=change)
    except Exception:
        logger.exception("Why an activation of %r ended is not recorded.", item[0].neuron_name)


def _end_with(run: Run, error: BaseException) -> NoReturn:
    """The error is not the run's own: it ends the run, and goes on to whoever runs the loop."""
    run.abort(error)
    if run.loop is not None:
        run.loop.call_soon(run.go_on)  # our strand ends here, and would have gone on
    raise error


def _conclude_later(run: Run, item: Item, context: Context[Any], output: Any) -> None:
    """Wait for what a sync handler has left behind, then conclude."""
    run.places.current = None
    if run.loop is None:
        if inspect.iscoroutine(output):
            output.close()
        reason = f"The awaitable that neuron {item[0].neuron_name!r} returned"
        conclude(run, item, context, Failed(NoRunningLoop(reason=reason)))
        return

    async def see_through(task: "asyncio.Task[None]") -> None:
        run.places.running[context] = task
        try:
            result = await watched(run, output) if inspect.isawaitable(output) else output
        except BaseException as error:
            await failed_in_task(run, context, task, error)
        else:
            await ended_in_task(run, context, task, result)

    async def later() -> None:
        task = asyncio.current_task()
        assert task is not None
        await see_through(task)
        run.go_on()

    run.places.running[context] = None
    run.spawn(later())


async def ended_in_task(run: Run, holder: Holder, task: "asyncio.Task[None]", output: Any) -> None:
    """The coroutine handler returned; nothing cancels the task for its sake from here on."""
    context, error = await _out_of_reach(run, holder, task)
    if error is None:
        returned(run, item_of(holder), context, output)
    else:
        raised(run, item_of(holder), context, error, cancelled=True)


async def failed_in_task(
    run: Run, holder: Holder, task: "asyncio.Task[None]", error: BaseException
) -> None:
    """The coroutine handler raised."""
    context, _ = await _out_of_reach(run, holder, task)
    raised(run, item_of(holder), context, error, cancelled=task.cancelling() > 0)


async def _out_of_reach(
    run: Run, holder: Holder, task: "asyncio.Task[None]"
) -> tuple[Context[Any] | None, BaseException | None]:
    context = holder.context if isinstance(holder, Turn) else holder
    run.places.running[holder] = None
    error: BaseException | None = None
    if context is not None and context.rare is not None:
        error = await _settle_rare(run, context, task)
    if context is not holder:
        del run.places.running[holder]
    return context, error


async def _settle_rare(
    run: Run, context: Context[Any], task: "asyncio.Task[None]"
) -> BaseException | None:
    """Take back our cancellation of the task; let the inner runs end, as the activation must.

    Returns the cancellation that somebody else asked for while they did.
    """
    rare = context.needed()
    cancelled: BaseException | None = None
    if rare.stop is not None and task.cancelling():
        task.uncancel()
    while rare.inner_runs:
        try:
            await next(iter(rare.inner_runs)).wait_until_done()
        except asyncio.CancelledError as error:
            cancelled = error
            run.abort(error)
    return cancelled


def _keep_writes(run: Run, context: Context[Any] | None) -> ContextChange | None:
    if context is None or context.rare is None or not context.rare.wrote:
        return None
    name = context.receiver.neuron_name
    return ContextChange(name, run.context.commit(name, context))


def let_go(run: Run, context: Context[Any] | None) -> None:
    """The activation is over: it leaves its place."""
    run.places.current = None
    if context is not None:
        vacate(run, context)
    elif run.places.waiting:
        _offer_slots(run)


def vacate(run: Run, context: Context[Any]) -> None:
    """Give back the slot and the permit of an activation, to those who wait for them."""
    places = run.places
    context.release()
    places.running.pop(context, None)
    gate = context.receiver.gate
    if gate is not None and id(context) in gate.holders:
        gate.release(context)
    if places.waiting:
        _offer_slots(run)


def _offer_slots(run: Run) -> None:
    """A slot is free: whoever stands in line for want of one may have a permit now."""
    if run.slots != UNLIMITED:
        for gate in list(run.places.waiting):
            gate.offer()


def deliver(run: Run, items: list[Item], said: Sequence[Said], barrier: Barrier | None) -> None:
    """Put the successors in the FIFO, once every listener and the checkpoint let them."""
    audience, places = run.audience, run.places
    if audience is None and barrier is None:
        places.queue.extend(items)
        return
    token = object()
    places.hold(token, items)
    waits = 1

    def let_by() -> None:
        nonlocal waits
        waits -= 1
        if waits == 0:
            _release(run, token)

    pending: Sequence[Pending] = () if audience is None else _tell(run, audience, said)
    if pending:
        waits += 1
        run.spawn(_hear_out(cast(Audience, audience), pending, let_by))
    if barrier is not None:
        barrier(let_by)
    elif pending:
        let_by()
    else:
        places.queue.extend(places.held.pop(token))


def _tell(run: Run, audience: Audience, said: Sequence[Said]) -> Sequence[Pending]:
    """Tell the listeners. Returns what they want to be waited for."""
    parent = None if run.outer is None else run.outer.run
    try:
        pending = audience.tell([Response(run, *one, parent) for one in said])
    except BaseException as error:
        run.abort(error)
        raise
    if pending and run.loop is None:
        audience.refuse(pending)
        return ()
    if pending:
        audience.waiting += 1
    return pending


async def _hear_out(
    audience: Audience, pending: Sequence[Pending], heard: Callable[[], None]
) -> None:
    try:
        await audience.wait_for(pending)
    finally:
        audience.waiting -= 1
        heard()


def _release(run: Run, token: object) -> None:
    run.places.queue.extend(run.places.held.pop(token))
    run.go_on()
