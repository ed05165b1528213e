"""What every progress store promises, held against each adapter."""

import asyncio

import pytest

from cnstra.durable.store import Patch, ProgressStore, Saved, Ticket
from cnstra.errors import Fenced
from tests.integration.conftest import Place


@pytest.fixture
async def store(place: Place) -> ProgressStore:
    return await place.store()


async def test_an_unknown_run_begins_with_its_first_epoch(store: ProgressStore) -> None:
    assert await store.peek("r") is None

    assert await store.load("r") == Saved(epoch=1)
    assert await store.load("r") == Saved(epoch=2, held=True)


async def test_a_peek_takes_no_epoch(store: ProgressStore) -> None:
    await store.load("r")

    assert await store.peek("r") == await store.peek("r") == Saved(epoch=1, held=True)

    await store.commit(Ticket("r", 1, 1), Patch({"a": b"1"}))


async def test_a_patch_writes_some_entries_and_deletes_others(store: ProgressStore) -> None:
    await store.load("r")
    await store.commit(Ticket("r", 1, 1), Patch({"a": b"1", "b": b"2"}))

    await store.commit(Ticket("r", 1, 2), Patch({"b": b"3", "c": b""}, {"a", "never"}))

    saved = await store.load("r")
    assert saved == Saved(epoch=2, seq=2, entries={"b": b"3", "c": b""}, held=True)


async def test_a_key_that_is_put_and_deleted_in_one_patch_is_put(store: ProgressStore) -> None:
    await store.load("r")

    await store.commit(Ticket("r", 1, 1), Patch({"a": b"1"}, {"a"}))

    assert (await store.load("r")).entries == {"a": b"1"}


async def test_what_was_loaded_does_not_change_later(store: ProgressStore) -> None:
    await store.load("r")
    await store.commit(Ticket("r", 1, 1), Patch({"a": b"1"}))
    saved = await store.load("r")

    await store.commit(Ticket("r", 2, 2), Patch({"a": b"2"}))

    assert saved.entries == {"a": b"1"}


async def test_a_zombie_is_refused_and_leaves_nothing(store: ProgressStore) -> None:
    await store.load("r")
    await store.commit(Ticket("r", 1, 1), Patch({"a": b"1"}))
    await store.load("r")

    with pytest.raises(Fenced) as refusal:
        await store.commit(Ticket("r", 1, 2), Patch({"a": b"zombie"}, {"b"}))
    with pytest.raises(Fenced):
        await store.finish(Ticket("r", 1, 2), b"zombie", keep=None)

    assert (refusal.value.context["found"], refusal.value.context["epoch"]) == (2, 1)
    saved = await store.peek("r")
    assert saved == Saved(epoch=2, seq=1, entries={"a": b"1"}, held=True)


async def test_an_epoch_from_the_future_is_refused_too(store: ProgressStore) -> None:
    await store.load("r")

    with pytest.raises(Fenced):
        await store.commit(Ticket("r", 2, 1), Patch({"a": b"1"}))


async def test_a_run_that_nobody_loaded_cannot_be_written(store: ProgressStore) -> None:
    with pytest.raises(Fenced):
        await store.commit(Ticket("r", 1, 1), Patch({"a": b"1"}))
    with pytest.raises(Fenced):
        await store.finish(Ticket("r", 1, 1), b"{}", keep=None)

    assert await store.peek("r") is None


async def test_a_repeated_write_succeeds_and_changes_nothing(store: ProgressStore) -> None:
    await store.load("r")
    await store.commit(Ticket("r", 1, 1), Patch({"a": b"1"}))

    await store.commit(Ticket("r", 1, 1), Patch({"a": b"other"}, release=True))

    assert await store.peek("r") == Saved(epoch=1, seq=1, entries={"a": b"1"}, held=True)


async def test_an_older_number_is_refused(store: ProgressStore) -> None:
    await store.load("r")
    await store.commit(Ticket("r", 1, 5), Patch({"a": b"5"}))

    with pytest.raises(Fenced):
        await store.commit(Ticket("r", 1, 4), Patch({"a": b"4"}))

    assert await store.peek("r") == Saved(epoch=1, seq=5, entries={"a": b"5"}, held=True)


async def test_numbers_go_on_over_epochs(store: ProgressStore) -> None:
    await store.load("r")
    await store.commit(Ticket("r", 1, 5), Patch({"a": b"5"}))
    saved = await store.load("r")

    with pytest.raises(Fenced):
        await store.commit(Ticket("r", 2, saved.seq - 1), Patch({"a": b"4"}))
    await store.commit(Ticket("r", 2, saved.seq + 1), Patch({"a": b"6"}))

    assert (await store.load("r")).entries == {"a": b"6"}


async def test_a_released_run_is_not_held(store: ProgressStore) -> None:
    await store.load("r")
    await store.commit(Ticket("r", 1, 1), Patch({"a": b"1"}, release=True))

    assert await store.peek("r") == Saved(epoch=1, seq=1, entries={"a": b"1"})
    assert await store.load("r") == Saved(epoch=2, seq=1, entries={"a": b"1"})
    assert (await store.load("r")).held


