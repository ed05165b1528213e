"""What is kept of runs for people, and that keeping it does no harm."""

import asyncio
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import psycopg
import pytest

from cnstra import CNS, Collateral, Context, History, Queue, Signal, Worker, collateral, neuron
from cnstra.clock import SystemClock
from cnstra.durable.adapters import adapter_for
from cnstra.errors import InvalidOption, StoreUnavailable
from cnstra.history import writer
from cnstra.history.fingerprint import fingerprint
from cnstra.history.records import AttemptRow, Error, RunState, TaskRow
from cnstra.history.store import Batch, Bounds, HistoryStore, RunQuery

order = collateral("order", dict[str, Any])
reserved = collateral("reserved", dict[str, Any])
blob = collateral("blob", object)
receipt = collateral("receipt", dict[str, Any])


class StockAxon(NamedTuple):
    reserved: Collateral[dict[str, Any]]


class TillAxon(NamedTuple):
    receipt: Collateral[dict[str, Any]]


def shop(*, fails: int = 0) -> CNS:
    """Two steps, of which the second fails as often as told."""
    stock = neuron("stock", StockAxon(reserved), context=dict[str, int])
    till = neuron("till", TillAxon(receipt))
    failures = 0

    @stock.dendrite(order)
    async def reserve(
        payload: dict[str, Any], axon: StockAxon, ctx: Context[dict[str, int]]
    ) -> Signal[dict[str, Any]]:
        ctx.set({"seen": 1})
        return axon.reserved.create_signal(payload)

    @till.dendrite(reserved)
    async def charge(payload: dict[str, Any], axon: TillAxon) -> Signal[dict[str, Any]]:
        nonlocal failures
        failures += 1
        if failures <= fails:
            raise ConnectionError("no bank answers on port 8080")
        return axon.receipt.create_signal({**payload, "paid": True})

    return CNS([stock, till])


class LaterClock(SystemClock):
    """The system's clock, an hour later."""

    def time(self) -> float:
        return super().time() + 3600


@pytest.fixture(params=["sqlite", "postgres", "redis"])
def history_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/history.db"
        return
    if request.param == "redis":
        yield request.getfixturevalue("empty_redis").url
        return
    url: str = request.getfixturevalue("postgres_schema")
    yield url
    with psycopg.connect(url.partition("?")[0], autocommit=True) as connection:
        schema = f"{url.rpartition('schema=')[2]}_history".encode()
        connection.execute(b'DROP SCHEMA IF EXISTS "%b" CASCADE' % schema)


@pytest.fixture
def closed_store(history_url: str) -> HistoryStore:
    """A store that the history opens, on its own thread."""
    store: HistoryStore = adapter_for(history_url).history(history_url, SystemClock())
    return store


@pytest.fixture
async def store(closed_store: HistoryStore) -> AsyncIterator[HistoryStore]:
    await closed_store.open()
    yield closed_store
    await closed_store.close()


@pytest.fixture
async def queue() -> AsyncIterator[Queue]:
    async with Queue("orders", f"memory://{uuid4().hex}") as queue:
        yield queue


async def worked(queue: Queue, cns: CNS, history: History, **payload: Any) -> str:
    """The id of a job that was run to its end with that history."""
    job = await queue.enqueue(order.create_signal(payload), max_attempts=3)
    await Worker(queue, cns, history=history).run(until_idle=True)
    return job.id


