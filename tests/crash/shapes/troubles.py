"""Shapes in which something goes wrong on the way, crash or no crash."""

from typing import Any

from cnstra import Context, DoNotRetry, Neuron, Signal
from tests.crash.names import ENTRY, branch
from tests.crash.shapes.fans import fan_out
from tests.crash.shapes.scene import Scene, Shape, Work

Neurons = list[Neuron[Any, Any]]
TRIES = 10
"""More than any of them needs: on a busy machine a handler may be late."""

LIMIT = 1.0


def failing_branch(scene: Scene) -> Neurons:
    """Two branches of four fail once."""
    where = (branch(branch(ENTRY, n), 0) for n in (1, 2))
    branches, leaves = scene.channel("branches"), scene.channel("leaves")
    return [
        scene.node("fan", scene.entry, branches, width=4),
        scene.node("branch", branches, leaves),
        scene.node("leaf", leaves, scene.result, trouble=scene.fails("leaf", *where)),
    ]


def timeout(scene: Scene) -> Neurons:
    middle = scene.channel("middle")
    return [
        scene.node("first", scene.entry, middle, width=2),
        scene.node("slow", middle, scene.result, trouble=scene.hangs("slow"), max_duration=LIMIT),
    ]


def abort(scene: Scene) -> Neurons:
    """A worker that is told to stop in the middle of a fan-out."""
    trouble = scene.stops("branch", branch(ENTRY, 1))
    return fan_out(scene, 3, trouble=trouble)


def interrupted_write(scene: Scene) -> Neurons:
    """A handler that writes its context first, and is stopped in the middle."""
    middle, later = scene.channel("middle"), scene.channel("later")

    def emit(work: Work, ctx: Context[Any]) -> list[Signal[Work]]:
        del ctx
        return [later.create_signal(scene.next(work, 0))]

    stops = scene.stops("writer")
    return [
        scene.node("first", scene.entry, middle),
        scene.neuron("writer", middle, emit, [later], trouble=stops, early=True),
        scene.node("last", later, scene.result),
    ]


def failing_inside(scene: Scene) -> Neurons:
    """An inner run that fails once, and its outer activation with it."""
    middle, inside = scene.channel("middle"), scene.channel("inside")

    async def within(work: Work, ctx: Context[Any]) -> bool:
        await ctx.cns.stimulate(inside.create_signal(scene.next(work, "in")))
        return False

    return [
        scene.node("first", scene.entry, middle, width=2),
        scene.node("outer", middle, scene.result, trouble=within),
        scene.node("inner", inside, trouble=scene.fails("inner")),
    ]


def dead_letter(scene: Scene) -> Neurons:
    """A branch that is beyond retrying, until somebody redrives its job."""
    fails = scene.fails("branch", branch(ENTRY, 2))

    async def trouble(work: Work, ctx: Context[Any]) -> bool:
        try:
            return await fails(work, ctx)
        except Exception as error:
            raise DoNotRetry from error

    return fan_out(scene, 3, trouble=trouble)


TROUBLES = (
    Shape("failing branch", failing_branch, attempts=TRIES),
    Shape("timeout", timeout, attempts=TRIES),
    Shape("abort", abort),
    Shape("interrupted write", interrupted_write),
    Shape("inner run that fails", failing_inside, attempts=TRIES),
    Shape("dead letter, redriven", dead_letter, attempts=TRIES, redrives=1),
)