async def test_a_release_makes_up_for_earlier_crashes(store: ProgressStore) -> None:
    await store.load("r")
    await store.load("r")
    await store.commit(Ticket("r", 2, 1), Patch(release=True))

    assert not (await store.load("r")).held


async def test_a_finished_run_holds_its_result_and_nothing_else(store: ProgressStore) -> None:
    await store.load("r")
    await store.commit(Ticket("r", 1, 1), Patch({"a": b"1"}))

    await store.finish(Ticket("r", 1, 2), b"{}", keep=None)

    assert await store.peek("r") == Saved(epoch=1, seq=2, result=b"{}")
    assert await store.load("r") == Saved(epoch=2, seq=2, result=b"{}")
    assert await store.load("r") == Saved(epoch=3, seq=2, result=b"{}")


async def test_a_finish_can_be_repeated_and_not_written_over(store: ProgressStore) -> None:
    await store.load("r")
    await store.finish(Ticket("r", 1, 1), b"first", keep=None)

    await store.finish(Ticket("r", 1, 1), b"second", keep=None)
    with pytest.raises(Fenced):
        await store.commit(Ticket("r", 1, 2), Patch({"a": b"late"}))
    with pytest.raises(Fenced):
        await store.commit(Ticket("r", 1, 2), Patch({"a": b"late"}, release=True))
    with pytest.raises(Fenced):
        await store.finish(Ticket("r", 1, 2), b"late", keep=None)

    assert await store.peek("r") == Saved(epoch=1, seq=1, result=b"first")


async def test_a_result_is_kept_as_long_as_was_said(place: Place, store: ProgressStore) -> None:
    for run in ("short", "forever"):
        await store.load(run)
    await store.finish(Ticket("short", 1, 1), b"{}", keep=10.0)
    await store.finish(Ticket("forever", 1, 1), b"{}", keep=None)

    await place.clock.advance(9.9)
    assert await store.peek("short") is not None
    await place.clock.advance(0.1)

    assert await store.peek("short") is None
    assert await store.peek("forever") is not None


async def test_a_run_whose_result_expired_begins_afresh(place: Place, store: ProgressStore) -> None:
    await store.load("r")
    await store.finish(Ticket("r", 1, 1), b"{}", keep=10.0)
    await store.load("r")
    await place.clock.advance(10.0)

    saved = await store.load("r")

    assert (saved.result, saved.entries, saved.held) == (None, {}, False)
    with pytest.raises(Fenced):
        await store.commit(Ticket("r", 1, 9), Patch({"a": b"zombie"}))
    await store.commit(Ticket("r", saved.epoch, saved.seq + 1), Patch({"a": b"1"}))
    assert (await store.load("r")).held


async def test_a_forgotten_run_is_unknown(store: ProgressStore) -> None:
    await store.load("r")
    await store.commit(Ticket("r", 1, 1), Patch({"a": b"1"}))

    await store.forget("r")
    await store.forget("never seen")

    assert await store.peek("r") is None
    with pytest.raises(Fenced):
        await store.commit(Ticket("r", 1, 2), Patch({"a": b"2"}))
    assert await store.load("r") == Saved(epoch=1)


async def test_runs_do_not_touch_each_other(store: ProgressStore) -> None:
    for run in ("r", "r2", "s"):
        await store.load(run)
        await store.commit(Ticket(run, 1, 1), Patch({"a": run.encode()}))

    await store.finish(Ticket("r", 1, 2), b"{}", keep=None)
    await store.forget("s")

    assert (await store.load("r2")).entries == {"a": b"r2"}


async def test_writes_that_overlap_all_land_or_are_refused_alone(store: ProgressStore) -> None:
    for run in range(20):
        await store.load(f"r{run}")

    outcomes = await asyncio.gather(
        *(store.commit(Ticket(f"r{run}", 1 + run % 2, 1), Patch({"a": b"1"})) for run in range(20)),
        return_exceptions=True,
    )

    assert [type(outcome) for outcome in outcomes] == [type(None), Fenced] * 10
    for run in range(20):
        saved = await store.peek(f"r{run}")
        assert saved is not None
        assert saved.entries == ({} if run % 2 else {"a": b"1"})


async def test_two_stores_of_one_place_see_the_same_runs(place: Place) -> None:
    one, other = await place.store(), await place.store()
    await one.load("r")
    await one.commit(Ticket("r", 1, 1), Patch({"a": b"1"}))

    assert (await other.load("r")).entries == {"a": b"1"}
    with pytest.raises(Fenced):
        await one.commit(Ticket("r", 1, 2), Patch({"a": b"2"}))


async def test_what_was_stored_is_there_after_closing(place: Place) -> None:
    store = await place.store()
    await store.load("r")
    await store.commit(Ticket("r", 1, 1), Patch({"a": b"1"}))

    await store.close()
    await store.close()

    assert (await (await place.store()).load("r")).entries == {"a": b"1"}


@pytest.mark.parametrize("name", ["", "ключ", "a\0b", "\0", "\0\0x", "\ud800", "\0\ud800", "\\u"])
async def test_any_text_names_a_run(store: ProgressStore, name: str) -> None:
    await store.load(name)
    await store.commit(Ticket(name, 1, 1), Patch({"a": b"1"}))

    assert (await store.load(name)).entries == {"a": b"1"}
    assert await store.peek(name + "\0") is None
