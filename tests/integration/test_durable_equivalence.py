"""Any graph, whatever fails and whenever it is cut off, ends as if nothing had happened.

`CRASH=full` tries 3,000 graphs for each durability and each kind of trouble.
"""

import asyncio
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnstra import CNS, Collateral, Context, StimulationFailed, collateral, neuron, run_durably
from cnstra.adapters import memory
from cnstra.clock import SYSTEM_CLOCK
from cnstra.durable.journal import Durability
from cnstra.durable.store import Patch, Ticket
from cnstra.errors import Fenced
from tests.durables import StoreAround
from tests.mishaps import Mishaps

FULL = os.environ.get("CRASH") == "full"
EXAMPLES = 3_000 if FULL else 100
MANY = 60
"""More attempts than any of these graphs can need."""

pytestmark = pytest.mark.timeout(3_600 if FULL else 120)


@dataclass(frozen=True)
class Node:
    """A neuron: how much further on they stand to whom it emits, in order; whether it is async;
    whether its checkpoints land.
    """

    targets: tuple[int, ...]
    is_async: bool
    checkpoint: bool


@dataclass
class Trial:
    """A graph, and what happens to it: which of its activations fail once, and after which of its
    writes its attempts are cut off. Both are counted as its undisturbed twin makes them.

    writes: those of the last attempt.
    """

    nodes: tuple[Node, ...]
    fails: frozenset[int] = frozenset()
    cuts: tuple[int, ...] = ()
    deaths: int = 0
    writes: int = 0
    failing: frozenset[str] = frozenset()
    failures: Counter[str] = field(default_factory=Counter[str])
    started: Counter[str] = field(default_factory=Counter[str])
    keys: dict[str, set[str]] = field(default_factory=dict[str, set[str]])

    def cns(self) -> CNS:
        """Neuron i listens to collateral i and emits to later ones; none is its result."""
        channels: list[Collateral[str]] = [
            collateral(f"c{at}", str) for at in range(len(self.nodes))
        ]
        result = collateral("result", str)
        return CNS([self._neuron(at, channels, result) for at in range(len(self.nodes))])

    def _neuron(self, at: int, channels: Sequence[Collateral[str]], result: Any) -> Any:
        node = self.nodes[at]
        axon: Mapping[str, Any] = {"result": result} | {one.name: one for one in channels[at + 1 :]}
        made = neuron(f"n{at}", axon, checkpoint=node.checkpoint, context=int)

        def handler(payload: str, axon: Any, ctx: Context[int]) -> Any:
            del axon
            ctx.set(ctx.get(0) + 1)
            self.started[payload] += 1
            self.keys.setdefault(payload, set()).add(ctx.idempotency_key)
            if payload in self.failing and self.failures[payload] < 1:
                self.failures[payload] += 1
                raise ValueError(payload)
            targets = [at + step for step in node.targets if at + step < len(channels)]
            outputs = [
                channels[to].create_signal(f"{payload}/{n}>{to}") for n, to in enumerate(targets)
            ]
            return outputs or result.create_signal(payload)

        async def later(payload: str, axon: Any, ctx: Context[int]) -> Any:
            await asyncio.sleep(0)
            return handler(payload, axon, ctx)

        return made.dendrite(channels[at], later if node.is_async else handler)

    async def undisturbed(self, durability: Durability) -> tuple[list[str], "Trial"]:
        """The results when nothing befalls it, and the twin that nothing befell."""
        twin = Trial(self.nodes)
        return await twin._run(durability), twin

    async def disturbed(self, durability: Durability, twin: "Trial", *, cut: bool) -> list[str]:
        """The results when activations of that twin fail; and attempts are cut off, if so told."""
        payloads = list(twin.started)
        self.failing = frozenset(payloads[place % len(payloads)] for place in self.fails)
        return await self._run(durability, twin.writes if cut else 0)

    async def _run(self, durability: Durability, writes: int = 0) -> list[str]:
        """writes: within so many it is cut off."""
        inner = memory.store(f"memory://{uuid4().hex}", SYSTEM_CLOCK)
        cns = self.cns()
        for attempt in range(MANY):
            is_cut = writes and attempt < len(self.cuts)
            store = Cut(inner, self.cuts[attempt] % writes if is_cut else math.inf)
            options: dict[str, Any] = {"results": ["result"], "crash_limit": None}
            try:
                found = await run_durably(
                    cns,
                    {"collateralName": "c0", "payload": "0"},
                    key="run",
                    store=store,
                    durability=durability,
                    **options,
                )
            except StimulationFailed:
                continue
            except Fenced:
                self.deaths += 1
                continue
            self.writes = store.writes
            return found["results"]
        raise AssertionError("it never ends")


class Cut(StoreAround):
    """Its caller dies, as it were, after so many writes: from then on nothing of it lands."""

    def __init__(self, inner: Any, most: float) -> None:
        super().__init__(inner)
        self._most = most
        self.writes = 0

    async def commit(self, ticket: Ticket, patch: Patch) -> None:
        self._spend(ticket)
        await super().commit(ticket, patch)

    async def finish(self, ticket: Ticket, result: bytes, keep: float | None) -> None:
        self._spend(ticket)
        await super().finish(ticket, result, keep)

    def _spend(self, ticket: Ticket) -> None:
        if self.writes >= self._most:
            raise Fenced(run=ticket.run, epoch=ticket.epoch, found=-1)
        self.writes += 1


def nodes(least: int) -> st.SearchStrategy[Node]:
    targets = st.lists(st.integers(1, 4), min_size=least, max_size=3).map(tuple)
    return st.builds(Node, targets, st.booleans(), st.booleans())


graphs = st.tuples(nodes(1), st.lists(nodes(0), min_size=1, max_size=4))
trials = st.builds(
    Trial,
    graphs.map(lambda graph: (graph[0], *graph[1])),
    st.frozensets(st.integers(0, 6), min_size=1, max_size=3),
    st.lists(st.integers(0, 6), min_size=1, max_size=4).map(tuple),
)
at_length = settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("durability", ["exit", "behind", "step"])
def test_failures_change_nothing_but_the_number_of_attempts(durability: Durability) -> None:
    """Each activation starts once, and once more for each of its own failures."""
    mishaps = Mishaps(f"a failure under {durability}")

    @at_length
    @given(trials)
    def check(trial: Trial) -> None:
        async def compare() -> None:
            results, twin = await trial.undisturbed("exit")
            assert await trial.disturbed(durability, twin, cut=False) == results
            assert trial.started == twin.started + trial.failures
            assert all(len(keys) == 1 for keys in trial.keys.values())
            mishaps.note(trial.failures.total())

        asyncio.run(compare())

    check()
    assert mishaps.befell_most()


@pytest.mark.parametrize("durability", ["exit", "behind", "step"])
def test_deaths_change_nothing_but_what_is_done_again(durability: Durability) -> None:
    mishaps = Mishaps(f"a death under {durability}")

    @at_length
    @given(trials)
    def check(trial: Trial) -> None:
        async def compare() -> None:
            results, twin = await trial.undisturbed(durability)
            assert await trial.disturbed(durability, twin, cut=True) == results
            assert trial.started.keys() == twin.started.keys()
            if durability == "step":
                assert all(len(keys) == 1 for keys in trial.keys.values())
            mishaps.note(trial.deaths)

        asyncio.run(compare())

    check()
    assert mishaps.befell_most()
