"""The behaviours of every progress store."""

import asyncio
import re
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, TypeVar
from uuid import uuid4

import pytest

from cnstra.clock import SYSTEM_CLOCK
from cnstra.durable.adapters import adapter_for
from cnstra.durable.store import Patch, ProgressStore, Saved, Ticket
from cnstra.errors import Fenced, StoreUnavailable
from cnstra.testing.conformance.behaviour import behaviour
from cnstra.testing.conformance.processes import GLANCE, start
from cnstra.testing.conformance.rig import Fault, cause, possible

NAMES = ("ключ", "a\0b", "\0", "\0\0x", "\ud800", "\0\ud800", "\\u", "a b/c:d{e}*>.")
KILLS = 4
LARGE = 300_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StoreRig:
    """How to reach a store, and the faults that can be made there; else the reason, as text.

    url: of the store. Each test uses runs of its own in it.
    shared: other processes reach the same runs; else the reason why they do not.
    restart, cut: as in `Rig`.
    patience: seconds after which a test gives up.
    """

    url: str
    shared: bool | str = True
    restart: Fault | str = "the rig does not say how to restart the server"
    cut: Fault | str = "the rig does not say how to cut connections"
    patience: float = 50.0


class StoreStage:
    """A store, opened, and a run of it that no other test uses."""

    refusal = remark = ""

    def __init__(self, rig: StoreRig, folder: Path) -> None:
        self.rig = rig
        self.run = f"conformance-{uuid4().hex[:12]}"
        self._stack = AsyncExitStack()
        self._runs: list[str] = []

    async def __aenter__(self) -> "StoreStage":
        self.store = await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        for run in [self.run, *self._runs]:
            await self.store.forget(run)
        await self._stack.aclose()

    def new_run(self, name: str) -> str:
        """The name of another run; it is forgotten at the end."""
        self._runs.append(f"{self.run} {name}")
        return self._runs[-1]

    async def open(self) -> ProgressStore:
        """Another hold on the same store."""
        store: ProgressStore = adapter_for(self.rig.url).store(self.rig.url, SYSTEM_CLOCK)
        self._stack.push_async_callback(store.close)
        await store.open()
        return store


