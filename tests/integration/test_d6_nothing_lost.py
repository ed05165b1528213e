"""D6: every accepted job ends completed, dead-lettered with its error and progress, or waiting."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest

from cnstra import CNS, Collateral, Queue, collateral, neuron, run_durably
from cnstra.durable.store import Patch, Ticket
from cnstra.errors import BrokerUnavailable, StimulationFailed
from cnstra.jobs.broker import NewJob
from cnstra.jobs.settlement import Completed, DeadLettered, Requeued
from tests.durables import (
    PATIENCE,
    AbsentStore,
    BrokerAround,
    CarryingBroker,
    StoreAround,
    Story,
    around,
    drain,
    entry,
    later,
    middle,
    output,
    receive,
    record_of,
    until,
    with_store,
    working,
)

BAD_DATA = {
    "no JSON": b"{",
    "no text": b"\xff\xfe",
    "nothing": b"",
    "a number": b"7",
    "a list": b"[]",
    "no signal": b"{}",
    "a null signal": b'{"signal": null}',
    "a signal without a name": b'{"signal": {"payload": 7}}',
    "a name that is no text": b'{"signal": {"collateralName": 7}}',
    "too deep": b"[" * 200_000,
}


@pytest.mark.parametrize("data", BAD_DATA.values(), ids=BAD_DATA)
async def test_undecodable_job_data_is_dead_lettered_and_the_worker_goes_on(
    url: str, data: bytes
) -> None:
    story = Story()
    async with Queue("q", url) as queue:
        await enqueue_raw(queue, "bad", data)
        good = await queue.enqueue(entry.create_signal(7))

        await drain(queue, story.chain())

        bad = await record_of(queue, "bad")
        assert (bad.state, bad.error["name"]) == ("dead", "UndecodableJob")
        assert "collateralName" in bad.error["message"]
        assert await good.result(timeout=PATIENCE) == {"results": [7]}


BAD_SIGNALS: dict[str, tuple[dict[str, Any], str, str]] = {
    "unknown collateral": ({"collateralName": "entri"}, "UnknownCollateral", "mean 'entry'"),
    "wrong type": ({"collateralName": "entry", "payload": "x"}, "InvalidPayload", "'entry'"),
    "missing payload": ({"collateralName": "entry"}, "InvalidPayload", "'entry'"),
    "null payload": ({"collateralName": "entry", "payload": None}, "InvalidPayload", "int"),
}


@pytest.mark.parametrize(("signal", "name", "part"), BAD_SIGNALS.values(), ids=BAD_SIGNALS)
async def test_a_signal_that_the_graph_does_not_take_is_dead_lettered(
    url: str, signal: dict[str, Any], name: str, part: str
) -> None:
    async with Queue("q", url) as queue:
        job = await queue.enqueue(signal, max_attempts=5)
        await drain(queue, Story().chain())
        record = await record_of(queue, job.id)

    assert (record.state, record.error["name"]) == ("dead", name)
    assert part in record.error["message"]


async def test_a_neuron_that_a_deploy_removed_keeps_its_job_and_progress(url: str) -> None:
    story = Story()
    story.fails("second", 1)
    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(7), max_attempts=3, backoff=3600.0)
        cns = story.chain()
        async with working(queue, cns):
            await until(lambda: _in_state(queue, job.id, "delayed"))
        await queue.cancel(job.id)
        await job.redrive()
        without = CNS([story.step("first", entry, middle), story.step("new", later, output)])

        async with working(queue, without):
            await until(lambda: _in_state(queue, job.id, "dead"))

        dead = await record_of(queue, job.id)
        assert (dead.state, dead.error["name"]) == ("dead", "UnknownNeuron")
        assert "'second'" in dead.error["message"]
        progress = await queue.progress(job.id)
        assert progress is not None
        assert [task.neuron for _, task in progress.tasks()] == ["second"]

        await job.redrive()  # once the neuron is back
        async with working(queue, story.chain()):
            assert await job.result(timeout=PATIENCE) == {"results": [7]}
        assert story.count("first") == 1


BAD_PROGRESS = {
    "a newer version": ({"m": b'{"v":2}'}, "ProgressTooNew", "upgrade this worker"),
    "no JSON": ({"m": b"{"}, "ProgressUnreadable", "'m'"),
    "no head": ({"t/00": b"{}"}, "ProgressUnreadable", "'m'"),
    "a broken task": ({"m": b"{}", "t/00": b"{}"}, "ProgressUnreadable", "t/00"),
    "a broken key": (
        {"m": b"{}", "t/zz": b'{"n":"first","c":"entry","p":1,"i":0}'},
        "ProgressUnreadable",
        "zz",
    ),
    "a broken path": (
        {"m": b"{}", "t/00": b'{"n":"first","c":"entry","p":1,"i":0,"l":"x"}'},
        "ProgressUnreadable",
        "'x'",
    ),
    "a broken payload": (
        {"m": b"{}", "t/00": b'{"n":"first","c":"entry","p":"seven","i":0}'},
        "InvalidPayload",
        "'entry'",
    ),
    "a broken error": (
        {"m": b"{}", "t/00": b'{"n":"first","c":"entry","p":1,"i":0}', "e/00": b"7"},
        "ProgressUnreadable",
        "e/00",
    ),
    "a broken context": ({"m": b"{}", "c/first": b"{"}, "ProgressUnreadable", "c/first"),
    "a broken result": ({"m": b"{}", "r/00": b"[]"}, "ProgressUnreadable", "r/00"),
    "a broken counter": (
        {"m": b"{}", "t/00": b'{"n":"first","c":"entry","p":1,"i":0}', "s/00": b'"x"'},
        "ProgressUnreadable",
        "s/00",
    ),
}


@pytest.mark.parametrize(("entries", "name", "part"), BAD_PROGRESS.values(), ids=BAD_PROGRESS)
async def test_progress_that_cannot_be_read_is_dead_lettered_and_kept(
    url: str, entries: dict[str, bytes], name: str, part: str
) -> None:
    story = Story()
    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(7), max_attempts=3)
        await leave(queue, entries)
        good = await queue.enqueue(entry.create_signal(8))

        await drain(queue, story.chain())

        dead = await record_of(queue, job.id)
        assert (dead.state, dead.error["name"]) == ("dead", name)
        assert part in dead.error["message"]
        progress = await queue.progress(job.id)
        assert progress is not None
        assert progress.entries == entries
        assert await good.result(timeout=PATIENCE) == {"results": [8]}


async def leave(queue: Queue, entries: dict[str, bytes]) -> None:
    """Be a worker that writes this of the next job, and gives it back."""
    store = queue.store
    assert store is not None
    held = await receive(queue)
    saved = await queue.io.call(lambda: store.load(held.run))
    first, last = (Ticket(held.run, saved.epoch, saved.seq + number) for number in (1, 2))
    await queue.io.call(lambda: store.commit(first, Patch(entries)))
    await queue.io.call(lambda: queue.broker.settle(held, Requeued(None), last))


class Point(NamedTuple):
    x: float
    y: float


class Evil:
    """Its own code fails while it is written down."""

    def model_dump(self, **_: Any) -> Any:
        raise KeyError("evil")


def _loop() -> Any:
    made: list[Any] = []
    made.append(made)
    return made


UNFIT: dict[str, Callable[[], Any]] = {
    "an object": object,
    "a lock": asyncio.Lock,
    "not a number": lambda: float("nan"),
    "infinity, deep inside": lambda: {"a": [1, {"b": float("-inf")}]},
    "a NamedTuple with a NaN": lambda: Point(float("nan"), 1.0),
    "half a surrogate": lambda: "\ud800",
    "a loop": _loop,
    "an object whose code fails": Evil,
}


@pytest.mark.parametrize("make", UNFIT.values(), ids=UNFIT)
async def test_a_payload_that_cannot_be_written_fails_its_activation(
    url: str, make: Callable[[], Any]
) -> None:
    """It is named, with the way out; the other branches go on, and the job ends."""
    anything: Collateral[Any] = collateral("anything")
    story = Story()
    cns = CNS([
        neuron("unfit", {"anything": anything}).dendrite(
            entry, lambda _, axon: axon.anything.create_signal(make())
        ),
        neuron("sink").dendrite(anything, print),
        story.step("fit", entry, output),
    ])  # fmt: skip
    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(7))
        await asyncio.wait_for(drain(queue, cns), PATIENCE)
        dead = await record_of(queue, job.id)

        assert (dead.state, dead.error["name"]) == ("dead", "NotSerializable")
        assert "'anything'" in dead.error["message"]
        assert "ctx.cns.stimulate" in dead.error["message"]
        assert story.count("fit") == 1
        progress = await queue.progress(job.id)
        assert progress is not None
        assert [task.neuron for _, task in progress.tasks()] == ["unfit"]


async def test_a_payload_that_is_not_of_its_type_fails_its_activation(url: str) -> None:
    cns = CNS([
        neuron("wrong", {"middle": middle}).dendrite(
            entry, lambda _, axon: axon.middle.create_signal("seven")
        ),
        neuron("sink").dendrite(middle, print),
    ])  # fmt: skip
    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(7))
        await drain(queue, cns, results=[])
        dead = await record_of(queue, job.id)
    assert (dead.state, dead.error["name"]) == ("dead", "InvalidPayload")
    assert "'middle'" in dead.error["message"]


@dataclass
class Order:
    total: int

    def __post_init__(self) -> None:
        assert self.total >= 0, "a negative total"


@pytest.mark.parametrize("coroutine", [False, True])
async def test_a_payload_whose_own_code_refuses_it_fails_its_activation(
    url: str, coroutine: bool
) -> None:
    orders = collateral("orders", Order)

    def emit(payload: int, axon: Any) -> Any:
        order = Order(payload)
        order.total -= 9
        return axon.orders.create_signal(order)

    async def emit_later(payload: int, axon: Any) -> Any:
        return emit(payload, axon)

    cns = CNS([
        neuron("emit", {"orders": orders}).dendrite(entry, emit_later if coroutine else emit),
        neuron("sink").dendrite(orders, print),
    ])  # fmt: skip
    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(7), max_attempts=2)
        await drain(queue, cns, results=[])
        dead = await record_of(queue, job.id)
    assert (dead.state, dead.error["name"]) == ("dead", "InvalidPayload")
    assert "AssertionError('a negative total" in dead.error["message"]
    assert dead.attempts_made == 2


class Mute(Exception):
    def __str__(self) -> str:
        raise AttributeError("it has had no response")


ODD_ERRORS: dict[str, Exception] = {
    "half a surrogate": ValueError("no such file: caf\udce9.txt"),
    "its own code fails": Mute(),
}


@pytest.mark.parametrize("error", ODD_ERRORS.values(), ids=ODD_ERRORS)
@pytest.mark.parametrize("coroutine", [False, True])
async def test_an_error_of_any_text_ends_its_attempt(
    url: str, error: Exception, coroutine: bool
) -> None:
    calls: list[int] = []

    def fail(payload: int) -> None:
        calls.append(payload)
        raise error

    async def fail_later(payload: int) -> None:
        fail(payload)

    cns = CNS([neuron("bad").dendrite(entry, fail_later if coroutine else fail)])
    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(7), max_attempts=2)
        await drain(queue, cns, results=[])
        dead = await record_of(queue, job.id)
    assert (dead.state, dead.error["name"], calls) == ("dead", type(error).__name__, [7, 7])


async def test_a_run_alone_with_an_error_of_any_text_ends(url: str) -> None:
    def fail(payload: int) -> None:
        raise ODD_ERRORS["half a surrogate"]

    cns = CNS([neuron("bad").dendrite(entry, fail)])
    with pytest.raises(StimulationFailed, match="no such file"):
        await asyncio.wait_for(
            run_durably(cns, entry.create_signal(7), key="k", store=url), PATIENCE
        )


async def test_a_signal_that_cannot_be_written_is_not_enqueued(url: str) -> None:
    async with Queue("q", url) as queue:
        with pytest.raises(Exception, match="'anything'"):
            await queue.enqueue(collateral("anything").create_signal(object()))
        with pytest.raises(Exception, match="is no signal"):
            await queue.enqueue({"payload": 7})
        assert sum((await queue.counts()).values()) == 0


# --- stores and brokers that are away


@pytest.mark.parametrize("durability", ["behind", "step"])
async def test_a_store_that_comes_back_in_time_costs_nothing(
    url: str, durability: Any, caplog: pytest.LogCaptureFixture
) -> None:
    story = Story()
    story.stands("third")
    async with Queue("q", url) as queue:
        store: AbsentStore = with_store(queue, AbsentStore)
        store.away = True
        job = await queue.enqueue(entry.create_signal(7))
        async with working(queue, story.chain(), durability=durability):
            await until(lambda: store.refused >= 3)
            store.away = False
            story.opens("third")
            assert await job.result(timeout=PATIENCE) == {"results": [7]}
        assert (await record_of(queue, job.id)).attempts_made == 0
    assert [name for name, _ in story.log] == ["first", "second", "third"]
    assert "Next try in" in caplog.text or "waits for its store" in caplog.text


async def test_a_store_that_stays_away_is_tried_until_the_lease_is_lost(url: str) -> None:
    """Then the run ends, and another attempt goes on from what had landed."""
    story = Story()
    entered = story.stands("second")
    async with Queue("q", url) as queue:
        store: AbsentStore = with_store(queue, AbsentStore)
        broker = around(queue, lambda inner: AbsentBroker(inner, queue.store))
        job = await queue.enqueue(entry.create_signal(7))
        async with working(queue, story.chain(), durability="step", lease=1.0) as worker:
            await asyncio.wait_for(entered.wait(), PATIENCE)
            store.away = broker.away = True
            story.opens("second")
            await until(lambda: store.refused >= 1)
            await until(lambda: not worker._tasks)
            assert story.count("third") == 0
            store.away = broker.away = False
            assert await job.result(timeout=PATIENCE) == {"results": [7]}
        assert (await record_of(queue, job.id)).attempts_made == 0
    assert [name for name, _ in story.log] == ["first", "second", "second", "third"]


async def test_a_job_whose_task_somebody_cancels_goes_on_when_its_lease_is_over(url: str) -> None:
    """The worker neither waits for it for ever nor keeps its lease."""
    story = Story()
    entered = story.stands("second")
    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(7))
        async with working(queue, story.chain(), durability="step", lease=1.0) as worker:
            await asyncio.wait_for(entered.wait(), PATIENCE)
            for task in worker._tasks.values():
                assert task is not None
                task.cancel()
            await until(lambda: not worker._tasks)
            story.opens("second")
            assert await job.result(timeout=PATIENCE) == {"results": [7]}
    assert [name for name, _ in story.log] == ["first", "second", "second", "third"]


def test_a_handler_that_ends_the_program_leaves_its_job_to_the_next(url: str) -> None:
    story = Story()

    def leave(payload: int) -> None:
        raise SystemExit(f"out of paper at {payload}")

    leaving = CNS([story.step("first", entry, middle), neuron("second").dendrite(middle, leave)])

    async def work(cns: CNS) -> None:
        async with Queue("q", url) as queue:
            await queue.enqueue(entry.create_signal(7), job_id="order")
            await drain(queue, cns, durability="step", lease=1.0, results=())
            assert (await record_of(queue, "order")).state == "completed"

    with pytest.raises(SystemExit, match="out of paper at 7"):
        asyncio.run(work(leaving))
    mended = CNS([story.step("first", entry, middle), story.step("second", middle, output)])
    asyncio.run(work(mended))

    assert story.log == [("first", 7), ("second", 7)]


class AbsentBroker(BrokerAround):
    away = False

    async def renew(self, deliveries: Any, lease: float) -> Any:
        if self.away:
            raise BrokerUnavailable(url="test://", reason="a test took it away")
        return await self.inner.renew(deliveries, lease)

    async def receive(self, limit: int, **options: Any) -> Any:
        if self.away:
            await asyncio.sleep(0.01)
            raise BrokerUnavailable(url="test://", reason="a test took it away")
        return await self.inner.receive(limit, **options)

    async def settle(self, delivery: Any, settlement: Any, ticket: Any, *_: Any) -> None:
        if self.away:
            raise BrokerUnavailable(url="test://", reason="a test took it away")
        await self.inner.settle(delivery, settlement, ticket)


async def test_a_broker_that_is_away_is_told_when_it_is_back(url: str) -> None:
    story = Story()
    story.stands("third")
    async with Queue("q", url) as queue:
        broker: AbsentBroker = around(queue, AbsentBroker)
        job = await queue.enqueue(entry.create_signal(7))
        async with working(queue, story.chain()) as worker:
            await until(lambda: story.count("third") == 1)
            broker.away = True
            story.opens("third")
            await until(lambda: not worker._tasks)
            await asyncio.sleep(0.05)
            assert await job.state() == "active"
            broker.away = False
            assert await job.result(timeout=PATIENCE) == {"results": [7]}


async def test_a_store_apart_that_is_away_finishes_no_job_falsely(url: str) -> None:
    """On a broker without a store of its own: loading, writing and finishing wait for it."""
    story = Story()
    async with Queue("q", url) as queue:
        store = AbsentStore(queue.broker.store)  # type: ignore[arg-type]
        queue._own_store = store
        around(queue, CarryingBroker)
        story.stands("third")
        store.away = True
        job = await queue.enqueue(entry.create_signal(7))
        async with working(queue, story.chain(), durability="exit"):
            await until(lambda: store.refused >= 2)
            assert story.log == []
            store.away = False
            await until(lambda: story.count("third") == 1)
            store.away, refused = True, store.refused
            story.opens("third")
            await until(lambda: store.refused > refused)
            assert await job.state() == "active"
            store.away = False
            assert await job.result(timeout=PATIENCE) == {"results": [7]}
    assert [name for name, _ in story.log] == ["first", "second", "third"]


async def test_a_worker_that_waits_for_its_store_can_be_stopped(url: str) -> None:
    async with Queue("q", url) as queue:
        store = AbsentStore(queue.broker.store)  # type: ignore[arg-type]
        queue._own_store = store
        around(queue, CarryingBroker)
        store.away = True
        job = await queue.enqueue(entry.create_signal(7))
        async with working(queue, Story().chain()):
            await until(lambda: store.refused >= 1)
        given_back = await record_of(queue, job.id)
    assert (given_back.state, given_back.attempts_made) == ("waiting", 0)


async def test_what_a_store_refuses_for_good_is_dead_lettered_with_the_reason(url: str) -> None:
    """Progress over its limit, say."""
    story = Story()

    class Narrow(StoreAround):
        async def commit(self, ticket: Ticket, patch: Patch) -> None:
            if any(b"second" in value for value in patch.puts.values()):
                raise ValueError("too large for this store")
            await super().commit(ticket, patch)

    async with Queue("q", url) as queue:
        with_store(queue, Narrow)
        job = await queue.enqueue(entry.create_signal(7), max_attempts=3)
        await drain(queue, story.chain(), durability="step")
        dead = await record_of(queue, job.id)

    assert (dead.state, dead.error["message"]) == ("dead", "too large for this store")
    assert story.count("second") == 0


@pytest.mark.parametrize("carries", [False, True])
async def test_a_run_that_cannot_be_encoded_is_dead_lettered_with_the_reason(
    url: str, carries: bool
) -> None:
    """Names that no JSON holds, say: neither the store's writes nor the progress of the job can."""
    odd: Collateral[int] = collateral("\ud800", int)
    cns = CNS([
        neuron("first", {"odd": odd}).dendrite(
            entry, lambda payload, axon: axon.odd.create_signal(payload)
        ),
        neuron("second").dendrite(odd, print),
    ])  # fmt: skip
    async with Queue("q", url) as queue:
        if carries:
            queue._own_store = queue.broker.store
            around(queue, CarryingBroker)
        job = await queue.enqueue(entry.create_signal(7))
        await drain(queue, cns, durability="step", results=[])
        dead = await record_of(queue, job.id)
    assert (dead.state, dead.error["name"]) == ("dead", "UnicodeEncodeError")


