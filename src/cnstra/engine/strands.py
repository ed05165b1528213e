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
from cnstra.engine.commits import commit, ended_in_task, failed_in_task, raised, returned
from cnstra.engine.context import Context
from cnstra.engine.lulls import watched
from cnstra.engine.network import Receiver
from cnstra.engine.places import Holder, Turn, item_of
from cnstra.engine.run import UNLIMITED, Run
from cnstra.engine.signals import SIGNAL
from cnstra.engine.threads import call_on
from cnstra.errors import DurationExceeded

NOBODY: tuple[Receiver, ...] = ()


def drain(run: Run) -> None:
    """Run what can run without waiting, up to the first coroutine handler or the spell's end."""
    places = run.places
    queue, ready, running = places.queue, places.ready, places.running
    slots, limited = run.slots, run.slots != UNLIMITED
    recorder = run.recorder
    spell, skip = None if recorder is None else run.spell, 1
    holds_back = run.audience is not None or run.lulls is not None
    holds_back = holds_back or (recorder is not None and recorder.is_wary)
    max_hops = 0 if holds_back else run.max_hops  # then none goes the short way
    while not run.closing:
        if spell is not None:
            if skip:
                skip -= 1
            elif spell.is_over:
                break
            else:
                skip = spell.skip
        if ready:
            if ready[0].receiver.is_async:
                break
            places.current = None
            _call(run, ready.pop(0))
            continue
        if not queue or (limited and len(running) >= slots):
            break
        item = queue.popleft()
        receiver, signal, lineage, hops = item
        arity = receiver.plain_arity
        if not arity or hops > max_hops:
            places.current = None
            if receiver.is_async:
                queue.appendleft(item)
                break
            admitted = admit(run, item)
            if admitted is not None:
                _call(run, admitted)
            continue

        # What follows is `_call` and the commit for the plain case, inlined. A signal for one
        # receiver, when nothing else waits, goes on without a turn through the queue. Between one
        # handler and the next nobody looks at `current`, so it is set once for each.
        while True:
            places.current = item
            context: Context[Any] | None = None
            try:
                if arity == 2:
                    output = receiver.handler(signal.payload, receiver.axon)
                elif arity == 1:
                    output = receiver.handler(signal.payload)
                else:
                    context = Context(run, receiver, signal, lineage, hops)
                    output = receiver.handler(signal.payload, receiver.axon, context)
            except BaseException as error:
                raised(run, item, context, error)
                break
            targets = None
            if context is None or context.rare is None:
                if output is None:
                    if recorder is not None:
                        commit(run, item, context, ())
                    break
                if type(output) is SIGNAL:
                    targets = receiver.routes.get(output.collateral_name)
            if targets is None:
                returned(run, item, context, output)
                break
            if recorder is not None:
                commit(run, item, context, ((output, targets),))
                break
            hops += 1
            if len(targets) == 1 and not queue:
                receiver, signal = targets[0], output
                item = (receiver, signal, None, hops)
                arity = receiver.plain_arity
                if arity and hops <= max_hops and not ready and not run.closing:
                    continue
                queue.append(item)
            else:
                for target in targets:
                    queue.append((target, output, None, hops))
            break
    places.current = None


async def strand(run: Run) -> None:
    """Take the head of what waits, run it, go on with the next."""
    run.spare = None
    task = asyncio.current_task()
    assert task is not None
    places = run.places
    queue, ready, running = places.queue, places.ready, places.running
    slots, max_hops = run.slots, 0 if _is_observed(run) else run.max_hops
    spell, skip = run.spell, 0
    while not run.closing and (ready or (queue and len(running) < slots)):
        if spell is not None:
            if skip:
                skip -= 1
            elif not spell.is_over:
                skip = spell.skip
            elif run.spare:
                break
            else:
                run.spare = task
                await spell.give_way()
                run.spare = None
                continue
        item = None if ready else queue.popleft()
        if item is None:
            await _take(run, ready.pop(0), task)
            continue
        receiver, signal, lineage, hops = item
        if not receiver.is_async:
            queue.appendleft(item)
            drain(run)
            continue
        if not receiver.plain_coroutine or hops > max_hops:
            context = admit(run, item)
            if context is not None:
                await _take(run, context, task)
            continue

        # What follows is `_take` and the commit for the plain case, inlined, for as long as one
        # such activation follows on another.
        turn = Turn(item)
        running[turn] = task
        while True:
            if (queue or ready) and not run.spare:
                run.go_on()
            context = None
            try:
                if receiver.arity == 2:
                    output = await receiver.handler(signal.payload, receiver.axon)
                elif receiver.arity == 1:
                    output = await receiver.handler(signal.payload)
                else:
                    context = turn.context = Context(run, receiver, signal, lineage, hops)
                    output = await receiver.handler(signal.payload, receiver.axon, context)
            except BaseException as error:
                await failed_in_task(run, turn, task, error)
                break
            targets: tuple[Receiver, ...] | None = None
            if output is None:
                targets = NOBODY
            elif type(output) is SIGNAL:
                targets = receiver.routes.get(output.collateral_name)
            if (
                targets is None
                or places.waiting
                or (turn.context is not None and turn.context.rare is not None)
            ):
                await ended_in_task(run, turn, task, output)
                break
            hops += 1
            for target in targets:
                queue.append((target, output, None, hops))  # pyright: ignore[reportArgumentType]
            if queue and not ready and not run.closing:
                item = queue[0]
                receiver, signal, lineage, hops = item
                if receiver.plain_coroutine and hops <= max_hops:
                    turn.item, turn.context = queue.popleft(), None
                    continue
            del running[turn]
            break
    run.go_on()


async def _take(run: Run, context: Context[Any], task: "asyncio.Task[None]") -> None:
    """Run an admitted activation."""
    if not context.receiver.is_async:
        _call(run, context)
        return
    run.places.running[context] = task
    if not run.spare:
        run.go_on()
    await _perform(run, context, task)


def _is_observed(run: Run) -> bool:
    return run.recorder is not None or run.audience is not None or run.lulls is not None


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
        output = await watched(run, _in_thread(context) if in_thread else _invoke(context))
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
        call_on(loop, ended.set)

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


def stop(run: Run, holder: Holder, error: BaseException) -> None:
    """Stop a handler, but nothing else of its task: a commit and a listener go on.

    What was stopped before stays stopped for the reason that it was.
    """
    task = run.places.running.get(holder)
    if task is None:
        return
    if isinstance(holder, Turn):
        context = holder.context = holder.context or Context(run, *holder.item)
    else:
        context = holder
    if context.rare is None or context.rare.stop is None:
        context.stop(error)
        if not context.receiver.in_thread:
            task.cancel()
