"""The hot loops.

Whoever starts a run drains its FIFO until a coroutine handler is at the head; from there strands go
on: tasks that take the head, run it, and go on with the next. A strand that is about to wait
leaves a spare one behind, so that a chain costs one task and a fan-out as many as are waiting.
"""

import asyncio
import contextvars
import threading
from typing import Any

from cnstra.engine.admission import admit
from cnstra.engine.commits import ended_in_task, failed_in_task, raised, returned
from cnstra.engine.context import Context
from cnstra.engine.places import item_of
from cnstra.engine.run import Run
from cnstra.engine.signals import Signal
from cnstra.errors import DurationExceeded


def drain(run: Run) -> None:
    """Run what can run without waiting, up to the first coroutine handler."""
    places = run.places
    queue, ready, running, slots = places.queue, places.ready, places.running, run.slots
    max_hops, observed = run.max_hops, run.recorder is not None or run.audience is not None
    while not run.closing:
        if ready:
            if ready[0].receiver.is_async:
                return
            _call(run, ready.pop(0))
            continue
        if not queue or len(running) >= slots:
            return
        item = queue.popleft()
        receiver, signal, lineage, hops = item
        if receiver.is_async:
            queue.appendleft(item)
            return
        if observed or not receiver.plain or hops > max_hops:
            admitted = admit(run, item)
            if admitted is not None:
                _call(run, admitted)
            continue

        # What follows is `_call` and the commit for the plain case, inlined.
        context: Context[Any] | None = None
        places.current, arity = item, receiver.arity
        try:
            if arity == 2:
                output = receiver.handler(signal.payload, receiver.axon)
            elif arity == 3:
                context = Context(run, receiver, signal, lineage, hops)
                output = receiver.handler(signal.payload, receiver.axon, context)
            else:
                output = receiver.handler(signal.payload)
        except BaseException as error:
            raised(run, item, context, error)
            continue
        if output is not None or context is not None:
            targets = (
                receiver.routes.get(output.collateral_name)
                if type(output) is Signal and (context is None or context.rare is None)
                else None
            )
            if targets is None:
                returned(run, item, context, output)
                continue
            hops += 1
            for target in targets:
                queue.append((target, output, None, hops))
        places.current = None


async def strand(run: Run) -> None:
    """Take the head of what waits, run it, go on with the next."""
    run.spare = False
    task = asyncio.current_task()
    assert task is not None
    places = run.places
    queue, ready, running, slots = places.queue, places.ready, places.running, run.slots
    max_hops, observed = run.max_hops, run.recorder is not None or run.audience is not None
    while not run.closing and (ready or (queue and len(running) < slots)):
        context: Context[Any] | None
        item = None if ready else queue.popleft()
        if item is None:
            context = ready.pop(0)
        elif not item[0].is_async:
            queue.appendleft(item)
            drain(run)
            continue
        elif observed or not item[0].plain or item[3] > max_hops:
            context = admit(run, item)
            if context is None:
                continue
        else:
            context = Context(run, *item)
        receiver = context.receiver
        if not receiver.is_async:
            _call(run, context)
            continue
        running[context] = task
        if not run.spare and (ready or (queue and len(running) < slots)):
            run.go_on()
        if not receiver.plain:
            await _perform(run, context, task)
            continue

        # What follows is `_perform` and the commit for the plain case, inlined.
        try:
            if receiver.arity == 2:
                output = await receiver.handler(context.signal.payload, receiver.axon)
            elif receiver.arity == 3:
                output = await receiver.handler(context.signal.payload, receiver.axon, context)
            else:
                output = await receiver.handler(context.signal.payload)
        except BaseException as error:
            await failed_in_task(run, context, task, error)
            continue
        targets = (
            receiver.routes.get(output.collateral_name)
            if type(output) is Signal and context.rare is None and not observed
            else None
        )
        if targets is None or places.waiting:
            await ended_in_task(run, context, task, output)
            continue
        del running[context]
        hops = context.hops + 1
        for target in targets:
            queue.append((target, output, None, hops))
    run.go_on()


def _call(run: Run, context: Context[Any]) -> None:
    """Call the sync handler of an admitted activation."""
    try:
        output = _invoke(context)
    except BaseException as error:
        raised(run, item_of(context), context, error)
    else:
        returned(run, item_of(context), context, output)


async def _perform(run: Run, context: Context[Any], task: "asyncio.Task[None]") -> None:
    """Await the coroutine handler, or the thread, of an activation, and conclude it."""
    timer = _start_timer(run, context)
    try:
        in_thread = context.receiver.in_thread
        output = await (_in_thread(context) if in_thread else _invoke(context))
    except BaseException as error:
        await failed_in_task(run, context, task, error)
    else:
        await ended_in_task(run, context, task, output)
    finally:
        if timer is not None:
            timer.cancel()


def _invoke(context: Context[Any]) -> Any:
    receiver = context.receiver
    if receiver.arity == 2:
        return receiver.handler(context.signal.payload, receiver.axon)
    if receiver.arity == 3:
        return receiver.handler(context.signal.payload, receiver.axon, context)
    return receiver.handler(context.signal.payload)


async def _in_thread(context: Context[Any]) -> Any:
    """Run a sync handler in a daemon thread of its own. It can be asked to stop, no more."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    outcome: list[tuple[Any, BaseException | None]] = []
    variables = contextvars.copy_context()
    context.observed_signal()  # made here: two threads must not each make one

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


def _start_timer(run: Run, context: Context[Any]) -> "asyncio.Task[None] | None":
    receiver = context.receiver
    limit = receiver.max_duration
    if limit is None:
        return None

    async def expire() -> None:
        await run.clock.sleep(limit)
        stop(run, context, DurationExceeded(neuron=receiver.neuron_name, limit=limit))

    return run.spawn(expire())


def stop(run: Run, context: Context[Any], error: BaseException) -> None:
    """Stop a handler, but nothing else of its task: a commit and a listener go on."""
    task = run.places.running.get(context)
    if task is not None:
        context.stop(error)
        if not context.receiver.in_thread:
            task.cancel()