async def test_a_settlement_that_the_broker_refuses_is_dead_lettered_with_the_reason(
    url: str,
) -> None:
    """A result over its limit, say."""
    story = Story()

    class Narrow(BrokerAround):
        async def settle(
            self, delivery: Any, settlement: Any, ticket: Any, ahead: Any = None
        ) -> None:
            if isinstance(settlement, Completed) and b"7" in settlement.result:
                raise ValueError("too large for this broker")
            if isinstance(settlement, DeadLettered) and settlement.progress:
                raise ValueError("too large for this broker")
            await self.inner.settle(delivery, settlement, ticket)

    async with Queue("q", url) as queue:
        around(queue, Narrow)
        bad = await queue.enqueue(entry.create_signal(7))
        good = await queue.enqueue(entry.create_signal(8))
        await drain(queue, story.chain())
        dead = await record_of(queue, bad.id)
        assert (dead.state, dead.error["message"]) == ("dead", "too large for this broker")
        assert await good.result(timeout=PATIENCE) == {"results": [8]}


async def test_a_broker_that_misbehaves_does_not_stop_the_worker(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    story = Story()
    story.stands("third")
    faults = {"receive": 2, "renew": 2}

    class Faulty(BrokerAround):
        def _fail(self, what: str) -> None:
            if faults[what]:
                faults[what] -= 1
                raise RuntimeError(f"a fault in {what}")

        async def receive(self, limit: int, **options: Any) -> Any:
            self._fail("receive")
            return await self.inner.receive(limit, **options)

        async def renew(self, deliveries: Any, lease: float) -> Any:
            self._fail("renew")
            return await self.inner.renew(deliveries, lease)

    async with Queue("q", url) as queue:
        around(queue, Faulty)
        job = await queue.enqueue(entry.create_signal(7))
        async with working(queue, story.chain(), lease=1.5):
            await until(lambda: not any(faults.values()))
            story.opens("third")
            assert await job.result(timeout=PATIENCE) == {"results": [7]}
    assert "a fault in receive" in caplog.text
    assert "a fault in renew" in caplog.text


async def test_a_listener_that_raises_does_not_fail_the_job(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR, "cnstra.durable")
    cns = Story().chain()

    def listen(response: Any) -> None:
        raise RuntimeError("a listener's own")

    cns.add_response_listener(listen)
    async with Queue("q", url) as queue:
        job = await queue.enqueue(entry.create_signal(7))
        await drain(queue, cns)
        assert await job.result(timeout=PATIENCE) == {"results": [7]}
    assert "the run itself goes on" in caplog.text


async def test_a_carried_progress_is_written_whole_to_a_store_that_has_none(url: str) -> None:
    """Its store is new: a crash after the first checkpoint must not lose the other branches."""
    story = Story()
    story.fails("branch", 3)
    async with Queue("q", url) as queue:
        around(queue, CarryingBroker)
        job = await queue.enqueue(entry.create_signal(0), max_attempts=2, backoff=3600.0)
        worker = working(queue, story.bush(3), durability="exit", results=[])
        async with worker:
            await until(lambda: _in_state(queue, job.id, "delayed"))
        (carried,) = queue.broker.carried.values()  # type: ignore[attr-defined]

    async with Queue("other", url) as queue:
        store = StoreAround(queue.broker.store)  # type: ignore[arg-type]
        queue._own_store = store
        broker: CarryingBroker = around(queue, CarryingBroker)
        await enqueue_raw(queue, "moved", b'{"signal":{"collateralName":"entry","payload":0}}')
        broker.carried["moved"] = carried
        await drain(queue, story.bush(3), durability="step")

        first = store.commits[0][1].puts
        assert len([key for key in first if key.startswith("t/")]) >= 3
        assert story.count("fan") == 1
        record = await record_of(queue, "moved")
        assert record.result == b'{"results":[0,1,2]}'


async def _in_state(queue: Queue, job_id: str, state: str) -> bool:
    return (await record_of(queue, job_id)).state == state


async def enqueue_raw(queue: Queue, job_id: str, data: bytes) -> None:
    await queue.open()
    job = NewJob(job_id, data, f"run of {job_id}")
    await queue.io.call(lambda: queue.broker.enqueue([job]))
