"""Any graph, under any schedule of faults: every invariant holds.

`CRASH=full` tries many more. What hypothesis prints of a failure replays it.
"""

import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cnstra import Context, Neuron, Signal
from tests.crash.exhaustive import DURABILITIES, expected_of, judge
from tests.crash.grounds import FIELDS
from tests.crash.invariants import trace_complaints
from tests.crash.lives import MOMENTS, Fault
from tests.crash.shapes import Scene, Shape, Work
from tests.crash.shapes.scene import Kind
from tests.crash.trials import ENQUEUER, Trial
from tests.mishaps import Mishaps

FULL = os.environ.get("CRASH") == "full"
EXAMPLES = 3_000 if FULL else 60
PATIENCE = 7200 if FULL else 300
"""Seconds, of which some 20 a hundred examples are used; shrinking a failure takes the rest."""

ATTEMPTS = 100
"""More than all failures of any of these graphs."""

FEW = st.integers(1, 3)


@dataclass(frozen=True)
class Node:
    """A neuron: it emits `width` signals to each of the neurons that stand so much further on.

    fails: so many times, each activation. sleeps: seconds.
    """

    targets: tuple[int, ...] = ()
    width: int = 1
    kind: Kind = "async"
    fails: int = 0
    sleeps: float = 0.0
    checkpoint: bool = False
    gate: int | None = None


@dataclass(frozen=True)
class Graph:
    """Neurons in a row: the first hears the entry, the last speaks the result."""

    nodes: tuple[Node, ...]

    def shape(self) -> Shape:
        checkpoints = frozenset(f"n{at}" for at, node in enumerate(self.nodes) if node.checkpoint)
        return Shape(str(self.nodes), self._build, attempts=ATTEMPTS, checkpoints=checkpoints)

    def _build(self, scene: Scene) -> list[Neuron[Any, Any]]:
        channels = [scene.entry, *(scene.channel(f"c{at}") for at in range(1, len(self.nodes)))]
        return [self._neuron(scene, at, channels) for at in range(len(self.nodes))]

    def _neuron(self, scene: Scene, at: int, channels: list[Any]) -> Neuron[Any, Any]:
        node, name = self.nodes[at], f"n{at}"
        further = [channels[at + step] for step in node.targets if at + step < len(channels)]
        targets = further or [scene.result]
        fails = scene.fails(name, times=node.fails)

        def emit(work: Work, ctx: Context[Any]) -> list[Signal[Work]]:
            del ctx
            places = [one for one in targets for _ in range(node.width)]
            return [one.create_signal(scene.next(work, n)) for n, one in enumerate(places)]

        async def trouble(work: Work, ctx: Context[Any]) -> bool:
            if node.sleeps:
                await scene.stage.clock.sleep(node.sleeps)
            return bool(node.fails) and await fails(work, ctx)

        return scene.neuron(
            name, channels[at], emit, list(dict.fromkeys(targets)), kind=node.kind, trouble=trouble,
            checkpoint=node.checkpoint, concurrency=node.gate,
        )  # fmt: skip


nodes = st.builds(
    Node,
    targets=st.lists(FEW, max_size=2).map(tuple),
    width=st.integers(1, 2),
    kind=st.sampled_from(["sync", "async"]),
    fails=st.sampled_from([0, 0, 1, 2]),
    sleeps=st.sampled_from([0.0, 0.0, 0.1, 5.0]),
    checkpoint=st.booleans(),
    gate=st.sampled_from([None, None, 1, 2]),
)
graphs = st.lists(nodes, min_size=1, max_size=4).map(lambda found: Graph(tuple(found)))


@st.composite
def trials(draw: st.DrawFn, store: str) -> Trial:
    """One whose faults are drawn from the calls that its graph makes on the store without any."""
    shape, durability = draw(graphs).shape(), draw(st.sampled_from(DURABILITIES))
    with FIELDS[store]() as place:
        calls = place.play(Trial(shape, durability)).calls
    first = draw(st.lists(faults(calls[0]), min_size=1, max_size=3))
    others = draw(st.lists(st.lists(faults(calls[0]), max_size=3).map(tuple), max_size=3))
    enqueuing = draw(st.lists(faults(calls[ENQUEUER]), max_size=3))
    return Trial(shape, durability, (tuple(first), *others), tuple(enqueuing))


@st.composite
def faults(draw: st.DrawFn, calls: Mapping[str, int]) -> Fault:
    """Of one who makes these calls, each so many times."""
    call = draw(st.sampled_from(sorted(calls)))
    return Fault(call, draw(st.integers(1, calls[call])), draw(st.sampled_from(MOMENTS[call])))


@pytest.fixture(autouse=True)
def _silence() -> Iterator[None]:
    logger = logging.getLogger("cnstra")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(before)


STALLED_ENQUEUER = Trial(Graph((Node(),)).shape(), "exit", (), (Fault("commit", 1, "stalls"),))
"""Whoever adds the job stands still before they store it, and another adds it meanwhile."""


@pytest.mark.timeout(PATIENCE)
@pytest.mark.parametrize("store", ["memory", "messages", "copies"])
def test_any_graph_under_any_faults(store: str) -> None:
    mishaps = Mishaps(f"a fault on {store}")

    @settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow])
    @given(trials(store))
    @example(STALLED_ENQUEUER)
    def check(trial: Trial) -> None:
        undisturbed, expected = Trial(trial.shape, trial.durability), expected_of(trial.shape)
        with FIELDS[store]() as place:
            quiet, story, again = (place.play(one) for one in (undisturbed, trial, trial))
        assert list(judge(undisturbed, quiet, expected)) == []
        assert list(judge(trial, story, expected)) == []
        assert list(trace_complaints(story.lines, again.lines)) == []
        mishaps.note(len(story.came))

    check()
    assert mishaps.befell_most()
