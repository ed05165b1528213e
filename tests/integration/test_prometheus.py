"""The page for Prometheus, read as Prometheus reads it."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cnstra import CNS, Queue
from cnstra.telemetry.prometheus import BUCKETS, Metrics
from tests.durables import Story, drain, entry


def read(page: str) -> tuple[Mapping[str, str], Mapping[tuple[str, frozenset[Any]], float]]:
    """The types of the families, and each series once."""
    families = list(text_string_to_metric_families(page))
    samples = [one for family in families for one in family.samples]
    series = {(one.name, frozenset(one.labels.items())): one.value for one in samples}
    assert len(series) == len(samples), "a series is there twice: Prometheus takes nothing of it"
    return {family.name: family.type for family in families}, series


def labels(**given: str) -> frozenset[Any]:
    return frozenset(given.items())


async def work(metrics: Metrics, name: str, url: str) -> str:
    """Run a job that fails once, and then another that does not."""
    story = Story()
    story.fails("only", 1)
    async with Queue(name, url) as queue:
        await queue.enqueue_many([entry.create_signal(1), entry.create_signal(2)], max_attempts=2)
        cns = CNS([story.step("only", entry)])
        await drain(queue, cns, results=[], observers=[metrics])
        return await metrics.page()


async def test_each_series_is_what_its_type_says() -> None:
    name = 'a "queue"\\\nof orders'
    kinds, series = read(await work(Metrics("127.0.0.1:0"), name, f"memory://{uuid4().hex}"))

    assert kinds == {
        "cnstra_jobs_active": "gauge",
        "cnstra_attempts": "counter",
        "cnstra_attempt_seconds": "histogram",
        "cnstra_queue_jobs": "gauge",
    }
    queue = labels(queue=name)
    attempts = ("cnstra_attempts_total", queue | labels(outcome="completed"))
    assert series[attempts] == 2
    assert series["cnstra_attempts_total", queue | labels(outcome="retried")] == 1
    assert series["cnstra_queue_jobs", queue | labels(state="completed")] == 2
    buckets = [
        series["cnstra_attempt_seconds_bucket", queue | labels(le=str(limit))]
        for limit in (*BUCKETS, "+Inf")
    ]
    assert buckets == sorted(buckets)
    assert buckets[-1] == series["cnstra_attempt_seconds_count", queue] == 3


async def test_queues_of_one_name_are_told_of_together() -> None:
    metrics = Metrics("127.0.0.1:0")
    await work(metrics, "orders", f"memory://{uuid4().hex}")

    _, series = read(await work(metrics, "orders", f"memory://{uuid4().hex}"))

    queue = labels(queue="orders")
    assert series["cnstra_attempts_total", queue | labels(outcome="completed")] == 4


async def test_a_request_without_end_is_hung_up_on(caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics("127.0.0.1:0")
    async with Queue("orders", f"memory://{uuid4().hex}") as queue, metrics.at_work(queue):
        answers: list[bytes] = []
        for asked in (b"GET /" + b"x" * 200_000, b"GET /metrics HTTP/1.1\r\n\r\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", metrics.port)
            writer.write(asked)
            with suppress(ConnectionError):
                answers.append(await reader.read())
            writer.close()

    assert answers[-1].startswith(b"HTTP/1.1 200 OK")
    assert answers[:-1] in ([], [b""])
    assert not caplog.records
