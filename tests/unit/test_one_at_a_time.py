"""One run of a kind at a time: who comes while it goes shares it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from cnstra import CNS, Context, OneAtATime, Stimulation, StimulationFailed, collateral, neuron
from cnstra.errors import JoinsItself, UnknownCollateral, WrongThread

begin = collateral("begin", str)


class Import:
    """A graph of one neuron that starts, waits until it is let go, and ends."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.ended: list[str] = []
        self.opened = asyncio.Event()
        self.closing_time = 0
        importer = neuron("importer", {})

        @importer.dendrite(begin)
        async def on_begin(payload: str, axon: Any) -> None:
            self.started.append(payload)
            try:
                await self.opened.wait()
            finally:
                for _ in range(self.closing_time):
                    await asyncio.sleep(0)
                self.ended.append(payload)
            if payload == "broken":
                raise ValueError("no file")

        self.cns = CNS([importer])
        self.runs = OneAtATime(self.cns)

    def ask(self, name: str, **options: Any) -> "asyncio.Task[Stimulation]":
        return asyncio.ensure_future(self.runs.run(begin.create_signal(name), **options))


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@asynccontextmanager
async def nothing_kept(runs: OneAtATime) -> AsyncIterator[None]:
    yield
    await settle()
    assert runs._shared == {}  # pyright: ignore[reportPrivateUsage]


async def test_who_comes_while_it_runs_gets_the_same_run() -> None:
    imports = Import()
    async with nothing_kept(imports.runs):
        first = imports.ask("first")
        await settle()
        second = imports.ask("second")
        await settle()
        imports.opened.set()

        assert await first is await second
        assert imports.started == ["first"]


async def test_once_it_is_over_another_begins() -> None:
    imports = Import()
    imports.opened.set()

    first = await imports.ask("first")
    second = await imports.ask("second")

    assert first is not second
    assert imports.started == ["first", "second"]


async def test_each_kind_has_its_own() -> None:
    imports = Import()
    asked = [imports.ask("a", kind="a"), imports.ask("b", kind="b")]
    await settle()

    assert imports.started == ["a", "b"]
    imports.opened.set()
    await asyncio.gather(*asked)


async def test_an_error_reaches_everyone() -> None:
    imports = Import()
    async with nothing_kept(imports.runs):
        asked = [imports.ask("broken") for _ in range(3)]
        await settle()
        imports.opened.set()
        found = await asyncio.gather(*asked, return_exceptions=True)

    assert len(found) == 3
    for error in found:
        assert isinstance(error, StimulationFailed)
        assert "no file" in str(error)
    assert imports.started == ["broken"]


async def test_who_is_cancelled_leaves_it_to_the_others() -> None:
    imports = Import()
    first, second = imports.ask("first"), imports.ask("second")
    await settle()
    first.cancel()
    await settle()
    imports.opened.set()

    assert not (await second).aborted
    assert first.cancelled()
    assert imports.ended == ["first"]


async def test_when_all_have_left_it_is_aborted() -> None:
    imports = Import()
    async with nothing_kept(imports.runs):
        asked = [imports.ask("first", grace=0.0), imports.ask("second")]
        await settle()
        for one in asked:
            one.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        await settle()

    assert imports.started == imports.ended == ["first"]


async def test_one_that_is_being_aborted_is_not_joined_but_waited_for() -> None:
    imports = Import()
    imports.closing_time = 10
    first = imports.ask("first", grace=0.0)
    await settle()
    first.cancel()
    await asyncio.sleep(0)
    later = [imports.ask("second"), imports.ask("third")]
    await asyncio.sleep(0)
    assert imports.ended == []
    imports.opened.set()

    second, third = await asyncio.gather(*later)

    assert second is third
    assert imports.started == imports.ended == ["first", "second"]


async def test_it_is_aborted_for_everyone_by_the_one_who_began_it() -> None:
    imports = Import()
    asked = [imports.ask("first"), imports.ask("second")]
    await settle()
    imports.runs._shared[""].run.abort("enough", grace=0.0)  # pyright: ignore[reportPrivateUsage]

    found = await asyncio.gather(*asked, return_exceptions=True)

    assert [type(one) for one in found] == [StimulationFailed, StimulationFailed]


async def test_a_graph_of_sync_handlers_runs_each_time() -> None:
    seen: list[str] = []
    echo = neuron("echo", {}).dendrite(begin, lambda payload, axon: seen.append(payload))
    runs = OneAtATime(CNS([echo]))
    async with nothing_kept(runs):
        for name in "ab":
            assert (await runs.run(begin.create_signal(name))).done

    assert seen == ["a", "b"]


async def test_what_cannot_start_leaves_the_way_free() -> None:
    imports = Import()
    imports.opened.set()
    async with nothing_kept(imports.runs):
        with pytest.raises(UnknownCollateral):
            await imports.runs.run(collateral("strange", str).create_signal(""))
        await imports.ask("first")

    assert imports.started == ["first"]


@pytest.mark.parametrize("aborted", [False, True])
async def test_a_handler_that_would_wait_for_its_own_run_is_told(aborted: bool) -> None:
    loop = neuron("loop", {})

    @loop.dendrite(begin)
    async def on_begin(payload: str, axon: Any, ctx: Context[None]) -> None:
        if aborted:
            runs._shared["it"].run.abort()  # pyright: ignore[reportPrivateUsage]
        await runs.run(begin.create_signal("again"), kind="it")

    runs = OneAtATime(CNS([loop]))

    with pytest.raises(StimulationFailed) as failure:
        await runs.run(begin.create_signal("once"), kind="it")

    assert isinstance(failure.value.__cause__, JoinsItself)


async def test_another_event_loop_is_refused_and_ends_nothing() -> None:
    imports = Import()
    first = imports.ask("first")
    await settle()

    def elsewhere() -> None:
        asyncio.run(asyncio.wait_for(imports.runs.run(begin.create_signal("second")), 5))

    with pytest.raises(WrongThread):
        await asyncio.to_thread(elsewhere)
    imports.opened.set()

    assert not (await first).aborted