async def test_a_run_is_kept_with_its_attempts_and_tasks(queue: Queue, history_url: str) -> None:
    history = History(history_url)

    job = await worked(queue, shop(fails=1), history, id=7)
    run = await history.newest_run("orders", job)
    assert run is not None
    story = await history.story(run)

    assert story is not None
    assert (story.run.job, story.run.state, story.run.attempts) == (job, "completed", 2)
    assert [(one.number, one.outcome) for one in story.attempts] == [
        (1, "retried"),
        (2, "completed"),
    ]
    first, second = (one.id for one in story.attempts)
    assert [(one.attempt, one.neuron, one.outcome) for one in story.tasks] == [
        (first, "stock", "done"),
        (first, "till", "failed"),
        (second, "till", "done"),
    ]
    stock, failed, done = story.tasks
    assert stock.input is not None
    assert stock.input.text == '{"id":7}'
    assert stock.context is not None
    assert stock.context.text == '{"seen":1}'
    assert stock.outputs[0].collateral == "reserved"
    assert stock.outputs[0].keys == (failed.key,) == (done.key,)
    assert failed.error is not None
    assert failed.error.name == "ConnectionError"
    assert "in charge" in failed.error.stack
    assert story.attempts[0].neuron == "till"
    assert done.outputs[0].payload is not None
    assert done.outputs[0].payload.text == '{"id":7,"paid":true}'
    assert all(one.seconds is not None and one.seconds >= 0 for one in story.tasks)
    await history.close()


