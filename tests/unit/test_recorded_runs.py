"""What a run tells its recorder, and how checkpoints hold it back."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from cnstra import CNS, AbortController, Context, Signal, neuron
from cnstra.engine.context_store import Frozen
from cnstra.engine.recorder import Barrier, ContextChange, Emission, Item
from cnstra.errors import NotSerializable
from tests.graphs import Door, entry, middle, names, out, passing, sink
from tests.manual_clock import settled

Ctx = Context[Any]


class Journal:
    """A recorder that writes down what it is told, and lands checkpoints when it is asked to.

    immediate: a checkpoint has landed before the run waits for it.
    """

    def __init__(self, root: str = "root", *, step: bool = False, immediate: bool = False) -> None:
        self.root = root
        self.log: list[tuple[Any, ...]] = []
        self.step = step
        self.immediate = immediate
        self.waiting: list[Callable[[], None]] = []
        self.checkpoints: set[str] = set()
        self.refused: set[str] = set()
        self.broken: dict[str, BaseException] = {}

    is_wary = True

    def key_of(self, lineage: Any) -> str:
        return f"key of {lineage}"

    def inner(self, lineage: Any, index: int) -> "Journal":
        self.log.append(("inner", lineage, index))
        return Journal(f"{lineage}/{index}")

    def entries(self, emissions: Sequence[Emission]) -> list[Item]:
        return self.items(self.root, emissions, 1)

    def started(self, item: Item) -> Barrier | None:
        self.fails("started")
        self.log.append(("started", item[2]))
        return self.barrier if item[0].neuron_name in self.checkpoints else None

    def committed(
        self, item: Item, emissions: Sequence[Emission], change: ContextChange | None
    ) -> tuple[list[Item], Barrier | None]:
        self.fails("committed")
        if item[0].neuron_name in self.refused:
            raise NotSerializable(collateral="out", reason="a test")
        self.log.append(("committed", item[2], change and (change.neuron_name, change.value)))
        items = self.items(item[2], emissions, item[3] + 1)
        return items, self.barrier if self.step else None

    def failed(
        self, item: Item, error: BaseException, *, aborted: bool, change: ContextChange | None
    ) -> None:
        self.fails("failed")
        self.log.append(("failed", item[2], type(error).__name__, aborted, change is not None))

    def fails(self, call: str) -> None:
        if call in self.broken:
            raise self.broken[call]

    def items(self, parent: str, emissions: Sequence[Emission], hops: int) -> list[Item]:
        pairs = [(target, signal) for signal, targets in emissions for target in targets]
        return [
            (target, signal, f"{parent}.{position}", hops)
            for position, (target, signal) in enumerate(pairs)
        ]

    def barrier(self, proceed: Callable[[], None]) -> None:
        if self.immediate:
            proceed()
        else:
            self.waiting.append(proceed)

    async def land(self) -> None:
        """All checkpoints that are on their way land."""
        waiting, self.waiting = self.waiting, []
        for proceed in waiting:
            proceed()
        await settled()


def start(cns: CNS, journal: Journal, *signals: Signal[Any], **options: Any) -> Any:
    abort_signal = options.pop("abort_signal", None)
    run = cns.recorded_run(journal, stimulation_id="mine", **options)
    items = journal.entries(cns.emissions_of(cns.signals_of(list(signals))))
    run.begin(items, signals, abort_signal)
    return run


async def test_a_recorder_hears_of_each_start_and_commit_and_gives_the_lineage() -> None:
    journal, seen = Journal(), list[Any]()

    def look(payload: int, axon: Any, ctx: Ctx) -> None:
        seen.append((ctx.idempotency_key, ctx.attempt, ctx.stimulation_id))

    cns = CNS([passing("first", entry, middle), neuron("second", {}).dendrite(middle, look)])

    run = start(cns, journal, entry.create_signal(1), attempt=3)

    assert run.done
    assert journal.log == [
        ("started", "root.0"),
        ("committed", "root.0", None),
        ("started", "root.0.0"),
        ("committed", "root.0.0", None),
    ]
    assert seen == [("key of root.0.0", 3, "mine")]


async def test_a_commit_carries_what_it_did_to_the_context() -> None:
    def write(payload: int, axon: Any, ctx: Ctx) -> None:
        ctx.set(payload)
        if payload == 2:
            raise ValueError

    cns = CNS([neuron("n", {}).dendrite(entry, write)])
    journal = Journal()

    run = start(cns, journal, entry.create_signal(1), entry.create_signal(2))

    (_, _, (name, value)) = journal.log[1]
    assert (name, value.data) == ("n", b"1")
    assert journal.log[3] == ("failed", "root.1", "ValueError", False, True)
    assert run.context.get_all() == {"n": 2}
    assert isinstance(run.context.read("n", "x"), int)
    assert isinstance(run.context._values["n"], Frozen)


async def test_what_a_recorder_refuses_is_a_failed_task_and_has_no_successors() -> None:
    log: list[Any] = []
    journal = Journal()
    journal.refused = {"first"}
    cns = CNS([passing("first", entry, middle), sink("second", middle, log)])

    run = start(cns, journal, entry.create_signal(1))

    (failed,) = run.failed_tasks
    assert isinstance(failed.error, NotSerializable)
    assert not failed.aborted
    assert log == []
    assert journal.log[-1] == ("failed", "root.0", "NotSerializable", False, False)


@pytest.mark.parametrize("coroutine", [False, True])
async def test_successors_wait_for_the_checkpoint_and_are_owed_meanwhile(coroutine: bool) -> None:
    async def pass_later(payload: int, axon: Any) -> Any:
        return axon.middle.create_signal(payload)

    log: list[Any] = []
    journal = Journal(step=True)
    first = (
        neuron("first", {"middle": middle}).dendrite(entry, pass_later)
        if coroutine
        else passing("first", entry, middle)
    )
    run = start(CNS([first, sink("second", middle, log)]), journal, entry.create_signal(1))
    await settled()

    assert log == []
    assert names(run.frontier) == [("second", 1)]
    await journal.land()
    assert log == [1]

    assert not run.done
    await journal.land()
    assert run.done


async def test_a_checkpoint_and_a_listener_must_both_let_the_successors_go() -> None:
    opened, log = asyncio.Event(), list[Any]()

    async def listen(response: Any) -> None:
        if response.output_signal == middle.create_signal(1):
            await opened.wait()

    journal = Journal(step=True)
    cns = CNS([passing("first", entry, middle), sink("second", middle, log)])
    run = start(cns, journal, entry.create_signal(1), on_response=listen)
    await settled()
    await journal.land()
    assert log == []

    opened.set()
    await settled()
    assert log == [1]
    await journal.land()
    await run


async def test_a_handler_with_a_checkpoint_before_it_starts_when_that_has_landed() -> None:
    log: list[Any] = []
    journal = Journal()
    journal.checkpoints = {"dear"}
    cns = CNS([sink("dear", entry, log), sink("cheap", entry, log)])

    run = start(cns, journal, entry.create_signal(1))
    await settled()

    assert log == [1]
    assert names(run.frontier) == [("dear", 1)]
    await journal.land()
    assert log == [1, 1]
    assert run.done


@pytest.mark.parametrize("step", [False, True])
async def test_checkpoints_that_have_landed_already_hold_up_nothing_and_stay_flat(
    step: bool,
) -> None:
    def count_down(left: int, axon: Any) -> Signal[int] | None:
        return axon.again.create_signal(left - 1) if left else None

    journal = Journal(step=step, immediate=True)
    journal.checkpoints = {"n"}
    cns = CNS([neuron("n", {"again": entry}).dendrite(entry, count_down)])

    run = start(cns, journal, entry.create_signal(2_000))
    await run

    assert len(journal.log) == 2 * 2_001


async def test_one_that_waits_for_its_checkpoint_has_its_slot_and_its_permit() -> None:
    # Given a gated neuron with a checkpoint, in a run with one slot
    log: list[Any] = []
    journal = Journal()
    journal.checkpoints = {"dear"}
    door = Door("door", middle)
    cns = CNS([sink("dear", entry, log, concurrency=1), door.neuron])

    run = start(cns, journal, entry.create_signal(1), entry.create_signal(2))
    await settled()
    assert len(journal.waiting) == 1
    await journal.land()
    assert log == [1]
    await journal.land()
    assert log == [1, 2]
    assert run.done


async def test_an_abort_takes_back_what_waits_for_its_checkpoint() -> None:
    log: list[Any] = []
    journal, controller = Journal(step=True), AbortController()
    journal.checkpoints = {"dear"}
    cns = CNS([sink("dear", entry, log, concurrency=1), passing("pass", middle, out)])
    run = start(
        cns,
        journal,
        entry.create_signal(1),
        entry.create_signal(2),
        middle.create_signal(3),
        abort_signal=controller.signal,
    )
    await settled()

    controller.abort("shutdown")
    await settled()
    assert run.done
    assert names(run.failed_tasks) == [("dear", 1), ("dear", 2)]

    # And what lands later starts nothing
    await journal.land()
    assert log == []
    assert names(run.failed_tasks) == [("dear", 1), ("dear", 2)]


async def test_an_interrupted_activation_is_told_as_aborted_and_without_its_writes() -> None:
    async def work(payload: int, axon: Any, ctx: Ctx) -> None:
        ctx.set("half")
        await ctx.abort_signal.wait()

    journal, controller = Journal(), AbortController()
    cns = CNS([neuron("n", {}).dendrite(entry, work)])
    run = start(cns, journal, entry.create_signal(1), abort_signal=controller.signal)
    await settled()
    controller.abort()
    await run.wait_until_done()

    assert journal.log[-1] == ("failed", "root.0", "Aborted", True, False)
    assert run.context.get_all() == {}


def doing(coroutine: bool, fails: bool = False) -> Any:
    def do(payload: int) -> None:
        if fails:
            raise ValueError("by itself")

    async def do_later(payload: int) -> None:
        do(payload)

    return do_later if coroutine else do


@pytest.mark.parametrize("coroutine", [False, True])
async def test_whatever_a_commit_raises_fails_its_activation(coroutine: bool) -> None:
    journal = Journal()
    journal.broken["committed"] = RuntimeError("a code of the payload's own")
    run = start(
        CNS([neuron("n", {}).dendrite(entry, doing(coroutine))]), journal, entry.create_signal(1)
    )
    await asyncio.wait_for(run.wait_until_done(), 5)

    (failed,) = run.failed_tasks
    assert failed.error is journal.broken["committed"]
    assert journal.log[-1] == ("failed", "root.0", "RuntimeError", False, False)


@pytest.mark.parametrize("coroutine", [False, True])
async def test_a_failure_that_cannot_be_recorded_is_owed_all_the_same(
    coroutine: bool, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal()
    journal.broken["failed"] = RuntimeError("no room")
    run = start(
        CNS([neuron("n", {}).dendrite(entry, doing(coroutine, fails=True))]),
        journal,
        entry.create_signal(1),
    )
    await asyncio.wait_for(run.wait_until_done(), 5)

    (failed,) = run.failed_tasks
    assert str(failed.error) == "by itself"
    assert "Why an activation of 'n' ended is not recorded" in caplog.text


def test_what_ends_the_process_in_a_commit_leaves_the_activation_owed() -> None:
    journal = Journal()
    journal.broken["committed"] = KeyboardInterrupt()
    cns = CNS([neuron("n", {}).dendrite(entry, doing(coroutine=False))])
    run = cns.recorded_run(journal, stimulation_id="mine")
    items = journal.entries(cns.emissions_of([entry.create_signal(1)]))
    with pytest.raises(KeyboardInterrupt):
        run.begin(items, [], None)

    assert run.done
    assert names(run.frontier) == [("n", 1)]


async def test_a_run_whose_own_task_raises_holds_up_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nothing of a handler's does that; should we, whoever waits hears of it."""
    journal = Journal()
    journal.broken["started"] = RuntimeError("a fault of ours")
    run = start(
        CNS([neuron("n", {}).dendrite(entry, doing(coroutine=True))]),
        journal,
        entry.create_signal(1),
    )
    for _ in range(2):
        with pytest.raises(RuntimeError, match="a fault of ours"):
            await asyncio.wait_for(run.wait_until_done(), 5)
    assert run.aborted
    assert "A task of run mine raised" in caplog.text


