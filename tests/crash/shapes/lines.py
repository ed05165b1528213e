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


LINES = (
    Shape("chain of sync", lambda scene: chain_of(scene, *["sync"] * 5)),
    Shape("chain of async", lambda scene: chain_of(scene, *["async"] * 5)),
    Shape("chain of mixed", lambda scene: chain_of(scene, "sync", "async", "sync", "async")),
    Shape("threads", lambda scene: chain_of(scene, "thread", "sync", "thread")),
    Shape("checkpoint neuron", checkpoint),
    Shape("loop", loop),
    Shape("inner run", inner),
    Shape("two dendrites", two_ears),
    Shape("barrier listener", lambda scene: chain_of(scene, *["async"] * 3), listens=True),
)
