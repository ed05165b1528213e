"""Coroutines whose first steps are taken at once."""

import asyncio

import pytest

from cnstra.durable.eager import begin


async def test_what_need_not_wait_is_over_at_once_and_has_no_task() -> None:
    log: list[str] = []

    async def work() -> None:
        log.append("done")

    assert begin(work()) is None
    assert log == ["done"]


async def test_what_waits_goes_on_in_a_task() -> None:
    log: list[str] = []
    door = asyncio.Event()

    async def work() -> None:
        log.append("begun")
        await door.wait()
        await asyncio.sleep(0)
        log.append("done")

    task = begin(work())

    assert task is not None
    assert log == ["begun"]
    door.set()
    await task
    assert log == ["begun", "done"]


@pytest.mark.parametrize("turns", [0, 2])
async def test_a_cancellation_reaches_the_wait(turns: int) -> None:
    log: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            log.append("cancelled")
            await asyncio.sleep(0)
            log.append("tidied up")
            raise

    task = begin(work())
    assert task is not None
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert log == ["cancelled", "tidied up"]


@pytest.mark.parametrize("late", [False, True])
async def test_an_error_is_the_tasks(late: bool) -> None:
    async def work() -> None:
        if late:
            await asyncio.sleep(0)
        raise ValueError("no")

    task = begin(work())

    assert task is not None
    with pytest.raises(ValueError, match="no"):
        await task
