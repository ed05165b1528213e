"""May an activation start? Its hop limit, its gate, the checkpoint before it."""

import threading
from typing import Any

from cnstra.engine.commits import conclude
from cnstra.engine.context import Context
from cnstra.engine.gates import Gate, Waiter, outer_activations
from cnstra.engine.outcomes import Failed
from cnstra.engine.recorder import Item
from cnstra.engine.run import Run
from cnstra.engine.threads import call_on
from cnstra.errors import HopLimitExceeded, WaitCycle


def admit(run: Run, item: Item) -> Context[Any] | None:
    """Let an activation start; `None` if it failed here, or waits for a permit or a checkpoint."""
    context: Context[Any] = Context(run, *item)
    receiver, hops = context.receiver, context.hops
    if hops > run.max_hops:
        limit = run.max_hops
        error = HopLimitExceeded(neuron=receiver.neuron_name, hops=hops, limit=limit)
        conclude(run, item, context, Failed(error))
        return None
    gate = receiver.gate
    if gate is not None and not _holds(run, gate) and not gate.enter(context):
        _stand_in_line(run, item, context, gate)
        return None
    return context if _take_slot(run, item, context) else None


def _holds(run: Run, gate: Gate) -> bool:
    """Whether an activation around this run holds a permit already."""
    return any(id(context) in gate.holders for context in outer_activations(run))


def _take_slot(run: Run, item: Item, context: Context[Any]) -> bool:
    """The activation takes its slot; whether it may start before a checkpoint has landed."""
    run.places.running[context] = None
    barrier = None if run.recorder is None else run.recorder.started(item)
    if barrier is None:
        return True
    run.places.hold_back(context)

    def start() -> None:
        if context in run.places.starting:
            del run.places.starting[context]
            run.places.ready.append(context)
            run.go_on()

    barrier(start)
    return False


def _stand_in_line(run: Run, item: Item, context: Context[Any], gate: Gate) -> None:
    waiter = Waiter(gate, run, item, _offered)
    cycle = gate.wait(waiter)
    if cycle is not None:
        error = WaitCycle(neuron=gate.neuron_name, cycle=" -> ".join(cycle))
        conclude(run, item, context, Failed(error))
        return
    run.places.line_up(waiter)
    gate.offer()  # those ahead may have no slot for a permit that is free


def _offered(waiter: Waiter) -> None:
    """A permit is free. On our own thread take it; on another, call our thread to look."""
    run: Run = waiter.run
    if run.closing or run.done:
        return
    if run.loop is None:
        if run.looking and run.thread == threading.get_ident():
            _claim(waiter)
        elif run.wake is not None:
            waiter.gate.promise(waiter)
            run.wake.set()
    elif run.thread == threading.get_ident() and not run.loop.is_closed():
        if _claim(waiter):
            run.go_on()
    elif call_on(run.loop, _look, waiter):
        waiter.gate.promise(waiter)


def _look(waiter: Waiter) -> None:
    """We were promised a permit: take it, or pass it on."""
    run: Run = waiter.run
    if waiter in run.places.waiting.get(waiter.gate, ()):
        if _claim(waiter):
            run.go_on()
        else:
            waiter.gate.decline(waiter)


def _claim(waiter: Waiter) -> bool:
    """Take a permit for an activation in line, if this run has a slot for it."""
    run: Run = waiter.run
    if run.closing or run.done or len(run.places.running) >= run.slots:
        return False
    context: Context[Any] = Context(run, *waiter.item)
    if not waiter.gate.take(waiter, context):
        return False
    run.places.step_out(waiter)
    if _take_slot(run, waiter.item, context):
        run.places.ready.append(context)
    return True


def wait_for_permits(run: Run) -> None:
    """Block this thread until something in line has its permit. For a run without a loop."""
    waiters = run.places.waiters
    wake, lock = threading.Event(), waiters[0].gate.lock
    with lock:
        run.looking = True
        for gate in list(run.places.waiting):
            gate.offer()
        run.looking = False
        if run.places.ready:
            return
        run.wake = wake
    try:
        if not run.closing:
            wake.wait()
    finally:
        with lock:  # else a promise might come just after the last look
            run.wake = None
            for waiter in waiters:
                if waiter.promised and not _claim(waiter):
                    waiter.gate.decline(waiter)
