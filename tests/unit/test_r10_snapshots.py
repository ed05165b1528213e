"""R10: an activation and all its outputs become visible together; any snapshot can be resumed."""

import asyncio
import copy
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnstra import CNS, Context, Response, Signal, collateral, neuron
from tests.graphs import Door, entry, middle, names, out, passing, sink, stranger
from tests.manual_clock import settled

Ctx = Context[Any]


async def test_a_snapshot_in_the_listener_of_the_first_branch_holds_the_others() -> None:
    # T2: in the original, branches b and c were not in it
    seen: list[Any] = []

    def split(payload: int, axon: Any) -> list[Signal[int]]:
        return [axon.middle.create_signal(number) for number in range(3)]

    cns = CNS(
        [
            neuron("split", {"middle": middle}).dendrite(entry, split),
            sink("branch", middle, []),
        ]
    )

    def listen(response: Response) -> None:
        if response.output_signal is not None:
            seen.append(names(response.stimulation.frontier))

    cns.stimulate(entry.create_signal(9), on_response=listen)

    assert seen == [[("split", 9)], *[[("branch", 0), ("branch", 1), ("branch", 2)]] * 3]


@pytest.mark.parametrize("coroutine", [False, True])
async def test_the_frontier_holds_the_activation_that_runs(coroutine: bool) -> None:
    seen: list[Any] = []

    def look(payload: int, axon: Any, ctx: Ctx) -> None:
        seen.append(names(ctx.run.frontier))  # type: ignore[attr-defined]

    async def look_later(payload: int, axon: Any, ctx: Ctx) -> None:
        look(payload, axon, ctx)

    handler = look_later if coroutine else look
    await CNS([neuron("n", {}).dendrite(entry, handler)]).stimulate(
        [entry.create_signal(1), entry.create_signal(2)]
    )

    assert [sorted(each) for each in seen] == [[("n", 1), ("n", 2)], [("n", 2)]]


def test_a_sync_handler_that_aborts_its_run_stays_in_the_frontier_until_it_returns() -> None:
    seen: list[Any] = []

    def stop(payload: int, axon: Any, ctx: Ctx) -> None:
        ctx.run.abort()  # type: ignore[attr-defined]
        seen.append(names(ctx.run.frontier))  # type: ignore[attr-defined]

    CNS([neuron("n", {}).dendrite(entry, stop)]).stimulate(
        [entry.create_signal(1), entry.create_signal(2)]
    )

    assert seen == [[("n", 1), ("n", 2)]]


async def test_what_aborts_its_run_stays_in_the_frontier_when_others_are_taken_back() -> None:
    # Given an activation with a slot that has not started, and a sync handler that aborts the run
    seen: list[Any] = []
    gate = Door("gate", entry, concurrency=1)

    def stop(payload: int, axon: Any, ctx: Ctx) -> None:
        gate_of(cns, "gate").release(holder)
        ctx.run.abort()  # type: ignore[attr-defined]
        seen.append(names(ctx.run.frontier))  # type: ignore[attr-defined]

    cns = CNS([gate.neuron, neuron("n", {}).dendrite(middle, stop)])
    holder = stranger()
    gate_of(cns, "gate").enter(holder)
    run = cns.stimulate([entry.create_signal(1), middle.create_signal(2)])
    await run.wait_until_done()

    assert seen == [[("n", 2), ("gate", 1)]]
    assert names(run.failed_tasks) == [("gate", 1)]


def gate_of(cns: CNS, name: str) -> Any:
    return cns.network.receiver(name, "entry").gate


async def test_the_frontier_of_a_finished_run_is_empty() -> None:
    run = CNS([passing("n", entry, out)]).stimulate(entry.create_signal(1))

    assert run.frontier == []


# --- the context in a snapshot


async def test_a_set_is_seen_at_once_by_the_run_and_by_a_snapshot_after_the_commit() -> None:
    # Given a handler that has set its context and not returned
    door, seen = asyncio.Event(), list[Any]()

    async def work(payload: int, axon: Any, ctx: Ctx) -> None:
        if payload == 1:
            ctx.set("first")
            ctx.set("second")
            assert ctx.get() == "second"
            await door.wait()
        else:
            seen.append(ctx.get())

    run = CNS([neuron("n", {}).dendrite(entry, work)]).stimulate(
        [entry.create_signal(1), entry.create_signal(2)], context_values={"n": "before"}
    )
    await settled()

    # Then another activation of the neuron sees it, and a snapshot does not
    assert seen == ["second"]
    assert run.context.get_all() == {"n": "before"}
    door.set()
    await run
    assert run.context.get_all() == {"n": "second"}


