"""A transactional step is done once: its rows, its outputs and its jobs, on each database."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cnstra import CNS, Context, Queue, StimulationFailed, Worker, collateral, neuron, run_durably
from cnstra.effects import Transaction, ddl, on_sqlite, transactional
from cnstra.errors import (
    DuplicateKey,
    HandlerCommitted,
    InputChanged,
    LedgerBusy,
    LedgerMissing,
    NotOnAxon,
    NotSerializable,
    WrongLedger,
)
from tests.durables import Broken, StoreAround, store_at
from tests.ledgers import KINDS, ON_SQLITE, Books, attempt, booked, books, new_books, order

Ctx = Context[Any]
Tx = Transaction[Any]


every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(params=["sqlite", "psycopg-async", "engine"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def place(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Books]:
    schema = None
    if kind not in ON_SQLITE:
        schema = request.getfixturevalue("postgres_schema")
    with new_books(kind, tmp_path, schema) as found:
        yield found


@pytest.fixture
def file(tmp_path: Path) -> Books:
    """Where one kind of database is as good as another."""
    return Books("sqlite", tmp_path, None)


def body_of(place: Books, function: Any) -> Any:
    """The function as the body of a handler of that database."""

    async def awaited(*arguments: Any) -> Any:
        return function(*arguments)

    return awaited if place.awaited else function


def error_of(caught: Any) -> BaseException:
    found: BaseException = caught.value.failed_tasks[0].error
    return found


@every_kind
async def test_an_attempt_that_finds_it_done_emits_what_it_emitted(place: Books) -> None:
    async with place.open() as ledger:
        cns = place.cns(ledger)
        first = await attempt(cns, 1)

        assert await attempt(cns, 1) == first == [2]

    assert (place.rows(), place.calls) == ([1], 1)
    assert place.entries() == [(None, "done")]


@every_kind
async def test_a_handler_that_raises_takes_all_of_it_back(place: Books) -> None:
    def fail(n: int, axon: Any, ctx: Ctx, tx: Tx) -> None:
        if place.calls == 1:
            raise Broken

    async with place.open() as ledger:
        cns = place.cns(ledger, body_of(place, fail))
        with pytest.raises(StimulationFailed) as caught:
            await attempt(cns, 1)

        assert isinstance(error_of(caught), Broken)
        assert (place.rows(), place.entries()) == ([], [])

        assert await attempt(cns, 1) == [3]
    assert place.rows() == [1]


@every_kind
async def test_of_two_copies_at_once_one_does_it_and_both_emit_it(place: Books) -> None:
    async def wait(*_: Any) -> None:
        await asyncio.sleep(0.05)

    async with place.open() as ledger:
        cns = place.cns(ledger, wait if place.awaited else None)

        outcomes = await asyncio.gather(*(attempt(cns, 1) for _ in range(3)))

    assert outcomes == [[2]] * 3
    assert (place.rows(), place.calls) == ([1], 1)


async def test_two_copies_of_which_one_fails(place: Books) -> None:
    """The second waits for the first, which rolls back, and then does it."""

    def fail(n: int, axon: Any, ctx: Ctx, tx: Tx) -> None:
        if place.calls == 1:
            raise Broken

    async with place.open() as ledger:
        cns = place.cns(ledger, body_of(place, fail))

        outcomes = await asyncio.gather(attempt(cns, 1), attempt(cns, 1), return_exceptions=True)

    assert [3] in outcomes
    assert place.rows() == [1]


async def test_activations_of_their_own_are_done_each(place: Books) -> None:
    async with place.open() as ledger:
        cns = place.cns(ledger)
        for n in range(3):
            await attempt(cns, n, key=f"run-{n}")

    assert place.rows() == [0, 1, 2]


async def test_what_it_left_in_its_context_is_left_again(place: Books) -> None:
    seen: list[Any] = []

    def count(n: int, axon: Any, ctx: Ctx, tx: Tx) -> None:
        ctx.set(41)

    async with place.open() as ledger:
        cns = place.cns(ledger, body_of(place, count))
        cns.add_response_listener(lambda it: seen.append(it.stimulation.context.get_all()))
        for _ in range(2):
            await attempt(cns, 1)

    assert [one for one in seen if one] == [{"clerk": 41}] * 2


async def test_an_interrupted_handler_is_taken_back(place: Books) -> None:
    started, release = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    async def wait(n: int, axon: Any, ctx: Ctx, tx: Tx) -> Any:
        started.set()
        await ctx.abort_signal.wait()
        return INTERRUPTED

    def wait_in_thread(n: int, axon: Any, ctx: Ctx, tx: Tx) -> Any:
        loop.call_soon_threadsafe(started.set)
        while not ctx.abort_signal.aborted:
            pass
        return INTERRUPTED

    async with place.open() as ledger, Queue("q", f"memory://int-{place.kind}") as queue:
        cns = _with_none(place, ledger, wait if place.awaited else wait_in_thread)
        await queue.enqueue(order.create_signal(1))
        worker = Worker(queue, cns)
        working = asyncio.ensure_future(worker.run())
        await started.wait()
        release.set()
        worker.stop()
        await working

        assert (await queue.counts())["waiting"] == 1
    assert (place.rows(), place.entries()) == ([], [])


INTERRUPTED = object()


def _with_none(place: Books, ledger: Any, body: Any) -> CNS:
    """A graph whose handler returns `None` where the body says that it was interrupted."""
    clerk = neuron("clerk", {"booked": booked})

    async def awaited(n: int, axon: Any, ctx: Ctx, tx: Tx) -> Any:
        await place.insert(tx, n)
        return None if await body(n, axon, ctx, tx) is INTERRUPTED else []

    def blocking(n: int, axon: Any, ctx: Ctx, tx: Tx) -> Any:
        place.insert(tx, n)
        return None if body(n, axon, ctx, tx) is INTERRUPTED else []

    handler: Any = transactional(books)(awaited if place.awaited else blocking)
    clerk.dendrite(order, handler, in_thread=not place.awaited)
    return CNS([clerk], resources=[books.of(ledger)])


async def test_a_handler_that_emits_nothing_is_done(place: Books) -> None:
    async with place.open() as ledger:
        cns = place.cns(ledger, body_of(place, lambda *_: []))

        assert [await attempt(cns, 1), await attempt(cns, 1)] == [[], []]

    assert (place.rows(), place.calls) == ([1], 1)


stranger = collateral("stranger", int)


@pytest.mark.parametrize(
    ("output", "error"),
    [
        ([booked.create_signal(1), stranger.create_signal(2)], NotOnAxon),
        ([booked.create_signal(1, key="k"), booked.create_signal(2, key="k")], DuplicateKey),
        ([booked.create_signal(object())], NotSerializable),  # type: ignore[arg-type]
        ([booked.create_signal("text")], Exception),  # type: ignore[arg-type]
    ],
)
async def test_what_cannot_be_emitted_is_not_committed(
    file: Books, output: Any, error: type[Exception]
) -> None:
    async with file.open() as ledger:
        cns = file.cns(ledger, lambda *_: output)
        with pytest.raises(StimulationFailed) as caught:
            await attempt(cns, 1)

    assert isinstance(error_of(caught), error)
    assert (file.rows(), file.entries()) == ([], [])


async def test_a_key_that_means_something_else_by_now_is_noticed(file: Books) -> None:
    async with file.open() as ledger:
        cns = file.cns(ledger)
        await attempt(cns, 1)
        with pytest.raises(StimulationFailed) as caught:
            await attempt(cns, 2)

    assert isinstance(error_of(caught), InputChanged)
    assert file.rows() == [1]


async def test_a_handler_that_commits_by_itself_is_found_out(file: Books) -> None:
    def commit(n: int, axon: Any, ctx: Ctx, tx: Tx) -> None:
        tx.connection.execute("COMMIT")
        raise Broken

    async with file.open() as ledger:
        cns = file.cns(ledger, commit)
        for error in (Broken, HandlerCommitted):
            with pytest.raises(StimulationFailed) as caught:
                await attempt(cns, 1)
            assert isinstance(error_of(caught), error)

        (unsettled,) = await ledger.unsettled()
        assert (unsettled.neuron, unsettled.effect) == ("clerk", None)


async def test_a_plain_run_has_a_transaction_and_no_more(place: Books) -> None:
    async with place.open() as ledger:
        cns = place.cns(ledger)
        for _ in range(2):
            await cns.stimulate(order.create_signal(1))

    assert (place.rows(), place.entries()) == ([1, 1], [])


async def test_an_inner_run_is_part_of_the_transaction(place: Books) -> None:
    """Its payload is the connection itself."""
    part = collateral("part", object)
    worker = neuron("worker", {})
    clerk = neuron("clerk", {"booked": booked})

    async def work(payload: Any) -> None:
        tx, n = payload
        await place.insert(tx, n)
        if n == 2:
            raise Broken

    def work_blocking(payload: Any) -> None:
        tx, n = payload
        place.insert(tx, n)
        if n == 2:
            raise Broken

    async def book(n: int, axon: Any, ctx: Ctx, tx: Tx) -> Any:
        for each in (10, n):
            await ctx.cns.stimulate(part.create_signal((tx, each)))
        return axon.booked.create_signal(n)

    def book_blocking(n: int, axon: Any, ctx: Ctx, tx: Tx) -> Any:
        for each in (10, n):
            ctx.cns.stimulate(part.create_signal((tx, each))).raise_for_failures()
        return axon.booked.create_signal(n)

    worker.dendrite(part, work if place.awaited else work_blocking)
    clerk.dendrite(order, transactional(books)(book if place.awaited else book_blocking))
    async with place.open() as ledger:
        cns = CNS([clerk, worker], resources=[books.of(ledger)])
        with pytest.raises(StimulationFailed):
            await attempt(cns, 2, key="fails")
        assert place.rows() == []

        assert [await attempt(cns, 1), await attempt(cns, 1)] == [[1], [1]]
    assert place.rows() == [1, 10]


async def test_a_step_inside_an_inner_run_is_done_once_too(file: Books) -> None:
    outer = neuron("outer", {"booked": booked})
    begin = collateral("begin", int)

    @outer.dendrite(begin)
    async def on_begin(n: int, axon: Any, ctx: Ctx) -> Any:
        await ctx.cns.stimulate(order.create_signal(n))
        return axon.booked.create_signal(n)

    async with file.open() as ledger:
        inner = file.cns(ledger)
        cns = CNS([outer, *inner.network.neurons.values()], resources=[books.of(ledger)])
        for store in ("memory://inner-1", "memory://inner-2"):
            await run_durably(cns, begin.create_signal(1), key="run", store=store)

        ((run,),) = file.entries("run")

    assert (file.rows(), file.calls, run) == ([1], 1, "run")


async def test_its_activation_is_saved_before_it_starts(file: Books) -> None:
    """So that its key means the same thing ever after."""
    saved: list[int] = []

    async with file.open() as ledger:
        store = StoreAround(store_at("memory://saved-before"))
        cns = file.cns(ledger, lambda *_: saved.append(len(store.commits)))
        signal = order.create_signal(1)
        await run_durably(cns, signal, key="run", store=store, durability="exit")

    assert saved == [1]


async def test_the_handler_and_the_database_must_go_together(
    tmp_path: Path, postgres_schema: str
) -> None:
    async def awaited(n: int, axon: Any, ctx: Ctx, tx: Tx) -> None: ...

    def blocking(n: int, axon: Any, ctx: Ctx, tx: Tx) -> None: ...

    for kind, handler, said in (
        ("sqlite", awaited, "make the handler a plain def"),
        ("psycopg-async", blocking, "make the handler async"),
    ):
        schema = postgres_schema if kind != "sqlite" else None
        with new_books(kind, tmp_path, schema) as place:
            async with place.open() as ledger:
                clerk = neuron("clerk", {}).dendrite(order, transactional(books)(handler))
                cns = CNS([clerk], resources=[books.of(ledger)])
                with pytest.raises(StimulationFailed) as caught:
                    await attempt(cns, 1, results=())

        assert isinstance(error_of(caught), WrongLedger)
        assert said in str(error_of(caught))


async def test_no_effect_may_start_inside_the_transaction(file: Books) -> None:
    def effect(n: int, axon: Any, ctx: Ctx, tx: Tx) -> None:
        ctx.once("charge", lambda key: None)

    async with file.open() as ledger:
        with pytest.raises(StimulationFailed) as caught:
            await attempt(file.cns(ledger, effect), 1)

    assert isinstance(error_of(caught), LedgerBusy)


async def test_without_its_tables_it_does_not_open(place: Books) -> None:
    with pytest.raises(LedgerMissing, match="create"):
        async with place.open(create=False):
            pass


async def test_the_tables_can_be_made_by_somebody_else(file: Books) -> None:
    for statement in ddl():
        file.execute(statement)

    async with on_sqlite(file.url) as ledger:
        assert await attempt(file.cns(ledger), 1) == [2]