class StoreConformance:
    """Every behaviour of a progress store, as tests. Subclass it and say how to reach yours.

    subject: the store's name in the table; where it is not given, that of the class.

    >>> class TestMyStore(StoreConformance):
    ...     @pytest.fixture
    ...     def rig(self, my_server) -> StoreRig:
    ...         return StoreRig(url=f"mine://{my_server.address}", restart=my_server.restart)
    """

    conformance: ClassVar[str] = "store"
    subject: ClassVar[str] = ""
    stage_type = StoreStage

    @pytest.fixture
    def rig(self) -> StoreRig:
        """How to reach the store."""
        raise NotImplementedError("define the fixture `rig` in your subclass")

    # --- loading

    @behaviour
    async def test_an_unknown_run_begins_with_its_first_epoch(self, stage: StoreStage) -> None:
        """Each load takes the next epoch; a run that was not released is held."""
        assert await stage.store.peek(stage.run) is None
        assert await stage.store.load(stage.run) == Saved(epoch=1)
        assert await stage.store.load(stage.run) == Saved(epoch=2, held=True)

    @behaviour
    async def test_a_peek_takes_no_epoch(self, stage: StoreStage) -> None:
        """Who only looks fences nobody."""
        store, run = stage.store, stage.run
        await store.load(run)
        assert await store.peek(run) == await store.peek(run) == Saved(epoch=1, held=True)
        await store.commit(Ticket(run, 1, 1), Patch({"a": b"1"}))

    @behaviour
    async def test_what_was_loaded_does_not_change_later(self, stage: StoreStage) -> None:
        """What `load` returned is a value, not a view."""
        store, run = stage.store, stage.run
        await store.load(run)
        await store.commit(Ticket(run, 1, 1), Patch({"a": b"1"}))
        saved = await store.load(run)
        await store.commit(Ticket(run, 2, 2), Patch({"a": b"2"}))
        assert saved.entries == {"a": b"1"}

    # --- deltas

    @behaviour
    async def test_a_patch_writes_some_entries_and_deletes_others(self, stage: StoreStage) -> None:
        """A write changes what it names, and nothing else; what is put and deleted is put."""
        store, run = stage.store, stage.run
        await store.load(run)
        await store.commit(Ticket(run, 1, 1), Patch({"a": b"1", "b": b"2", "kept": b"\x00\xff"}))
        await store.commit(Ticket(run, 1, 2), Patch({"b": b"3", "c": b""}, {"a", "c", "never"}))
        saved = await store.load(run)
        entries = {"b": b"3", "c": b"", "kept": b"\x00\xff"}
        assert saved == Saved(epoch=2, seq=2, entries=entries, held=True)

    @behaviour
    async def test_a_large_entry_is_whole(self, stage: StoreStage) -> None:
        """An entry of any size that is accepted is there, whole."""
        store, run = stage.store, stage.run
        await store.load(run)
        await store.commit(Ticket(run, 1, 1), Patch({"c/large": b"x" * LARGE, "small": b"1"}))
        assert (await store.load(run)).entries == {"c/large": b"x" * LARGE, "small": b"1"}

    @behaviour
    async def test_many_entries(self, stage: StoreStage) -> None:
        """A wide run: a thousand entries, written at once and deleted one by one."""
        store, run = stage.store, stage.run
        await store.load(run)
        await store.commit(Ticket(run, 1, 1), Patch({f"t/{one}": b"1" for one in range(1000)}))
        for one in range(20):
            await store.commit(Ticket(run, 1, 2 + one), Patch({}, {f"t/{one}"}))
        assert set((await store.load(run)).entries) == {f"t/{one}" for one in range(20, 1000)}

    @behaviour
    async def test_any_text_names_a_run(self, stage: StoreStage) -> None:
        """Run ids may hold any text, keys whatever JSON can carry; no two of them are one."""
        store, names = stage.store, {name: stage.new_run(name) for name in NAMES}
        for name, run in names.items():
            await store.load(run)
            await store.commit(Ticket(run, 1, 1), Patch({"c/ключ\0": repr(name).encode()}))
        for name, run in names.items():
            saved = await store.peek(run)
            assert saved is not None
            assert saved.entries == {"c/ключ\0": repr(name).encode()}

    @behaviour
    async def test_runs_do_not_touch_each_other(self, stage: StoreStage) -> None:
        """To finish or forget a run leaves those of similar names alone."""
        store, runs = stage.store, [stage.new_run(name) for name in ("r", "r2", "s")]
        for run in runs:
            await store.load(run)
            await store.commit(Ticket(run, 1, 1), Patch({"a": run.encode()}))
        await store.finish(Ticket(runs[0], 1, 2), b"{}", keep=None)
        await store.forget(runs[2])
        assert (await store.load(runs[1])).entries == {"a": runs[1].encode()}

    # --- fencing

    @behaviour
    async def test_a_zombie_is_refused_and_leaves_nothing(self, stage: StoreStage) -> None:
        """A write under an epoch that another load has ended changes nothing."""
        store, run = stage.store, stage.run
        await store.load(run)
        await store.commit(Ticket(run, 1, 1), Patch({"a": b"1"}))
        await store.load(run)
        with pytest.raises(Fenced) as refusal:
            await store.commit(Ticket(run, 1, 2), Patch({"a": b"zombie"}, {"b"}))
        with pytest.raises(Fenced):
            await store.finish(Ticket(run, 1, 2), b"zombie", keep=None)
        assert (refusal.value.context["found"], refusal.value.context["epoch"]) == (2, 1)
        assert await store.peek(run) == Saved(epoch=2, seq=1, entries={"a": b"1"}, held=True)

    @behaviour
    async def test_who_did_not_load_cannot_write(self, stage: StoreStage) -> None:
        """A run that nobody loaded, and an epoch from the future."""
        store, run = stage.store, stage.run
        with pytest.raises(Fenced):
            await store.commit(Ticket(run, 1, 1), Patch({"a": b"1"}))
        with pytest.raises(Fenced):
            await store.finish(Ticket(run, 1, 1), b"{}", keep=None)
        assert await store.peek(run) is None
        await store.load(run)
        with pytest.raises(Fenced):
            await store.commit(Ticket(run, 2, 1), Patch({"a": b"1"}))

    @behaviour
    async def test_two_stores_of_one_place_see_the_same_runs(self, stage: StoreStage) -> None:
        """Fencing holds between clients."""
        one, other, run = stage.store, await stage.open(), stage.run
        await one.load(run)
        await one.commit(Ticket(run, 1, 1), Patch({"a": b"1"}))
        assert (await other.load(run)).entries == {"a": b"1"}
        with pytest.raises(Fenced):
            await one.commit(Ticket(run, 1, 2), Patch({"a": b"2"}))
        await other.commit(Ticket(run, 2, 2), Patch({"a": b"3"}))

    @behaviour
    async def test_loads_that_overlap_take_different_epochs(self, stage: StoreStage) -> None:
        """However many load at once, one of them may write."""
        store, other, run = stage.store, await stage.open(), stage.run
        loads = await asyncio.gather(*(each.load(run) for each in (store, other) * 5))
        assert sorted(saved.epoch for saved in loads) == list(range(1, 11))

    @behaviour
    async def test_writes_that_overlap_land_or_are_refused_alone(self, stage: StoreStage) -> None:
        """Writes of several runs may share a commit; a refused one takes no other with it."""
        store, runs = stage.store, [stage.new_run(str(one)) for one in range(20)]
        for run in runs:
            await store.load(run)
        outcomes = await asyncio.gather(
            *(
                store.commit(Ticket(run, 1 + number % 2, 1), Patch({"a": b"1"}))
                for number, run in enumerate(runs)
            ),
            return_exceptions=True,
        )
        assert [type(outcome) for outcome in outcomes] == [type(None), Fenced] * 10
        for number, run in enumerate(runs):
            saved = await store.peek(run)
            assert saved is not None
            assert saved.entries == ({} if number % 2 else {"a": b"1"})

    # --- the number of a write

    @behaviour
    async def test_a_repeated_write_succeeds_and_changes_nothing(self, stage: StoreStage) -> None:
        """The repeat of a write whose reply was lost."""
        store, run = stage.store, stage.run
        await store.load(run)
        await store.commit(Ticket(run, 1, 1), Patch({"a": b"1"}))
        await store.commit(Ticket(run, 1, 1), Patch({"a": b"other"}, release=True))
        assert await store.peek(run) == Saved(epoch=1, seq=1, entries={"a": b"1"}, held=True)

    @behaviour
    async def test_an_older_number_is_refused(self, stage: StoreStage) -> None:
        """A write that was overtaken does not undo what overtook it, over epochs too."""
        store, run = stage.store, stage.run
        await store.load(run)
        await store.commit(Ticket(run, 1, 5), Patch({"a": b"5"}))
        with pytest.raises(Fenced):
            await store.commit(Ticket(run, 1, 4), Patch({"a": b"4"}))
        saved = await store.load(run)
        with pytest.raises(Fenced):
            await store.commit(Ticket(run, 2, saved.seq - 1), Patch({"a": b"4"}))
        await store.commit(Ticket(run, 2, saved.seq + 1), Patch({"a": b"6"}))
        assert (await store.load(run)).entries == {"a": b"6"}

    # --- the end of an attempt

    @behaviour
    async def test_a_released_run_is_not_held(self, stage: StoreStage) -> None:
        """A release tells the next load that nobody died, whatever was before."""
        store, run = stage.store, stage.run
        await store.load(run)
        await store.load(run)
        await store.commit(Ticket(run, 2, 1), Patch({"a": b"1"}, release=True))
        assert await store.peek(run) == Saved(epoch=2, seq=1, entries={"a": b"1"})
        assert await store.load(run) == Saved(epoch=3, seq=1, entries={"a": b"1"})
        assert (await store.load(run)).held

    @behaviour
    async def test_a_finished_run_holds_its_result_alone(self, stage: StoreStage) -> None:
        """Its entries are gone; each load still takes an epoch."""
        store, run = stage.store, stage.run
        await store.load(run)
        await store.commit(Ticket(run, 1, 1), Patch({"a": b"1"}))
        await store.finish(Ticket(run, 1, 2), b"{}", keep=None)
        assert await store.peek(run) == Saved(epoch=1, seq=2, result=b"{}")
        assert await store.load(run) == Saved(epoch=2, seq=2, result=b"{}")
        assert await store.load(run) == Saved(epoch=3, seq=2, result=b"{}")

    @behaviour
    async def test_a_finish_can_be_repeated_and_not_written_over(self, stage: StoreStage) -> None:
        """The first result counts; nothing is written after it."""
        store, run = stage.store, stage.run
        await store.load(run)
        await store.finish(Ticket(run, 1, 1), b"first", keep=None)
        await store.finish(Ticket(run, 1, 1), b"second", keep=None)
        for patch in (Patch({"a": b"late"}), Patch({"a": b"late"}, release=True)):
            with pytest.raises(Fenced):
                await store.commit(Ticket(run, 1, 2), patch)
        with pytest.raises(Fenced):
            await store.finish(Ticket(run, 1, 2), b"late", keep=None)
        assert await store.peek(run) == Saved(epoch=1, seq=1, result=b"first")

    @behaviour
    async def test_a_result_is_kept_as_long_as_was_said(self, stage: StoreStage) -> None:
        """After that the run is unknown; a load begins afresh and still fences who came before."""
        store, short, forever = stage.store, stage.new_run("short"), stage.new_run("forever")
        for run in (short, forever):
            await store.load(run)
        await store.finish(Ticket(forever, 1, 1), b"{}", keep=None)
        await store.finish(Ticket(short, 1, 1), b"{}", keep=1.0)
        assert await store.peek(short) is not None
        async with asyncio.timeout(stage.rig.patience):
            while await store.peek(short) is not None:
                await asyncio.sleep(GLANCE)
        assert await store.peek(forever) is not None
        saved = await store.load(short)
        assert (saved.result, saved.entries, saved.held) == (None, {}, False)
        await store.commit(Ticket(short, saved.epoch, saved.seq + 1), Patch({"a": b"1"}))

    @behaviour
    async def test_a_forgotten_run_is_unknown(self, stage: StoreStage) -> None:
        """All of it is gone, and its writer is fenced."""
        store, run = stage.store, stage.run
        await store.load(run)
        await store.commit(Ticket(run, 1, 1), Patch({"a": b"1"}))
        await store.forget(run)
        await store.forget(stage.new_run("never seen"))
        assert await store.peek(run) is None
        with pytest.raises(Fenced):
            await store.commit(Ticket(run, 1, 2), Patch({"a": b"2"}))
        assert await store.load(run) == Saved(epoch=1)

    # --- faults

    @behaviour
    async def test_what_was_stored_is_there_after_closing(self, stage: StoreStage) -> None:
        """A close loses nothing, and may be repeated."""
        store = await stage.open()
        await store.load(stage.run)
        await store.commit(Ticket(stage.run, 1, 1), Patch({"a": b"1"}))
        await store.close()
        await store.close()
        assert (await (await stage.open()).load(stage.run)).entries == {"a": b"1"}

    @behaviour
    async def test_a_kill_between_any_two_writes(self, stage: StoreStage) -> None:
        """Each write of a process that is killed landed whole or not at all; none that it was told
        of is lost, and the process is fenced.
        """
        if isinstance(stage.rig.shared, str):
            pytest.skip(stage.rig.shared)
        for kill in range(KILLS):
            run = stage.new_run(str(kill))
            arguments = ("cnstra.testing.writer", stage.rig.url, run)
            async with start(*arguments, patience=stage.rig.patience) as writer:
                await writer.says(f"landed {2 + kill}\n")
                writer.send(signal.SIGKILL)
                assert await writer.ended() == -signal.SIGKILL
                told = int(re.findall(r"landed (\d+)\n", writer.said)[-1])
            saved = await stage.store.load(run)
            assert saved.seq >= told, "a write that was acknowledged is lost"
            assert saved.held
            assert saved.entries == {"n": b"%d" % saved.seq, f"k{saved.seq}": b"x" * 1000}
            with pytest.raises(Fenced):
                await stage.store.commit(Ticket(run, 1, saved.seq + 1), Patch({"n": b"zombie"}))

    @behaviour
    async def test_a_restart_between_writes(self, stage: StoreStage) -> None:
        """What was acknowledged is there after it; a write in the gap says so, and is repeated."""
        await _survive(stage, possible(stage.rig.restart))

    @behaviour
    async def test_connections_cut_between_writes(self, stage: StoreStage) -> None:
        """A write whose reply was lost is repeated, and lands once."""
        await _survive(stage, possible(stage.rig.cut))


async def _survive(stage: StoreStage, fault: Fault) -> None:
    """Write on and on, each write until it has landed, while the fault is made."""
    store, run, seq = stage.store, stage.run, 0
    await store.load(run)
    made = asyncio.ensure_future(cause(fault))
    async with asyncio.timeout(stage.rig.patience):
        while not made.done() or seq < 20:
            seq += 1
            write = partial(store.commit, Ticket(run, 1, seq), Patch({f"k{seq}": b"1"}))
            await _stubbornly(write)
        await made
        saved = await _stubbornly(partial(store.peek, run))
    assert saved == Saved(1, seq, {f"k{one}": b"1" for one in range(1, seq + 1)}, held=True)


async def _stubbornly(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask until the store answers: a cut may fall on any call, the last one too."""
    while True:
        with suppress(StoreUnavailable):
            return await ask()
        await asyncio.sleep(GLANCE)