async def test_a_worker_goes_on_without_a_history_that_was_closed(
    queue: Queue, history_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    history = History(history_url)
    await history.close()

    job = await worked(queue, shop(fails=0), history, id=7)

    found = await queue.record(job)
    assert found is not None
    assert found.state == "completed"
    assert "goes on without one" in caplog.text


async def test_what_ends_is_counted_by_neuron_and_minute(queue: Queue, history_url: str) -> None:
    history = History(history_url)

    await worked(queue, shop(fails=1), history, id=7)
    counted = await history.counted("orders", 60)
    minutes = await history.by_minute("orders", 60)

    totals: dict[tuple[str, str], int] = {}
    for one in counted:
        totals[one.neuron, one.outcome] = totals.get((one.neuron, one.outcome), 0) + one.times
    assert totals == {
        ("", "completed"): 1,
        ("", "retried"): 1,
        ("stock", "done"): 1,
        ("till", "done"): 1,
        ("till", "failed"): 1,
    }
    assert sum(minutes.values()) == 2
    await history.close()


async def test_tasks_of_an_inner_run_stand_under_their_task(queue: Queue, history_url: str) -> None:
    history = History(history_url)
    opener, reader = neuron("opener", {"blob": blob}), neuron("reader", {})

    @opener.dendrite(order)
    async def open_it(payload: object, axon: Any, ctx: Context[Any]) -> None:
        await ctx.cns.stimulate(axon.blob.create_signal(object()))

    @reader.dendrite(blob)
    async def read(payload: object) -> None: ...

    await worked(queue, CNS([opener, reader]), history, id=7)
    page = await history.runs(RunQuery("orders"))
    story = await history.story(page.runs[0].run)

    assert story is not None
    outer, inner = story.tasks
    assert (inner.neuron, inner.outer, inner.input) == ("reader", outer.key, None)
    await history.close()


async def test_a_worker_that_is_killed_leaves_its_attempt_cut_off(
    history_url: str, tmp_path: Path
) -> None:
    program = tmp_path / "app.py"
    program.write_text(
        textwrap.dedent(f"""
        import asyncio
        from cnstra import CNS, Queue, Worker, collateral, neuron
        order = collateral("order", dict)
        slow = neuron("slow", {{}})
        @slow.dendrite(order)
        async def wait(payload): await asyncio.sleep(100)
        queue = Queue("orders", "sqlite:///{tmp_path}/jobs.db")
        async def main():
            await queue.enqueue(order.create_signal({{"id": 1}}), job_id="one")
            await Worker(queue, CNS([slow]), history={history_url!r}).run()
        asyncio.run(main())
        """)
    )
    history = History(history_url)
    with subprocess.Popen([sys.executable, program]) as process:
        while not (run := await history.newest_run("orders", "one")):
            assert process.poll() is None
            await asyncio.sleep(0.05)
        alive = await history.story(run)
        running = await history.running("orders")
        workers = await history.workers()
        process.send_signal(signal.SIGKILL)

    later = History(history_url, clock=LaterClock())
    dead = await later.story(run)

    assert alive is not None
    assert [one.outcome for one in alive.attempts] == ["active"]
    assert running == {"slow": 1}
    assert [one.pid for one in workers] == [process.pid]
    assert dead is not None
    assert [one.outcome for one in dead.attempts] == ["cut off"]
    assert dead.run.state == "cut off"
    assert [(one.neuron, one.ended_at) for one in dead.tasks] == [("slow", None)]
    assert not await later.running("orders")
    assert not await later.workers()
    await history.close()
    await later.close()


class AwayStore:
    """A history's database that cannot be reached until it is told to be."""

    def __init__(self, store: HistoryStore, error: Exception) -> None:
        self._store = store
        self.error: Exception | None = error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def write(self, batch: Batch) -> None:
        if self.error is not None:
            raise self.error
        await self._store.write(batch)


AWAY = StoreUnavailable(url="sqlite:///history.db", reason="the disk is full")


@pytest.mark.parametrize("error", [AWAY, ZeroDivisionError("a bug")], ids=["away", "broken"])
async def test_a_history_that_cannot_be_written_fails_no_job(
    queue: Queue, closed_store: HistoryStore, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "LAST_FLUSH", 0.1)
    history = History(AwayStore(closed_store, error))

    job = await worked(queue, shop(), history, id=7)
    record = await queue.record(job)

    assert record is not None
    assert record.state == "completed"
    await history.close()


class StuckStore:
    """A database that never answers."""

    def __getattr__(self, name: str) -> Any:
        async def never(*arguments: Any) -> None:
            await asyncio.Event().wait()

        return never


@pytest.mark.parametrize(
    "place",
    ["redis://127.0.0.1:1", "postgresql://127.0.0.1:1/db", "sqlite:////nowhere/at/all.db", "stuck"],
)
async def test_a_database_that_nobody_reaches_fails_no_job_and_holds_none_up(
    queue: Queue, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "LAST_FLUSH", 0.1)
    store: Any = StuckStore()
    history = History(store if place == "stuck" else place)

    job = await worked(queue, shop(), history, id=7)  # the worker ends, too
    record = await queue.record(job)

    assert record is not None
    assert record.state == "completed"


async def test_what_waits_for_a_database_that_was_away_is_written(
    queue: Queue, closed_store: HistoryStore
) -> None:
    away = AwayStore(closed_store, AWAY)
    history = History(away)
    working = asyncio.create_task(worked(queue, shop(), history, id=7))
    await asyncio.sleep(0.1)
    away.error = None
    job = await working

    assert await history.newest_run("orders", job)
    await history.close()


async def test_what_there_is_no_room_for_is_dropped_and_counted(
    queue: Queue, closed_store: HistoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "MOST_WAITING", 1)
    history = History(closed_store)

    job = await worked(queue, shop(), history, id=7)
    run = await history.newest_run("orders", job)

    assert history.dropped == 1
    assert run is not None
    story = await history.story(run)
    assert story is not None
    assert story.run.state == "completed"
    await history.close()


@pytest.mark.parametrize(
    ("options", "kept", "size"),
    [
        ({"payloads": "whole"}, '{"card":"4111","note":"hello"}', 30),
        ({"payload_limit": 10}, '{"card":"4', 30),
        ({"payloads": "none"}, None, 30),
        ({"redact": ["CARD"]}, '{"card":"•••","note":"hello"}', 35),
        ({"redact": lambda name, payload: {name: len(payload)}}, '{"order":2}', 11),
        ({"redact": lambda name, payload: payload["missing"]}, None, 30),
    ],
    ids=["whole", "cut", "none", "names", "function", "function that raises"],
)  # fmt: skip
async def test_of_payloads_is_kept_what_was_told(
    queue: Queue, history_url: str, options: dict[str, Any], kept: str | None, size: int
) -> None:
    history = History(history_url, **options)

    await worked(queue, shop(), history, card="4111", note="hello")
    page = await history.runs(RunQuery("orders"))
    story = await history.story(page.runs[0].run)

    assert story is not None
    for payload in (story.run.payload, story.tasks[0].input):
        assert payload is not None
        assert (payload.text, payload.size) == (kept, size)
    await history.close()


@pytest.mark.parametrize(
    "options",
    [{"keep": 0}, {"keep_runs": 0}, {"keep_bytes": -1}, {"payloads": "some"}, {"redact": "card"}],
    ids=str,
)
def test_an_option_that_makes_no_sense_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption):
        History("sqlite:///history.db", **options)


