"""Lulls: all of a run that could run without waiting has run."""

import asyncio
import logging
from typing import Any

import pytest

from cnstra import CNS, Context, Stimulation, neuron
from tests.graphs import Door, entry, middle, out, passing, sink
from tests.manual_clock import settled

Ctx = Context[Any]


def listening(cns: CNS, log: list[Any], word: str = "lull") -> Any:
    return cns.add_lull_listener(lambda run: log.append((word, run.done)))


async def test_a_sync_run_has_one_at_its_end_before_stimulate_returns() -> None:
    log: list[Any] = []
    cns = CNS([passing("pass", entry, middle), sink("end", middle, log)])
    listening(cns, log)

    cns.stimulate([entry.create_signal(1), entry.create_signal(2)])

    assert log == [1, 2, ("lull", True)]


def test_without_a_loop_as_well() -> None:
    log: list[Any] = []
    cns = CNS([sink("end", entry, log)])
    listening(cns, log)

    cns.stimulate(entry.create_signal(1))

    assert log == [1, ("lull", True)]


async def test_a_fan_out_that_waits_has_one_when_all_of_it_waits() -> None:
    # Given ten branches, each of which waits, then goes on to a handler that does not
    door, log = Door("door", entry, middle), list[Any]()
    cns = CNS([door.neuron, sink("end", middle, log)])
    heard: list[Any] = []
    cns.add_lull_listener(lambda run: heard.append((len(door.inside), len(log), run.done)))

    # When they run
    run = cns.stimulate([entry.create_signal(number) for number in range(10)])
    await settled()

    # Then the lull came once, when all of them waited
    assert heard == [(10, 0, False)]

    # And the next when all of them were through
    door.opened.set()
    await run
    assert heard == [(10, 0, False), (0, 10, True)]


async def test_each_wait_inside_of_a_handler_ends_a_turn() -> None:
    log: list[Any] = []
    first, second = asyncio.Event(), asyncio.Event()
    waiter = neuron("waiter", {})

    @waiter.dendrite(entry)
    async def wait(payload: int) -> None:
        log.append("before")
        await first.wait()
        log.append("between")
        await second.wait()
        log.append("after")

    cns = CNS([waiter])
    remove = listening(cns, log)
    run = cns.stimulate(entry.create_signal(1))
    await settled()
    first.set()
    await settled()
    second.set()
    await run

    assert log == ["before", ("lull", False), "between", ("lull", False), "after", ("lull", True)]

    remove()
    remove()
    cns.stimulate(entry.create_signal(1))
    await settled()
    assert log[-1] == "after"


async def test_the_last_one_comes_before_the_awaiting_caller() -> None:
    log: list[Any] = []
    cns = CNS([Door("door", entry).neuron])
    listening(cns, log)

    run = cns.stimulate(entry.create_signal(1))
    await settled()
    run.abort(grace=0)
    await run.wait_until_done()

    assert log[-1] == ("lull", True)
    assert [done for _, done in log].count(True) == 1


async def test_an_inner_run_is_part_of_its_outer_ones_turn() -> None:
    log: list[Any] = []
    outer = neuron("outer", {})

    @outer.dendrite(entry)
    async def on_entry(payload: int, axon: Any, ctx: Ctx) -> None:
        inner = ctx.cns.stimulate(middle.create_signal(1))
        assert inner.done
        log.append("inner run is over")
        await ctx.cns.stimulate(out.create_signal(1))
        log.append("the other too")

    async def wait(payload: int) -> None:
        await asyncio.sleep(0)
        log.append("waited")

    cns = CNS([outer, sink("in", middle, log), neuron("wait", {}).dendrite(out, wait)])
    heard: list[Stimulation] = []
    listening(cns, log)
    cns.add_lull_listener(heard.append)

    run = cns.stimulate(entry.create_signal(0))
    await run

    assert log[:2] == [1, "inner run is over"]
    assert log.index(("lull", False)) < log.index("waited")
    assert log[-1] == ("lull", True)
    assert set(heard) == {run}


async def test_an_awaitable_that_a_sync_handler_returned_is_watched_too() -> None:
    log: list[Any] = []
    opened = asyncio.Event()

    async def later() -> None:
        log.append("before")
        await opened.wait()
        log.append("after")

    cns = CNS([neuron("n", {}).dendrite(entry, lambda payload: later())])
    listening(cns, log)
    run = cns.stimulate(entry.create_signal(0))
    await settled()
    opened.set()
    await run

    assert log == ["before", ("lull", False), "after", ("lull", True)]


async def test_a_watched_handler_is_cancelled_and_answers_like_any_other() -> None:
    log: list[Any] = []

    async def stubborn(payload: int, axon: Any) -> Any:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            return axon.out.create_signal(payload)

    cns = CNS([neuron("n", {"out": out}).dendrite(entry, stubborn), sink("end", out, log)])
    cns.add_lull_listener(lambda run: None)

    run = cns.stimulate(entry.create_signal(7))
    await settled()
    run.abort(grace=0)
    await run.wait_until_done()

    assert [(one.neuron_id, one.input.payload) for one in run.frontier] == [("end", 7)]


async def test_a_listener_that_raises_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    log: list[Any] = []
    cns = CNS([sink("end", entry, log)])
    cns.add_lull_listener(lambda run: 1 / 0)
    listening(cns, log)

    with caplog.at_level(logging.ERROR, "cnstra"):
        await cns.stimulate(entry.create_signal(1))

    assert log == [1, ("lull", True)]
    assert "ZeroDivisionError" in caplog.text
