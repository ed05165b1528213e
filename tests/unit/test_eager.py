"""Tasks whose first steps are taken at once, where Python can."""

import asyncio
import sys

import pytest

from cnstra.durable.eager import begin

CAN = sys.version_info >= (3, 12)


@pytest.mark.parametrize("waits", [False, True])
async def test_it_is_a_task_from_its_first_step_on(waits: bool) -> None:
    """Timeouts and libraries ask for the task that runs them."""
    seen: list[asyncio.Task[None] | None] = []

    async def work() -> None:
        async with asyncio.timeout(60):
            seen.append(asyncio.current_task())
            if waits:
                await asyncio.sleep(0)

    task = begin(work())
    if task is not None:
        await task

    assert len(seen) == 1
    assert seen[0] is not None
    assert task in (None, seen[0])


async def test_what_need_not_wait_is_over_at_once_where_python_can() -> None:
    log: list[str] = []

    async def work() -> None:
        log.append("done")

    task = begin(work())

    assert (task is None, log) == ((True, ["done"]) if CAN else (False, []))
    if task is not None:
        await task
    assert log == ["done"]


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