def test_a_broker_that_keeps_no_history_says_where_to_keep_one() -> None:
    with pytest.raises(InvalidOption, match=r"sqlite:///history\.db"):
        History("memory://here")


# --- the store alone


def attempt(number: int, *, state: RunState = "completed", **fields: Any) -> AttemptRow:
    return AttemptRow(
        id=f"a{number}", run=f"r{number}", queue="orders", job=fields.pop("job", f"j{number:03}"),
        number=1, worker="w", created_at=number, started_at=number, ended_at=number + 0.5,
        collateral="order", outcome=state, **fields,
    )  # fmt: skip


def tasks_of(attempts: Sequence[AttemptRow], count: int) -> list[TaskRow]:
    return [
        TaskRow(
            one.id,
            f"k{number}",
            "stock",
            "order",
            1,
            one.started_at,
            one.started_at,
            "done",
            run=one.run,
            queue=one.queue,
            worker=one.worker,
        )
        for one in attempts
        for number in range(count)
    ]


async def pages(store: HistoryStore, **terms: Any) -> list[list[str]]:
    """The runs of each page, by following the cursors."""
    found: list[list[str]] = []
    cursor = ""
    while True:
        page = await store.runs(RunQuery("orders", cursor=cursor, limit=2, **terms))
        found.append([one.run for one in page.runs])
        cursor = page.next
        if not cursor:
            return found


async def test_runs_are_listed_in_pages_newest_first(store: HistoryStore) -> None:
    await store.write(Batch(attempts=[attempt(number) for number in range(1, 6)]))

    assert await pages(store) == [["r5", "r4"], ["r3", "r2"], ["r1"]]


async def test_runs_are_found_by_what_they_are(store: HistoryStore) -> None:
    bank = Error("ConnectionError", "port 1")
    await store.write(
        Batch(
            attempts=[
                attempt(1, job="user-1"),
                attempt(2, job="user-2", state="dead", error=bank, neuron="till"),
                attempt(3, job="other", state="retried", error=bank, neuron="stock"),
                attempt(4, job="user-3", state="active"),
                attempt(5, job="user-1"),
            ]
        )
    )

    print_of_bank = fingerprint("ConnectionError", "port 99")
    assert await pages(store, text="user-") == [["r5", "r1"], ["r2", "r4"]]
    assert await pages(store, states=("dead", "retried")) == [["r3", "r2"]]
    assert await pages(store, neuron="till") == [["r2"]]
    assert await pages(store, fingerprint=print_of_bank) == [["r3", "r2"]]
    assert await pages(store, since=4.0) == [["r5", "r4"]]
    assert await pages(store, text="user-", states=("completed",), since=2) == [["r5"]]
    assert await store.newest_run("orders", "user-1") == "r5"
    assert await store.newest_run("others", "user-1") is None


async def test_a_cursor_that_is_none_is_refused(store: HistoryStore) -> None:
    with pytest.raises(InvalidOption, match="first page"):
        await store.runs(RunQuery("orders", cursor="'; --"))


@pytest.mark.parametrize(
    ("bounds", "left"),
    [
        (Bounds(since=0.0, runs=3, bytes=10**9), ["r5", "r4", "r3"]),
        (Bounds(since=4.0, runs=100, bytes=10**9), ["r5", "r4"]),
        (Bounds(since=0.0, runs=100, bytes=2 * 1200), ["r5", "r4"]),
    ],
    ids=["count", "age", "bytes"],
)
async def test_the_oldest_runs_go_when_there_is_too_much(
    store: HistoryStore, bounds: Bounds, left: list[str]
) -> None:
    attempts = [attempt(number) for number in range(1, 6)]
    await store.write(Batch(attempts=attempts, tasks=tasks_of(attempts, 5)))

    while await store.prune(bounds):
        pass

    page = await store.runs(RunQuery("orders"))
    assert [one.run for one in page.runs] == left
    assert await store.story("r1") is None
