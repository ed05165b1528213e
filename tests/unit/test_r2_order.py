"""R2: one FIFO per run; activations start in the order in which they were emitted."""

import asyncio
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cnstra import CNS, Neuron, Signal, collateral, neuron
from tests.graphs import entry, middle


def test_a_list_starts_in_its_order_and_before_what_it_leads_to() -> None:
    log: list[str] = []
    left, right = collateral("left", str), collateral("right", str)

    def split(payload: int, axon: Any) -> list[Signal[str]]:
        return [
            axon.right.create_signal("1"),
            axon.left.create_signal("2"),
            axon.right.create_signal("3"),
        ]

    def note(payload: str, axon: Any) -> Any:
        log.append(payload)
        return axon.right.create_signal(f"{payload} again") if "again" not in payload else None

    cns = CNS(
        [
            neuron("split", {"left": left, "right": right}).dendrite(entry, split),
            neuron("note", {"right": right}).dendrite([left, right], note),
        ]
    )

    cns.stimulate(entry.create_signal(0))

    assert log == ["1", "2", "3", "1 again", "2 again", "3 again"]


def test_several_listeners_of_one_collateral_start_in_the_order_of_the_network() -> None:
    log: list[str] = []

    def noting(name: str) -> Neuron[Any, Any]:
        return neuron(name, {}).dendrite(entry, lambda payload: log.append(f"{name} {payload}"))

    CNS([noting("z"), noting("a"), noting("m")]).stimulate(
        [entry.create_signal(1), entry.create_signal(2)]
    )

    assert log == ["z 1", "a 1", "m 1", "z 2", "a 2", "m 2"]


async def test_a_branch_that_waits_does_not_hold_up_those_behind_it() -> None:
    log: list[int] = []
    last = asyncio.Event()

    async def note(payload: int) -> None:
        log.append(payload)
        if payload < 4:
            await last.wait()
        last.set()

    await CNS([neuron("n", {}).dendrite(entry, note)]).stimulate(
        [entry.create_signal(number) for number in range(5)]
    )

    assert log == [0, 1, 2, 3, 4]


KINDS = st.sampled_from(["sync", "async", "suspending", "twice"])
TREES = st.recursive(
    KINDS.map(lambda kind: (kind, [])),
    lambda below: st.tuples(KINDS, st.lists(below, max_size=4)),
    max_leaves=25,
)


@given(st.lists(TREES, min_size=1, max_size=3), st.sampled_from([None, 1, 2, 3]), st.booleans())
def test_any_mix_of_handlers_starts_in_the_order_of_emission(
    trees: list[Any], concurrency: int | None, listened_to: bool
) -> None:
    # Given a neuron of each kind, and a tree that says which calls which
    kinds = {name: collateral(name) for name in ("sync", "async", "suspending", "twice")}
    emitted: list[int] = []
    started: list[int] = []

    def emit(tree: Any) -> list[Signal[Any]]:
        emitted.extend(id(child) for child in tree[1])
        return [kinds[child[0]].create_signal(child) for child in tree[1]]

    def on_sync(payload: Any) -> list[Signal[Any]]:
        started.append(id(payload))
        return emit(payload)

    def waiting(turns: int) -> Any:
        async def on_async(payload: Any) -> list[Signal[Any]]:
            started.append(id(payload))
            for _ in range(turns):
                await asyncio.sleep(0)
            return emit(payload)

        return on_async

    handlers = {"sync": on_sync, "async": waiting(0), "suspending": waiting(1), "twice": waiting(2)}
    cns = CNS(neuron(name, kinds).dendrite(kinds[name], fn) for name, fn in handlers.items())

    # When it runs
    trees = [(kind, list(below)) for kind, below in trees]
    options: dict[str, Any] = {"on_response": lambda response: None} if listened_to else {}
    cns.run(emit((None, trees)), concurrency=concurrency, **options)

    # Then what was emitted first was started first
    assert started == emitted


async def test_those_who_wait_at_a_gate_are_overtaken() -> None:
    log: list[str] = []
    opened = asyncio.Event()

    async def gated(payload: int) -> None:
        log.append(f"gated {payload}")
        await opened.wait()

    async def free(payload: int) -> None:
        log.append(f"free {payload}")
        opened.set()

    cns = CNS(
        [
            neuron("gated", {}, concurrency=1).dendrite(entry, gated),
            neuron("free", {}).dendrite(middle, free),
        ]
    )

    await cns.stimulate([entry.create_signal(1), entry.create_signal(2), middle.create_signal(3)])

    assert log == ["gated 1", "free 3", "gated 2"]
