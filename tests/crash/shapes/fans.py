"""Shapes in which a run spreads and meets."""

from typing import Any

from cnstra import Context, Neuron, Signal
from tests.crash.names import ENTRY, joined
from tests.crash.shapes.scene import Kind, Scene, Shape, Work

Neurons = list[Neuron[Any, Any]]
WIDE = 8
MEETING = 4


def fan_out(scene: Scene, width: int, kind: Kind = "async", **options: Any) -> Neurons:
    """entry -> fan -> `width` times branch -> leaf -> result."""
    branches, leaves = scene.channel("branches"), scene.channel("leaves")
    return [
        scene.node("fan", scene.entry, branches, width=width, kind=kind),
        scene.node("branch", branches, leaves, kind=kind, **options),
        scene.node("leaf", leaves, scene.result, kind=kind),
    ]


def nested(scene: Scene) -> Neurons:
    boughs, twigs = scene.channel("boughs"), scene.channel("twigs")
    return [
        scene.node("trunk", scene.entry, boughs, width=3),
        scene.node("bough", boughs, twigs, width=3),
        scene.node("twig", twigs, scene.result),
    ]


def join(scene: Scene) -> Neurons:
    """Branches that meet: whichever comes last, by the context, goes on."""
    branches, arrivals, meeting = (scene.channel(one) for one in ("branches", "arrivals", "all"))

    def emit(work: Work, ctx: Context[Any]) -> list[Signal[Work]]:
        if len(ctx.get([])) < MEETING:
            return []
        whole: Work = {"job": work["job"], "at": joined(ENTRY), "by": work["at"]}
        return [meeting.create_signal(whole)]

    return [
        scene.node("fan", scene.entry, branches, width=MEETING),
        scene.node("branch", branches, arrivals),
        scene.neuron("join", arrivals, emit, [meeting]),
        scene.node("after", meeting, scene.result),
    ]


def several_entries(scene: Scene) -> Neurons:
    """Three neurons that hear the entry, and one that hears them all."""
    middle = scene.channel("middle")
    ears = [scene.node(f"ear{n}", scene.entry, middle) for n in range(3)]
    return [*ears, scene.node("mouth", middle, scene.result)]


def own_keys(scene: Scene) -> Neurons:
    """Branches that are named by their key, not by their position."""
    branches = scene.channel("branches")

    def emit(work: Work, ctx: Context[Any]) -> list[Signal[Work]]:
        del ctx
        return [
            branches.create_signal(scene.next(work, n), key=f"branch-{n}") for n in range(MEETING)
        ]

    return [
        scene.neuron("fan", scene.entry, emit, [branches]),
        scene.node("branch", branches, scene.result),
    ]


FANS = (
    Shape("wide fan-out", lambda scene: fan_out(scene, WIDE)),
    Shape("fan-out of sync", lambda scene: fan_out(scene, 5, "sync")),
    Shape("nested fan-out", nested),
    Shape("join by context", join),
    Shape("several entries", several_entries),
    Shape("gate", lambda scene: fan_out(scene, 5, concurrency=1)),
    Shape("own keys", own_keys),
)
