"""An effect outside of any database: done, not done, or unknown."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cnstra import CNS, Context, Queue, StimulationFailed, Worker, neuron
from cnstra.effects import LEDGER, EffectUnknown, Happened, Ledger, NotDone
from cnstra.errors import InvalidOption, NotSerializable, UnknownResource, WrongLedger
from tests.durables import Broken
from tests.ledgers import Books, attempt, booked, new_books, order

Ctx = Context[Any]


class Bank:
    """The far side, at which the process may die: `dies` before or after it was charged."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.charged: list[str] = []
        self.asked: list[str] = []
        self.breaks: str | None = None

    async def charge(self, key: str) -> dict[str, int]:
        self.keys.append(key)
        if self.breaks == "before":
            raise Broken
        if self.breaks == "refused":
            raise NotDone
        self.charged.append(key)
        if self.breaks == "after":
            raise Broken
        return {"receipt": len(self.charged)}

    async def find(self, key: str) -> Happened[dict[str, int]] | None:
        self.asked.append(key)
        if key not in self.charged:
            return None
        return Happened({"receipt": 1 + self.charged.index(key)})

    def till(self, **options: Any) -> Any:
        """A neuron that charges once, and emits the receipt."""
        found = neuron("till", {"booked": booked})

        @found.dendrite(order)
        async def on_order(n: int, axon: Any, ctx: Ctx) -> Any:
            receipt = await ctx.once("charge", self.charge, **options)
            return axon.booked.create_signal(receipt["receipt"])

        return found


