"""Shapes in which one thing comes after the other."""

from typing import Any

from cnstra import Context, Neuron, Signal
from tests.crash.shapes.scene import Kind, Scene, Shape, Work

Neurons = list[Neuron[Any, Any]]
ROUNDS = 6


def chain_of(scene: Scene, *kinds: Kind, **options: Any) -> Neurons:
    """entry -> step0 -> step1 ... -> result."""
    channels = [scene.entry, *(scene.channel(f"c{n}") for n in range(1, len(kinds))), scene.result]
    return [
        scene.node(f"step{n}", channels[n], channels[n + 1], kind=kind, **options)
        for n, kind in enumerate(kinds)
    ]


def checkpoint(scene: Scene) -> Neurons:
    middle, later = scene.channel("middle"), scene.channel("later")
    return [
        scene.node("first", scene.entry, middle),
        scene.node("payer", middle, later, checkpoint=True),
        scene.node("last", later, scene.result),
    ]


def loop(scene: Scene) -> Neurons:
    """A neuron that speaks to itself, and counts its rounds in its context."""
    again = scene.channel("again")

    def emit(work: Work, ctx: Context[Any]) -> list[Signal[Work]]:
        target = again if len(ctx.get([])) < ROUNDS else scene.result
        return [target.create_signal(scene.next(work, 0))]

    return [scene.neuron("round", [scene.entry, again], emit, [again, scene.result])]


def inner(scene: Scene) -> Neurons:
    """A handler with a run of its own inside, of two steps."""
    middle, inside, deeper = (scene.channel(name) for name in ("middle", "inside", "deeper"))

    async def within(work: Work, ctx: Context[Any]) -> bool:
        await ctx.cns.stimulate(inside.create_signal(scene.next(work, "in")))
        return False

    return [
        scene.node("first", scene.entry, middle),
        scene.node("outer", middle, scene.result, trouble=within),
        scene.node("inner1", inside, deeper),
        scene.node("inner2", deeper),
    ]


def two_ears(scene: Scene) -> Neurons:
    """A neuron with two dendrites, and so two kinds of visits in one context."""
    left, right = scene.channel("left"), scene.channel("right")

    def emit(work: Work, ctx: Context[Any]) -> list[Signal[Work]]:
        del ctx
        return [left.create_signal(scene.next(work, 0)), right.create_signal(scene.next(work, 1))]

    return [
        scene.neuron("fork", scene.entry, emit, [left, right]),
        scene.node("ears", [left, right], scene.result),
    ]


def early_write(scene: Scene) -> Neurons:
    """A slow handler that writes its context first, while others commit."""
    aside, begun, done = scene.channel("aside"), scene.channel("begun"), scene.channel("done")

    def fork(work: Work, ctx: Context[Any]) -> list[Signal[Work]]:
        del ctx
        return [begun.create_signal(scene.next(work, 0)), aside.create_signal(scene.next(work, 1))]

    def emit(work: Work, ctx: Context[Any]) -> list[Signal[Work]]:
        del ctx
        return [done.create_signal(scene.next(work, 0))]

    async def takes_time(work: Work, ctx: Context[Any]) -> bool:
        del work, ctx
        for _ in range(8):
            await scene.stage.work()
        return False

    more = scene.channel("more")
    return [
        scene.neuron("fork", scene.entry, fork, [begun, aside]),
        scene.neuron("slow", begun, emit, [done], trouble=takes_time, early=True),
        scene.node("last", done, scene.result),
        scene.node("quick", aside, more),
        scene.node("quicker", more, scene.result),
    ]


def long_handler(scene: Scene) -> Neurons:
    """A handler that takes longer than a lease."""
    middle = scene.channel("middle")

    async def takes_long(work: Work, ctx: Context[Any]) -> bool:
        del work, ctx
        await scene.stage.rest()
        return False

    return [
        scene.node("first", scene.entry, middle),
        scene.node("long", middle, scene.result, trouble=takes_long),
    ]


LINES = (
    Shape("chain of sync", lambda scene: chain_of(scene, *["sync"] * 5)),
    Shape("chain of async", lambda scene: chain_of(scene, *["async"] * 5)),
    Shape("chain of mixed", lambda scene: chain_of(scene, "sync", "async", "sync", "async")),
    Shape("threads", lambda scene: chain_of(scene, "thread", "sync", "thread")),
    Shape("checkpoint neuron", checkpoint, checkpoints=frozenset({"payer"})),
    Shape("loop", loop),
    Shape("inner run", inner),
    Shape("two dendrites", two_ears),
    Shape("early write", early_write),
    Shape("long handler", long_handler, rivals=1),
    Shape("barrier listener", lambda scene: chain_of(scene, *["async"] * 3), listens=True),
)
