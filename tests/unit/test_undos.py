"""`ctx.add_undo`: what an activation did in memory goes when it is interrupted, or fails."""

import asyncio
import logging
from typing import Any

import pytest

from cnstra import CNS, Context, StimulationFailed, neuron
from tests.graphs import entry, middle
from tests.manual_clock import settled

Ctx = Context[Any]


def undoing(log: list[Any], then: Any) -> Any:
    """A neuron that adds two undos, and then does as it is told."""

    async def handler(payload: int, axon: Any, ctx: Ctx) -> Any:
        ctx.add_undo(lambda: log.append("first"))
        ctx.add_undo(lambda: log.append("second"))
        return await then(ctx)

    return neuron("undoing", {}).dendrite(entry, handler)


async def test_what_is_done_stays() -> None:
    log: list[Any] = []

    async def end(ctx: Ctx) -> None: ...

    await CNS([undoing(log, end)]).stimulate(entry.create_signal(0))

    assert log == []


async def test_what_failed_is_undone_the_last_first() -> None:
    log: list[Any] = []

    async def fail(ctx: Ctx) -> None:
        raise ValueError

    run = CNS([undoing(log, fail)]).stimulate(entry.create_signal(0))
    await run.wait_until_done()

    assert log == ["second", "first"]
    assert len(run.failed_tasks) == 1


def test_a_sync_handler_that_failed_is_undone_too() -> None:
    log: list[Any] = []
    failing = neuron("failing", {})

    @failing.dendrite(entry)
    def fail(payload: int, axon: Any, ctx: Ctx) -> Any:
        ctx.add_undo(lambda: log.append("undone"))
        return "no signal"

    run = CNS([failing]).stimulate(entry.create_signal(0))

    assert log == ["undone"]
    assert len(run.failed_tasks) == 1


async def test_what_was_interrupted_is_undone() -> None:
    log: list[Any] = []

    async def obey(ctx: Ctx) -> None:
        await ctx.abort_signal.wait()

    run = CNS([undoing(log, obey)]).stimulate(entry.create_signal(0))
    await settled()
    run.abort()
    await run.wait_until_done()

    assert log == ["second", "first"]


async def test_what_an_inner_run_has_done_falls_with_the_activation_around_it() -> None:
    log: list[Any] = []
    outer = neuron("outer", {})

    @outer.dendrite(middle)
    async def on_middle(payload: int, axon: Any, ctx: Ctx) -> None:
        ctx.add_undo(lambda: log.append("outer"))
        await ctx.cns.stimulate(entry.create_signal(0))
        if payload:
            raise ValueError

    async def end(ctx: Ctx) -> None: ...

    cns = CNS([outer, undoing(log, end)])
    await cns.stimulate(middle.create_signal(0))
    assert log == []

    with pytest.raises(StimulationFailed):
        await cns.stimulate(middle.create_signal(1))
    assert log == ["second", "first", "outer"]


async def test_one_that_raises_keeps_no_other_back(caplog: pytest.LogCaptureFixture) -> None:
    log: list[Any] = []

    async def fail(ctx: Ctx) -> None:
        ctx.add_undo(lambda: 1 // 0)
        await asyncio.sleep(0)
        raise ValueError

    with caplog.at_level(logging.ERROR, "cnstra"):
        run = CNS([undoing(log, fail)]).stimulate(entry.create_signal(0))
        await run.wait_until_done()

    assert log == ["second", "first"]
    assert "ZeroDivisionError" in caplog.text
    assert isinstance(run.failed_tasks[0].error, ValueError)