@pytest.fixture(params=["sqlite", "psycopg-async"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """An async handler may use a ledger whose database blocks, and one whose does not."""
    schema = None if request.param == "sqlite" else request.getfixturevalue("postgres_schema")
    with new_books(request.param, tmp_path, schema) as found:
        yield found


@pytest.fixture
async def ledger(place: Books) -> AsyncIterator[Ledger[Any]]:
    async with place.open() as found:
        yield found


def network(bank: Bank, ledger: Ledger[Any], **options: Any) -> CNS:
    return CNS([bank.till(**options)], resources=[LEDGER.of(ledger)])


async def fails_with(cns: CNS, kind: type[BaseException]) -> BaseException:
    with pytest.raises(StimulationFailed) as caught:
        await attempt(cns, 1)
    found: BaseException = caught.value.failed_tasks[0].error
    assert isinstance(found, kind), found
    return found


async def test_what_is_done_is_not_done_again(place: Books, ledger: Ledger[Any]) -> None:
    bank = Bank()
    cns = network(bank, ledger)

    assert [await attempt(cns, 1), await attempt(cns, 1)] == [[1], [1]]

    assert len(bank.keys) == 1
    assert place.entries() == [("charge", "done")]


async def test_that_it_begins_is_written_down_before_it_does(
    place: Books, ledger: Ledger[Any]
) -> None:
    seen: list[Any] = []
    bank = Bank()

    async def look(key: str) -> dict[str, int]:
        seen.extend(place.entries("key, state"))
        return {"receipt": len(key)}

    bank.charge = look  # type: ignore[method-assign]
    ((_, state),) = await attempt(network(bank, ledger), 1) and seen

    assert state == "started"


@pytest.mark.parametrize("breaks", ["before", "after"])
async def test_what_is_unknown_is_repeated_with_its_key(ledger: Ledger[Any], breaks: str) -> None:
    bank = Bank()
    cns = network(bank, ledger)
    bank.breaks = breaks
    await fails_with(cns, Broken)

    bank.breaks = None
    await attempt(cns, 1)

    first, second = bank.keys
    assert first == second
    assert bank.keys[0].endswith("-charge")


@pytest.mark.parametrize(("breaks", "calls"), [("before", 2), ("after", 1)])
async def test_what_is_unknown_is_reconciled(
    place: Books, ledger: Ledger[Any], breaks: str, calls: int
) -> None:
    bank = Bank()
    cns = network(bank, ledger, reconcile=bank.find)
    bank.breaks = breaks
    await fails_with(cns, Broken)
    assert (bank.asked, place.entries()) == ([], [("charge", "started")])

    bank.breaks = None
    assert [await attempt(cns, 1), await attempt(cns, 1)] == [[1], [1]]

    assert (len(bank.keys), len(bank.charged), bank.asked) == (calls, 1, bank.keys[:1])
    assert place.entries() == [("charge", "done")]


async def test_an_outside_that_cannot_say_leaves_it_unknown(
    place: Books, ledger: Ledger[Any]
) -> None:
    async def shrug(key: str) -> None:
        raise Broken

    bank = Bank()
    bank.breaks = "after"
    await fails_with(network(bank, ledger), Broken)

    await fails_with(network(bank, ledger, reconcile=shrug), Broken)

    assert (len(bank.keys), place.entries()) == (1, [("charge", "started")])


async def test_what_is_certain_not_to_have_happened_begins_anew(
    place: Books, ledger: Ledger[Any]
) -> None:
    bank = Bank()
    cns = network(bank, ledger, unknown="dead_letter")
    bank.breaks = "refused"
    await fails_with(cns, NotDone)
    assert place.entries() == []

    bank.breaks = None
    assert await attempt(cns, 1) == [1]


@dataclass
class Human:
    """Who looks at the bank, and tells the ledger."""

    say: Callable[[Ledger[Any], str], Any]
    charges: int
    receipt: int


@pytest.mark.parametrize(
    "human",
    [
        Human(lambda ledger, key: ledger.happened(key, {"receipt": 7}), 1, 7),
        Human(lambda ledger, key: ledger.withdraw(key), 2, 2),
    ],
    ids=["happened", "did not"],
)
async def test_an_effect_nobody_knows_waits_dead_for_a_human(
    ledger: Ledger[Any], human: Human
) -> None:
    # Given a job whose first attempt has charged, and lost the answer
    bank = Bank()
    bank.breaks = "after"
    cns = network(bank, ledger, unknown="dead_letter")
    async with Queue("q", f"memory://human-{id(bank)}") as queue:
        job = await queue.enqueue(order.create_signal(1), max_attempts=9)

        # When it is tried again
        await Worker(queue, cns, results=[booked]).run(until_idle=True)

        # Then it is dead, though it had attempts left, and says why and what to do
        record = await job.record()
        assert record is not None
        assert record.error is not None
        assert (record.state, record.attempts_made) == ("dead", 2)
        assert record.error["name"] == EffectUnknown.__name__
        (unsettled,) = await ledger.unsettled()
        assert (unsettled.effect, unsettled.neuron) == ("charge", "till")
        assert unsettled.key in record.error["message"]
        assert unsettled.run == record.run

        # And when a human has looked, it is redriven and goes on from there
        bank.breaks = None
        assert await human.say(ledger, unsettled.key)
        assert not await ledger.withdraw("somebody else's")
        await queue.redrive(job.id)
        await Worker(queue, cns, results=[booked]).run(until_idle=True)

        assert await job.result() == {"results": [human.receipt]}
        assert len(bank.charged) == human.charges


async def test_what_a_human_says_too_late_changes_nothing(ledger: Ledger[Any]) -> None:
    bank = Bank()
    await attempt(network(bank, ledger), 1)
    (key,) = bank.keys

    assert not await ledger.happened(key, {"receipt": 99})
    assert not await ledger.withdraw(key)
    assert await attempt(network(bank, ledger), 1) == [1]


@dataclass
class Receipt:
    number: int


async def test_a_result_has_its_type_on_each_attempt(ledger: Ledger[Any]) -> None:
    seen: list[Receipt] = []
    till = neuron("till", {})

    @till.dendrite(order)
    async def on_order(n: int, axon: Any, ctx: Ctx) -> None:
        async def charge(key: str) -> Receipt:
            return Receipt(n)

        seen.append(await ctx.once("charge", charge, returns=Receipt))

    cns = CNS([till], resources=[LEDGER.of(ledger)])
    for _ in range(2):
        await attempt(cns, 1, results=())

    assert seen == [Receipt(1), Receipt(1)]


async def test_a_result_that_cannot_be_written_leaves_it_unknown(
    place: Books, ledger: Ledger[Any]
) -> None:
    bank = Bank()

    async def charge(key: str) -> Any:
        return object()

    bank.charge = charge  # type: ignore[method-assign]
    await fails_with(network(bank, ledger), NotSerializable)

    assert place.entries() == [("charge", "started")]


async def test_a_sync_handler_has_it_at_once(tmp_path: Path) -> None:
    keys: list[str] = []
    answers: list[Any] = []
    till = neuron("till", {})

    def charge(key: str) -> int:
        keys.append(key)
        if len(keys) == 1:
            raise Broken
        return 5

    @till.dendrite(order)
    def on_order(n: int, axon: Any, ctx: Ctx) -> None:
        answers.append(ctx.once("charge", charge, reconcile=lambda key: None))

    async with Books("sqlite", tmp_path, None).open() as ledger:
        cns = CNS([till], resources=[LEDGER.of(ledger)])
        with pytest.raises(StimulationFailed):
            await attempt(cns, 1, results=())
        for _ in range(2):
            await attempt(cns, 1, results=())

    assert (answers, len(keys), len(set(keys))) == ([5, 5], 2, 1)


async def test_a_sync_handler_cannot_await_a_ledger(tmp_path: Path, postgres_schema: str) -> None:
    till = neuron("till", {})
    till.dendrite(order, lambda n, axon, ctx: ctx.once("charge", lambda key: 1))
    with new_books("psycopg-async", tmp_path, postgres_schema) as place:
        async with place.open() as ledger:
            with pytest.raises(StimulationFailed) as caught:
                await attempt(CNS([till], resources=[LEDGER.of(ledger)]), 1, results=())

    assert isinstance(caught.value.failed_tasks[0].error, WrongLedger)


async def test_in_a_plain_run_it_is_just_called(place: Books, ledger: Ledger[Any]) -> None:
    bank = Bank()
    for _ in range(2):
        await network(bank, ledger).stimulate(order.create_signal(1))

    assert len(set(bank.keys)) == 2
    assert place.entries() == []


@pytest.mark.parametrize("options", [{"unknown": "ignore"}, {"name": ""}], ids=["unknown", "name"])
async def test_options_are_checked(tmp_path: Path, options: dict[str, Any]) -> None:
    till = neuron("till", {})

    @till.dendrite(order)
    async def on_order(n: int, axon: Any, ctx: Ctx) -> None:
        async def charge(key: str) -> None: ...

        await ctx.once(**{"name": "charge", "fn": charge, **options})

    async with Books("sqlite", tmp_path, None).open() as ledger:
        with pytest.raises(StimulationFailed) as caught:
            await attempt(CNS([till], resources=[LEDGER.of(ledger)]), 1, results=())

    assert isinstance(caught.value.failed_tasks[0].error, InvalidOption)


async def test_without_a_ledger_it_says_which_resource_is_missing() -> None:
    with pytest.raises(StimulationFailed) as caught:
        await CNS([Bank().till()]).stimulate(order.create_signal(1))

    assert isinstance(caught.value.failed_tasks[0].error, UnknownResource)
    assert "'ledger'" in str(caught.value.failed_tasks[0].error)


async def test_two_effects_of_one_activation_are_two(ledger: Ledger[Any]) -> None:
    keys: list[str] = []
    till = neuron("till", {})

    @till.dendrite(order)
    async def on_order(n: int, axon: Any, ctx: Ctx) -> None:
        async def effect(key: str) -> None:
            keys.append(key)

        await asyncio.gather(ctx.once("charge", effect), ctx.once("mail", effect))
        await ctx.once("charge", effect)

    await attempt(CNS([till], resources=[LEDGER.of(ledger)]), 1, results=())

    assert sorted(key.partition("-")[2] for key in keys) == ["charge", "mail"]
