"""What the end of an activation does to its run."""

import asyncio
import inspect
from collections.abc import Sequence
from typing import Any

from cnstra.engine.context import Context
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
from cnstra.errors import CnstraError, NoRunningLoop

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
            _commit(run, item, context, emissions)
        case Failed(error, aborted):
            _fail(run, item, context, error, aborted, _keep_writes(run, context))
        case Interrupted(error, fatal):
            _interrupt(run, item, context, error)
            if fatal:
                run.abort(error)
                raise error
        case Unfinished(output):
            _conclude_later(run, item, context or Context(run, *item), output)


def _commit(
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
        except CnstraError as error:
            _fail(run, item, context, error, aborted=False, change=change)
            return
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
    if run.recorder is not None:
        run.recorder.failed(item, error, aborted=aborted, change=change)
    run.places.owe(item, error, aborted)
    let_go(run, context)
    deliver(run, [], [(item[1], None, error)], None)


def _interrupt(run: Run, item: Item, context: Context[Any] | None, error: BaseException) -> None:
    """The activation was stopped: it is owed, as if it had never started."""
    if context is not None and context.rare is not None and context.rare.wrote:
        run.context.roll_back(item[0].neuron_name, context)
    if run.recorder is not None:
        run.recorder.failed(item, error, aborted=True, change=None)
    run.places.owe(item, error, aborted=True)
    let_go(run, context)


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
            result = await output if inspect.isawaitable(output) else output
        except BaseException as error:
            await failed_in_task(run, context, task, error)
        else:
            await ended_in_task(run, context, task, result)

    async def later() -> None:
        task = asyncio.current_task()
        assert task is not None
        await see_through(task)
        run.go_on()

    run.places.running[context] = run.spawn(later())


async def ended_in_task(run: Run, holder: Holder, task: "asyncio.Task[None]", output: Any) -> None:
    """The coroutine handler returned; nothing cancels the task for its sake from here on."""
    context = await _out_of_reach(run, holder, task)
    returned(run, item_of(holder), context, output)


async def failed_in_task(
    run: Run, holder: Holder, task: "asyncio.Task[None]", error: BaseException
) -> None:
    """The coroutine handler raised."""
    context = await _out_of_reach(run, holder, task)
    raised(run, item_of(holder), context, error, cancelled=task.cancelling() > 0)


async def _out_of_reach(
    run: Run, holder: Holder, task: "asyncio.Task[None]"
) -> Context[Any] | None:
    context = holder.context if isinstance(holder, Turn) else holder
    run.places.running[holder] = None
    if context is not None and context.rare is not None:
        await _settle_rare(context, task)
    if context is not holder:
        del run.places.running[holder]
    return context


async def _settle_rare(context: Context[Any], task: "asyncio.Task[None]") -> None:
    """Take back our cancellation of the task; let the inner runs end, as the activation must."""
    rare = context.needed()
    if rare.stop is not None and task.cancelling():
        task.uncancel()
    for run in rare.inner_runs:
        if not run.done:
            await asyncio.shield(run.wait_until_done())


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
    pending: Sequence[Any] = ()
    if audience is not None:
        parent = None if run.outer is None else run.outer.run
        pending = audience.tell([Response(run, *one, parent) for one in said])
    if pending and audience is not None:
        if run.loop is None:
            audience.refuse(pending)
            pending = ()
        else:
            audience.waiting += 1
    if barrier is not None:
        barrier(lambda: _release_after(run, token, pending))
    elif pending:
        _release_after(run, token, pending)
    else:
        places.queue.extend(places.held.pop(token))


def _release_after(run: Run, token: object, pending: Sequence[Any]) -> None:
    """Let successors into the FIFO, when listeners that asked to be waited for are done."""
    audience = run.audience
    if audience is None or not pending:
        _release(run, token)
        return

    async def wait() -> None:
        try:
            await audience.wait_for(pending)
        finally:
            audience.waiting -= 1
            _release(run, token)

    run.spawn(wait())


def _release(run: Run, token: object) -> None:
    run.places.queue.extend(run.places.held.pop(token))
    run.go_on()
