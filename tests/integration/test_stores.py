"""What a progress store promises of time, held against each adapter under a clock that is moved.

All else it promises is in `cnstra.testing.conformance.stores`.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cnstra.durable.store import Patch, ProgressStore, Ticket
from cnstra.errors import Fenced
from tests.integration.conftest import Place, place_of


@pytest.fixture(params=["memory", "sqlite", "bullmq", "nats"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    async with place_of(request.param, request, tmp_path) as place:
        yield place


@pytest.fixture
async def store(place: Place) -> ProgressStore:
    return await place.store()


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
