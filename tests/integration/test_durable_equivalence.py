"""Any graph, whatever fails and whenever it is cut off, ends as if nothing had happened."""

import asyncio
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

MANY = 60
"""More attempts than any of these graphs can need."""


@dataclass(frozen=True)
class Node:
    """A neuron: whom it emits to, in order; whether it is async; whether its checkpoints land."""

    targets: tuple[int, ...]
    is_async: bool
    checkpoint: bool


@dataclass
class Trial:
    """A graph, and what happens to it: which payloads fail, after how many writes it is cut off."""

    nodes: tuple[Node, ...]
    failing: frozenset[int]
    cuts: tuple[int, ...]
    failures: Counter[str] = field(default_factory=Counter)
    started: Counter[str] = field(default_factory=Counter)
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
            if hash_of(payload) in self.failing and self.failures[payload] < 1:
                self.failures[payload] += 1
                raise ValueError(payload)
            targets = [to for to in node.targets if at < to < len(channels)]
            outputs = [
                channels[to].create_signal(f"{payload}/{n}>{to}") for n, to in enumerate(targets)
            ]
            return outputs or result.create_signal(payload)

        async def later(payload: str, axon: Any, ctx: Context[int]) -> Any:
            await asyncio.sleep(0)
            return handler(payload, axon, ctx)

        return made.dendrite(channels[at], later if node.is_async else handler)

    async def run(self, durability: Durability, *, cut: bool) -> tuple[list[str], int]:
        """The results, and how many attempts they took."""
        inner = memory.store(f"memory://{uuid4().hex}", SYSTEM_CLOCK)
        cns = self.cns()
        for attempt in range(MANY):
            left = self.cuts[attempt] if cut and attempt < len(self.cuts) else 10**9
            options: dict[str, Any] = {"results": ["result"], "crash_limit": None}
            try:
                found = await run_durably(
                    cns,
                    {"collateralName": "c0", "payload": "0"},
                    key="run",
                    store=Cut(inner, left),
                    durability=durability,
                    **options,
                )
            except (StimulationFailed, Fenced):
                continue
            return found["results"], attempt + 1
        raise AssertionError("it never ends")


class Cut(StoreAround):
    """Its caller dies, as it were, after so many writes: from then on nothing of it lands."""

    def __init__(self, inner: Any, left: int) -> None:
        super().__init__(inner)
        self._left = left

    async def commit(self, ticket: Ticket, patch: Patch) -> None:
        self._spend(ticket)
        await super().commit(ticket, patch)

    async def finish(self, ticket: Ticket, result: bytes, keep: float | None) -> None:
        self._spend(ticket)
        await super().finish(ticket, result, keep)

    def _spend(self, ticket: Ticket) -> None:
        if self._left == 0:
            raise Fenced(run=ticket.run, epoch=ticket.epoch, found=-1)
        self._left -= 1


def hash_of(payload: str) -> int:
    """A number that is the same in each process."""
    return sum(payload.encode()) % 7


nodes = st.builds(
    Node,
    st.lists(st.integers(1, 4), max_size=3).map(tuple),
    st.booleans(),
    st.booleans(),
)
trials = st.builds(
    Trial,
    st.lists(nodes, min_size=2, max_size=5).map(tuple),
    st.frozensets(st.integers(0, 6), max_size=3),
    st.lists(st.integers(0, 6), max_size=4).map(tuple),
)
quickly = settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])


async def faultless(trial: Trial) -> tuple[list[str], Counter[str]]:
    twin = Trial(trial.nodes, frozenset(), ())
    results, _ = await twin.run("exit", cut=False)
    return results, twin.started


@pytest.mark.parametrize("durability", ["exit", "behind", "step"])
def test_failures_change_nothing_but_the_number_of_attempts(durability: Durability) -> None:
    """Each activation starts once, and once more for each of its own failures."""

    @quickly
    @given(trials)
    def check(trial: Trial) -> None:
        async def compare() -> None:
            results, started = await faultless(trial)
            assert (await trial.run(durability, cut=False))[0] == results
            assert trial.started == started + trial.failures
            assert all(len(keys) == 1 for keys in trial.keys.values())

        asyncio.run(compare())

    check()


@pytest.mark.parametrize("durability", ["exit", "behind", "step"])
def test_deaths_change_nothing_but_what_is_done_again(durability: Durability) -> None:
    @quickly
    @given(trials)
    def check(trial: Trial) -> None:
        async def compare() -> None:
            results, started = await faultless(trial)
            assert (await trial.run(durability, cut=True))[0] == results
            assert trial.started.keys() == started.keys()
            if durability == "step":
                assert all(len(keys) == 1 for keys in trial.keys.values())

        asyncio.run(compare())

    check()