async def test_inner_runs_have_recorders_of_their_own_by_their_number() -> None:
    keys: list[str] = []

    async def outer(payload: int, axon: Any, ctx: Ctx) -> None:
        await ctx.cns.stimulate(middle.create_signal(1))
        await ctx.cns.stimulate(middle.create_signal(2))

    def inner(payload: int, axon: Any, ctx: Ctx) -> None:
        keys.append(ctx.idempotency_key)

    journal = Journal()
    cns = CNS([neuron("o", {}).dendrite(entry, outer), neuron("i", {}).dendrite(middle, inner)])
    await start(cns, journal, entry.create_signal(1))

    assert ("inner", "root.0", 0) in journal.log
    assert ("inner", "root.0", 1) in journal.log
    assert keys == ["key of root.0/0.0", "key of root.0/1.0"]


async def test_a_checkpoint_that_never_lands_holds_up_no_listener_and_no_abort() -> None:
    heard: list[Any] = []

    async def listen(response: Any) -> None:
        heard.append(response)

    journal, controller = Journal(step=True), AbortController()
    cns = CNS([passing("first", entry, middle), sink("second", middle, [])])
    run = start(
        cns,
        journal,
        entry.create_signal(1),
        on_response=listen,
        abort_signal=controller.signal,
    )
    await settled()
    assert len(heard) == 2

    controller.abort("the lease is lost")
    await asyncio.wait_for(run.wait_until_done(), 5)
    assert names(run.failed_tasks) == [("second", 1)]
