"""Resources: typed, given once, opened before the first run and closed after the last."""

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

from cnstra import CNS, Context, Resource, neuron
from cnstra.errors import (
    DuplicateName,
    InvalidName,
    ResourceFailed,
    ResourcesElsewhere,
    ResourcesNotOpen,
    StimulationFailed,
    UnknownResource,
)
from tests.graphs import entry, middle

Ctx = Context[Any]

text = Resource[str]("text")
number = Resource[int]("number")


class Openings:
    """Makes openers, and writes down what they do."""

    def __init__(self) -> None:
        self.log: list[str] = []

    def later(self, name: str) -> Any:
        @asynccontextmanager
        async def opened() -> AsyncGenerator[str, None]:
            await asyncio.sleep(0)
            self.log.append(f"open {name}")
            try:
                yield name
            finally:
                await asyncio.sleep(0)
                self.log.append(f"close {name}")

        return opened

    def at_once(self, value: int) -> Any:
        @contextmanager
        def opened() -> Generator[int, None, None]:
            self.log.append(f"open {value}")
            yield value
            self.log.append(f"close {value}")

        return opened


def reading(resource: Resource[Any], log: list[Any]) -> Any:
    """A neuron that writes down what it finds for the resource."""
    reader = neuron("reader", {})

    @reader.dendrite(entry)
    def read(payload: int, axon: Any, ctx: Ctx) -> None:
        log.append(ctx.resources[resource])

    return reader


def test_an_object_needs_no_opening_and_no_loop() -> None:
    log: list[Any] = []
    cns = CNS([reading(text, log)], resources=[text.of("here"), number.of(1)])

    cns.stimulate(entry.create_signal(0)).raise_for_failures()

    assert log == ["here"]
    assert text in cns.resources


async def test_they_are_opened_in_order_and_closed_in_reverse() -> None:
    openings, log = Openings(), list[Any]()
    cns = CNS(
        [reading(text, log)],
        resources=[text.opened_by(openings.later("a")), number.opened_by(openings.at_once(1))],
    )

    async with cns:
        assert openings.log == ["open a", "open 1"]
        assert (cns.resources[text], cns.resources[number]) == ("a", 1)
        await cns.stimulate(entry.create_signal(0))

    assert log == ["a"]
    assert openings.log == ["open a", "open 1", "close 1", "close a"]
    assert text not in cns.resources


async def test_before_they_are_open_nothing_runs() -> None:
    log: list[Any] = []
    cns = CNS([reading(text, log)], resources=[text.opened_by(Openings().later("a"))])

    with pytest.raises(ResourcesNotOpen, match=r"\(text\).*async with cns"):
        cns.stimulate(entry.create_signal(0))
    async with cns:
        pass
    with pytest.raises(ResourcesNotOpen):
        cns.stimulate(entry.create_signal(0))

    assert log == []


def test_a_run_on_a_loop_of_its_own_opens_and_closes_them() -> None:
    openings, log = Openings(), list[Any]()
    cns = CNS([reading(text, log)], resources=[text.opened_by(openings.later("a"))])

    cns.run(entry.create_signal(0))
    cns.run(entry.create_signal(0))

    assert log == ["a", "a"]
    assert openings.log == ["open a", "close a"] * 2


async def test_inner_runs_see_the_same() -> None:
    log: list[Any] = []
    outer = neuron("outer", {})

    @outer.dendrite(middle)
    async def on_middle(payload: int, axon: Any, ctx: Ctx) -> None:
        await ctx.cns.stimulate(entry.create_signal(payload))

    cns = CNS([outer, reading(text, log)], resources=[text.opened_by(Openings().later("a"))])
    async with cns:
        await cns.stimulate(middle.create_signal(0))

    assert log == ["a"]


async def test_one_that_cannot_be_opened_is_named_and_leaves_none_open() -> None:
    openings = Openings()

    def broken() -> Any:
        raise OSError("no such host")

    cns = CNS(resources=[text.opened_by(openings.later("a")), number.opened_by(broken)])

    with pytest.raises(ResourceFailed, match=r"'number' .*no such host") as caught:
        async with cns:
            raise AssertionError("it is not open")

    assert isinstance(caught.value.__cause__, OSError)
    assert openings.log == ["open a", "close a"]
    with pytest.raises(ResourcesNotOpen):
        cns.stimulate(entry.create_signal(0))


async def test_the_first_opens_them_and_the_last_closes_them() -> None:
    openings = Openings()
    cns = CNS(resources=[text.opened_by(openings.later("a"))])
    leave = asyncio.Event()

    async def use() -> str:
        async with cns:
            found = cns.resources[text]
            await leave.wait()
            return found

    users = [asyncio.ensure_future(use()) for _ in range(3)]
    for _ in range(5):
        await asyncio.sleep(0)
    users[1].cancel()
    async with cns:
        leave.set()
        assert (await users[0], await users[2]) == ("a", "a")
        assert openings.log == ["open a"]

    assert openings.log == ["open a", "close a"]


async def test_a_second_loop_is_told_to_open_its_own() -> None:
    openings = Openings()
    cns = CNS([reading(text, [])], resources=[text.opened_by(openings.later("a"))])

    async with cns:
        with pytest.raises(ResourcesElsewhere, match="with_resources"):
            await asyncio.to_thread(cns.run, entry.create_signal(0))
        await asyncio.to_thread(cns.with_resources([]).run, entry.create_signal(0))

    assert openings.log == ["open a", "open a", "close a", "close a"]


async def test_a_test_replaces_what_it_likes() -> None:
    openings, log = Openings(), list[Any]()
    cns = CNS(
        [reading(text, log)],
        resources=[text.opened_by(openings.later("real")), number.opened_by(openings.at_once(1))],
    )

    async with cns.with_resources([text.of("fake")]) as tested:
        await tested.stimulate(entry.create_signal(0))
        assert tested.resources[number] == 1

    assert log == ["fake"]
    assert openings.log == ["open 1", "close 1"]


def test_what_was_not_given_is_named_with_the_remedy() -> None:
    cns = CNS([reading(text, [])], resources=[number.of(1)])

    run = cns.stimulate(entry.create_signal(0))

    with pytest.raises(StimulationFailed) as caught:
        run.raise_for_failures()
    error = caught.value.failed_tasks[0].error
    assert isinstance(error, UnknownResource)
    assert isinstance(error, KeyError)
    assert str(error).startswith("Resource 'text' was not given, or is closed (open: number): ")


def test_names_are_texts_and_unique() -> None:
    with pytest.raises(InvalidName):
        Resource[int]("")
    with pytest.raises(DuplicateName, match="text"):
        CNS(resources=[text.of("a"), Resource[str]("text").of("b")])
    with pytest.raises(DuplicateName):
        CNS(resources=[text.of("a"), text.of("b")])


async def test_no_snapshot_holds_one() -> None:
    failing = neuron("failing", {}, context=Any)

    @failing.dendrite(entry)
    def fail(payload: int, axon: Any, ctx: Ctx) -> None:
        ctx.set({"length": len(ctx.resources[text])})
        raise ValueError

    run = CNS([failing], resources=[text.of("secret")]).stimulate(entry.create_signal(0))

    assert run.context.get_all() == {"failing": {"length": 6}}
    assert "secret" not in repr([one.to_wire() for one in run.failed_tasks])