async def test_a_delete_counts_when_its_activation_commits() -> None:
    door = asyncio.Event()

    async def forget(payload: int, axon: Any, ctx: Ctx) -> None:
        ctx.delete()
        assert ctx.get() is None
        assert ctx.get("default") == "default"
        await door.wait()

    run = CNS([neuron("n", {}).dendrite(entry, forget)]).stimulate(
        entry.create_signal(1), context_values={"n": "before"}
    )
    await settled()

    assert run.context.get_all() == {"n": "before"}
    door.set()
    await run
    assert run.context.get_all() == {}


def test_a_failed_activation_keeps_its_writes() -> None:
    def attempt(payload: int, axon: Any, ctx: Ctx) -> None:
        ctx.set((ctx.get() or 0) + 1)
        raise ValueError

    run = CNS([neuron("n", {}).dendrite(entry, attempt)]).stimulate(
        entry.create_signal(1), context_values={"n": 4}
    )

    assert len(run.failed_tasks) == 1
    assert run.context.get_all() == {"n": 5}


async def test_an_interrupted_activation_rolls_back() -> None:
    async def work(payload: int, axon: Any, ctx: Ctx) -> None:
        ctx.set("half")
        await ctx.abort_signal.wait()

    run = CNS([neuron("n", {}).dendrite(entry, work)]).stimulate(
        entry.create_signal(1), context_values={"n": "before"}
    )
    await settled()
    run.abort()
    await run.wait_until_done()

    assert len(run.failed_tasks) == 1
    assert run.context.get_all() == {"n": "before"}


async def test_the_write_of_a_committed_activation_survives_one_that_overlaps_it() -> None:
    # Given two activations of one neuron, of which the first writes, the second builds on that
    doors = {1: asyncio.Event(), 2: asyncio.Event()}

    async def add(payload: int, axon: Any, ctx: Ctx) -> None:
        ctx.set([*ctx.get([]), payload])
        await (ctx.abort_signal.wait() if payload == 1 else doors[payload].wait())

    run = CNS([neuron("n", {}).dendrite(entry, add)]).stimulate(
        [entry.create_signal(1), entry.create_signal(2)]
    )
    await settled()
    assert run.context.get_all() == {}

    # When the second commits, and the first is interrupted
    doors[2].set()
    await settled()
    run.abort()
    await run.wait_until_done()

    # Then the second's write is kept, and the first's comes at least once
    assert names(run.failed_tasks) == [("n", 1)]
    assert 2 in run.context.get_all()["n"]


async def test_a_join_may_count_in_its_context() -> None:
    # Given a fan-out of 20 that ends in a join
    def split(payload: int, axon: Any) -> list[Signal[int]]:
        return [axon.middle.create_signal(number) for number in range(20)]

    async def work(payload: int, axon: Any) -> Signal[int]:
        for _ in range(payload % 3):
            await asyncio.sleep(0)
        return axon.out.create_signal(payload)

    async def join(payload: int, axon: Any, ctx: Ctx) -> Any:
        ctx.set([*ctx.get([]), payload])
        return axon.done.create_signal(sorted(ctx.get([]))) if len(ctx.get([])) == 20 else None

    done, log = collateral("done"), list[Any]()
    cns = CNS(
        [
            neuron("split", {"middle": middle}).dendrite(entry, split),
            neuron("work", {"out": out}).dendrite(middle, work),
            neuron("join", {"done": done}).dendrite(out, join),
            sink("end", done, log),
        ]
    )

    await cns.stimulate(entry.create_signal(0), concurrency=7)

    assert log == [list(range(20))]


# --- any snapshot of any run


@dataclass(frozen=True)
class Step:
    """A neuron of a random graph: how it runs, and whom it calls."""

    kind: str
    targets: tuple[int, ...]


@dataclass
class Snapshot:
    """What a worker would have saved, and what had come out by then."""

    frontier: list[dict[str, Any]]
    context: dict[str, Any]
    delivered: list[str]


