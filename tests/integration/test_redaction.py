"""What a history is told to redact is struck out wherever people look at what a broker holds."""

import json
from pathlib import Path
from typing import Any, TypedDict
from uuid import uuid4

import pytest
from mcp import Client

from cnstra import CNS, Context, History, Queue, Worker, collateral, neuron
from cnstra.cli.views import job_as_json, list_of, progress_as_json
from cnstra.engine.payloads import encode_json
from cnstra.jobs.broker import JobRecord
from cnstra.jobs.explanation import explain
from cnstra.jobs.redaction import Redaction
from cnstra.mcp import server_of


class Order(TypedDict):
    id: int
    card: str


order, paid = collateral("order", Order), collateral("paid", Order)
till = neuron("till", {"paid": paid}, context=dict)
post = neuron("post")


@till.dendrite(order)
async def on_order(payload: Order, axon: Any, ctx: Context[Any]) -> Any:
    ctx.set({"card": payload["card"]})
    return axon.paid.create_signal(payload)


@post.dendrite(paid)
async def on_paid(payload: Order) -> None:
    if payload["id"] == 13:
        raise ConnectionError("no stamps")


def worker_with(history: History) -> Worker:
    queue = Queue("orders", f"memory://{uuid4().hex}")
    return Worker(queue, CNS([till, post]), results=[paid], history=history)


async def run_two(worker: Worker) -> None:
    """A job that is completed, and one that dies half way."""
    for number in (1, 13):
        signal = order.create_signal({"id": number, "card": "4111"})
        await worker.queue.enqueue(signal, job_id=str(number))
    await worker.run(until_idle=True)


@pytest.mark.parametrize("told", [["CARD"], lambda name, payload: f"of {name}"])
async def test_it_is_struck_out_of_all_that_is_shown(told: Any, tmp_path: Path) -> None:
    worker = worker_with(History(f"sqlite:///{tmp_path}/history.db", redact=told))
    redaction = Redaction(worker.history)
    async with worker.queue as queue:
        await run_two(worker)
        shown: list[Any] = []
        for job_id in ("1", "13"):
            record, progress = await queue.record(job_id), await queue.progress(job_id)
            found = await explain(queue, job_id, worker.cns.network)
            assert record is not None
            assert found is not None
            shown += [job_as_json(record, redaction), progress_as_json(progress, redaction)]
            shown += [str(redaction.explanation(found)), str(list_of([record], redaction).columns)]
        async with Client(server_of(worker)) as client:
            for tool in ("jobs", "dead"):
                shown.append((await client.call_tool(tool, {})).structured_content)
            for tool in ("run", "explain"):
                answer = await client.call_tool(tool, {"job_id": "13"})
                shown.append(answer.structured_content)
        assert worker.history is not None
        await worker.history.close()

    told_all = json.dumps(shown, default=str, ensure_ascii=False)
    assert "4111" not in told_all
    assert "•••" in told_all or "of paid" in told_all


async def test_without_a_redaction_all_is_shown(tmp_path: Path) -> None:
    worker = worker_with(History(f"sqlite:///{tmp_path}/history.db"))
    async with worker.queue as queue:
        await run_two(worker)
        record = await queue.record("13")
        assert worker.history is not None
        await worker.history.close()

    assert record is not None
    assert Redaction(worker.history).record(record) is record
    assert job_as_json(record, Redaction(None))["signal"]["payload"]["card"] == "4111"


def held(data: bytes) -> JobRecord:
    return JobRecord("x", "dead", data, "run", attempts_made=0, max_attempts=1, created_at=0.0)


def test_what_is_no_signal_is_left_out() -> None:
    """Nobody knows which names stand in it."""
    history = History("sqlite:///history.db", redact=["card"])

    assert job_as_json(held(b"card=4111"), Redaction(history))["data"] == '"(left out)"'
    assert job_as_json(held(b"card=4111"), Redaction(None))["data"] == "card=4111"


def test_other_fields_of_a_signal_stay() -> None:
    history = History("sqlite:///history.db", redact=["card"])
    wire = {"collateralName": "order", "payload": {"card": "4111", "id": 1}, "v": 2}

    signal = job_as_json(held(encode_json({"signal": wire})), Redaction(history))["signal"]

    assert signal == {**wire, "payload": {"card": "•••", "id": 1}}