@dataclass
class World:
    """A random graph, and what its runs do."""

    steps: tuple[Step, ...]
    failing: frozenset[int] = frozenset()
    delivered: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.collaterals = [collateral(f"to{number}", str) for number in range(len(self.steps))]
        self.result = collateral("result", str)
        self.cns = CNS([*map(self.neuron, range(len(self.steps))), self.sink()])

    @property
    def entries(self) -> list[Signal[str]]:
        return [self.collaterals[0].create_signal(payload) for payload in "ab"]

    def neuron(self, number: int) -> Any:
        step = self.steps[number]
        axon = {f"to{each}": self.collaterals[each] for each in step.targets}
        options = {"concurrency": 1} if step.kind == "gated" else {}
        handler: Any = self.sync if step.kind == "sync" else self.coroutine

        def handle(payload: str, axon: Any, ctx: Ctx) -> Any:
            return handler(number, payload, ctx)

        return neuron(f"n{number}", {**axon, "result": self.result}, **options).dendrite(
            self.collaterals[number], handle if step.kind == "sync" else awaited(handle)
        )

    def sink(self) -> Any:
        return neuron("sink", {}).dendrite(self.result, self.delivered.append)

    def sync(self, number: int, payload: str, ctx: Ctx) -> Any:
        if hash_of(payload) in self.failing:
            raise ValueError(payload)
        return self.outputs(number, payload, ctx)

    async def coroutine(self, number: int, payload: str, ctx: Ctx) -> Any:
        turns = {"async": 0, "gated": 2, "suspending": hash_of(payload) % 4}
        for _ in range(turns[self.steps[number].kind]):
            await asyncio.sleep(0)
        return self.sync(number, payload, ctx)

    def outputs(self, number: int, payload: str, ctx: Ctx) -> list[Signal[str]]:
        """Pure but for the context, in which each neuron counts what it has done."""
        ctx.set(ctx.get(0) + 1)
        calls = [
            self.collaterals[target].create_signal(f"{payload}.{position}")
            for position, target in enumerate(self.steps[number].targets)
        ]
        return [*calls, self.result.create_signal(payload)]

    def snapshot(self, run: Any) -> Snapshot:
        frontier = [json.loads(json.dumps(task.to_wire())) for task in run.frontier]
        return Snapshot(frontier, copy.deepcopy(run.context.get_all()), list(self.delivered))

    def resume(self, saved: Snapshot) -> tuple[Counter[str], dict[str, Any]]:
        """What comes out in all, and the context at the end, if a fresh worker takes over."""
        fresh = World(self.steps)

        async def see_through() -> dict[str, Any]:
            run = fresh.cns.activate(saved.frontier, context_values=saved.context)
            await run
            return run.context.get_all()

        context = asyncio.run(see_through()) if saved.frontier else saved.context
        return Counter(saved.delivered + fresh.delivered), context


def awaited(handle: Any) -> Any:
    async def handle_later(payload: str, axon: Any, ctx: Ctx) -> Any:
        return await handle(payload, axon, ctx)

    return handle_later


def hash_of(payload: str) -> int:
    return sum(map(ord, payload)) % 16


@st.composite
def graphs(draw: Any) -> tuple[Step, ...]:
    size = draw(st.integers(2, 5))
    kinds = st.sampled_from(["sync", "async", "suspending", "gated"])
    return tuple(
        Step(
            draw(kinds),
            tuple(draw(st.lists(st.integers(number + 1, size - 1), max_size=3)))
            if number < size - 1
            else (),
        )
        for number in range(size)
    )


async def observe(
    world: World, abort_at: int | None, barriers: bool, concurrency: int | None
) -> list[Snapshot]:
    """Run the world; a snapshot in every listener, in every turn of the loop, and at the end."""
    snapshots: list[Snapshot] = []

    def listen(response: Response) -> Any:
        run = response.stimulation
        snapshots.append(world.snapshot(run))
        if len(snapshots) == abort_at:
            run.abort()
        return asyncio.sleep(0) if barriers else None

    run = world.cns.stimulate(world.entries, on_response=listen, concurrency=concurrency)
    while not run.done:
        snapshots.append(world.snapshot(run))
        await asyncio.sleep(0)
    assert names(run.failed_tasks) == names(run.frontier)
    return [*snapshots, world.snapshot(run)]


@settings(max_examples=60)
@given(
    graphs(),
    st.frozensets(st.integers(0, 15), max_size=3),
    st.none() | st.integers(1, 12),
    st.booleans(),
    st.sampled_from([None, 1, 2]),
)
def test_any_snapshot_of_any_run_can_be_resumed(
    steps: tuple[Step, ...],
    failing: frozenset[int],
    abort_at: int | None,
    barriers: bool,
    concurrency: int | None,
) -> None:
    # Given what the graph puts out when nothing goes wrong
    calm = World(steps)
    context = calm.cns.run(calm.entries).context.get_all()
    expected = Counter(calm.delivered), context

    # When it runs with failures, an abort, barriers and limits
    hard = World(steps, failing)
    snapshots = asyncio.run(observe(hard, abort_at, barriers, concurrency))

    # Then whichever snapshot is resumed, the same comes out, each once, and the same context
    for saved in snapshots:
        assert calm.resume(saved) == expected


async def test_a_snapshot_holds_what_waits_at_a_gate_and_behind_a_barrier() -> None:
    opened = asyncio.Event()
    gate = Door("gate", entry, concurrency=1)

    async def listen(response: Response) -> None:
        if response.output_signal == middle.create_signal(3):
            await opened.wait()

    start = collateral("start", int)
    cns = CNS([gate.neuron, passing("start", start, middle), sink("end", middle, [])])
    run = cns.stimulate(
        [entry.create_signal(1), entry.create_signal(2), start.create_signal(3)],
        on_response=listen,
    )
    await settled()

    assert sorted(names(run.frontier)) == [("end", 3), ("gate", 1), ("gate", 2)]
    opened.set()
    gate.opened.set()
    await run
