"""Traces that hang together from `enqueue` over each attempt; metrics; logs; on every broker."""

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from cnstra import CNS, Context, Queue, Worker, collateral, neuron
from cnstra.jobs.attempt import Settled
from cnstra.jobs.observing import Onlooker, Work
from cnstra.jobs.settlement import Delivery
from cnstra.telemetry.logs import JsonFormatter, LogFields
from cnstra.telemetry.otel import Telemetry
from tests.durables import Story, drain, entry


class Seen:
    """What OpenTelemetry was told."""

    def __init__(self, *, neurons: bool = True) -> None:
        self._spans, self._reader = InMemorySpanExporter(), InMemoryMetricReader()
        self._traces = TracerProvider()
        self._traces.add_span_processor(SimpleSpanProcessor(self._spans))
        self._metrics = MeterProvider([self._reader])
        self.telemetry = Telemetry(self._traces, self._metrics, neurons=neurons)

    @property
    def spans(self) -> list[ReadableSpan]:
        return sorted(self._spans.get_finished_spans(), key=lambda one: one.start_time or 0)

    def named(self, name: str) -> list[ReadableSpan]:
        return [one for one in self.spans if one.name == name]

    def points(self, name: str) -> list[Any]:
        """The data points of a metric."""
        data = self._reader.get_metrics_data()
        return [
            point
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]

    def close(self) -> None:
        self._metrics.shutdown()
        self._traces.shutdown()


@pytest.fixture
def seen() -> Iterator[Seen]:
    made = Seen()
    yield made
    made.close()


def parent_of(span: ReadableSpan) -> int | None:
    return None if span.parent is None else span.parent.span_id


def id_of(span: ReadableSpan) -> int:
    assert span.context is not None
    return span.context.span_id


async def test_one_trace_goes_from_enqueue_over_all_attempts(url: str, seen: Seen) -> None:
    story = Story()
    story.fails("second", 1)
    cns = story.chain()

    async with Queue("q", url, tracing=seen.telemetry) as queue:
        job = await queue.enqueue(entry.create_signal(7), max_attempts=2)
        await drain(queue, cns, observers=[seen.telemetry])
        await drain(queue, cns, observers=[seen.telemetry])

    (sent,) = seen.named("send q")
    first, second = seen.named("process q")
    assert {one.context.trace_id for one in seen.spans if one.context} == {sent.context.trace_id}
    assert [parent_of(one) for one in (first, second)] == [id_of(sent)] * 2
    steps = [(one.name, parent_of(one)) for one in seen.spans if one.name in cns.network.neurons]
    assert steps == [
        ("first", id_of(first)),
        ("second", id_of(first)),
        ("second", id_of(second)),
        ("third", id_of(second)),
    ]
    about = dict(first.attributes or {})
    assert about["messaging.message.id"] == job.id
    assert (about["messaging.destination.name"], about["messaging.operation.name"]) == (
        "q",
        "process",
    )
    assert (about["cnstra.attempt"], about["cnstra.outcome"], about["error.type"]) == (
        1,
        "retried",
        "Broken",
    )
    assert not first.status.is_ok
    assert dict(second.attributes or {})["cnstra.outcome"] == "completed"


async def test_inner_runs_belong_to_the_neuron_that_started_them(seen: Seen) -> None:
    inside = collateral("inside", int)
    outer = neuron("outer")
    inner = neuron("inner").dendrite(inside, lambda value: None)

    @outer.dendrite(entry)
    async def on_entry(value: int, axon: Any, ctx: Context[Any]) -> None:
        await ctx.cns.stimulate(inside.create_signal(value))

    async with Queue("q", "memory://traced inner runs", tracing=seen.telemetry) as queue:
        await queue.enqueue_many([entry.create_signal(1), entry.create_signal(2)])
        await drain(queue, CNS([outer, inner]), results=[], observers=[seen.telemetry])

    outers = {id_of(one) for one in seen.named("outer")}
    assert {parent_of(one) for one in seen.named("inner")} == outers
    assert len(outers) == 2
    (sent,) = seen.named("send q")
    assert dict(sent.attributes or {})["messaging.batch.message_count"] == 2


async def test_a_handlers_own_spans_and_the_callers_hang_in_the_trace(seen: Seen) -> None:
    tracer = seen._traces.get_tracer("an application")  # pyright: ignore[reportPrivateUsage]

    def handler(value: int) -> None:
        with tracer.start_as_current_span("a query"):
            pass

    async with Queue("q", "memory://traced handlers", tracing=seen.telemetry) as queue:
        with tracer.start_as_current_span("a request"):
            await queue.enqueue(entry.create_signal(1))
        cns = CNS([neuron("only").dendrite(entry, handler)])
        await drain(queue, cns, results=[], observers=[seen.telemetry])

    names = {id_of(one): one.name for one in seen.spans}
    chain = [next(one for one in seen.spans if one.name == "a query")]
    while (above := parent_of(chain[-1])) is not None:
        chain.append(next(one for one in seen.spans if id_of(one) == above))
    assert [one.name for one in chain] == ["a query", "only", "process q", "send q", "a request"]
    assert len(names) == len(chain)


async def test_what_is_measured(seen: Seen) -> None:
    story = Story()
    story.fails("only", 1)
    cns = CNS([story.step("only", entry)])

    async with Queue("q", "memory://measured", tracing=seen.telemetry) as queue:
        await queue.enqueue(entry.create_signal(7), max_attempts=2)
        await drain(queue, cns, results=[], observers=[seen.telemetry])
        points = await asyncio.to_thread(seen.points, "cnstra.queue.depth")  # as exporters do
        depths = {dict(one.attributes)["cnstra.job.state"]: one.value for one in points}

    outcomes = {
        dict(one.attributes)["cnstra.outcome"]: one.value
        for one in seen.points("messaging.client.consumed.messages")
    }
    assert outcomes == {"retried": 1, "completed": 1}
    assert [one.value for one in seen.points("messaging.client.sent.messages")] == [1]
    assert sum(one.count for one in seen.points("messaging.process.duration")) == 2
    assert {one.value for one in seen.points("cnstra.jobs.active")} == {0}
    assert (depths["completed"], depths["waiting"]) == (1, 0)


async def test_workers_that_share_a_graph_wrap_it_once(seen: Seen) -> None:
    cns = Story().chain()
    async with Queue("q", "memory://shared graph", tracing=seen.telemetry) as queue:
        for _ in range(2):
            Worker(queue, cns, observers=[seen.telemetry])
        await queue.enqueue(entry.create_signal(7))
        await drain(queue, cns, observers=[seen.telemetry])

    assert len(seen.named("first")) == 1


async def test_without_spans_for_neurons_handlers_are_left_alone() -> None:
    seen, cns = Seen(neurons=False), Story().chain()
    before = [one.handler for one in cns.network.receivers.values()]
    async with Queue("q", "memory://no neurons", tracing=seen.telemetry) as queue:
        await queue.enqueue(entry.create_signal(7))
        await drain(queue, cns, observers=[seen.telemetry])
    seen.close()

    assert [one.handler for one in cns.network.receivers.values()] == before
    assert [one.name for one in seen.spans] == ["send q", "process q"]


async def test_a_job_that_nobody_traced_begins_a_trace_of_its_own(seen: Seen) -> None:
    async with Queue("q", "memory://untraced") as queue:
        with trace.use_span(trace.NonRecordingSpan(trace.INVALID_SPAN_CONTEXT)):
            await queue.enqueue(entry.create_signal(7))
        await drain(queue, Story().chain(), observers=[seen.telemetry])

    assert seen.named("process q")[0].parent is None


async def test_each_line_says_which_run_attempt_and_neuron(
    seen: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    lines: list[dict[str, Any]] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(json.loads(JsonFormatter().format(record)))

    application = logging.getLogger("an.application")
    application.addHandler(listening := Lines())

    async def handler(value: int) -> None:
        application.info("charging %d", value, extra={"euros": value})

    try:
        async with Queue("q", "memory://logged", tracing=seen.telemetry) as queue:
            job = await queue.enqueue(entry.create_signal(7))
            cns = CNS([neuron("till").dendrite(entry, handler)])
            await drain(queue, cns, results=[], observers=[seen.telemetry, LogFields()])
            record = await job.record()
    finally:
        application.removeHandler(listening)

    assert record is not None
    (line,) = lines
    assert (line["queue"], line["job"], line["run"]) == ("q", job.id, record.run)
    assert (line["attempt"], line["neuron"], line["euros"]) == (1, "till", 7)
    assert (line["level"], line["message"]) == ("info", "charging 7")
    (span,) = seen.named("till")
    assert line["span_id"] == f"{id_of(span):016x}"
    assert "neuron" not in json.loads(JsonFormatter().format(logging.makeLogRecord({"msg": "x"})))


class Clumsy(Onlooker):
    """An observer that breaks, before or after the work."""

    def __init__(self, *, early: bool) -> None:
        self._early = early

    async def attempt(self, queue: Queue, delivery: Delivery, work: Work) -> Settled:
        if not self._early:
            await work()
        raise RuntimeError("an observer's own bug")


@pytest.mark.parametrize("early", [True, False])
async def test_an_observer_that_raises_changes_nothing_for_the_job(
    early: bool, caplog: pytest.LogCaptureFixture
) -> None:
    story = Story()
    async with Queue("q", f"memory://clumsy {early}") as queue:
        job = await queue.enqueue(entry.create_signal(7))
        await drain(queue, story.chain(), observers=[Clumsy(early=early)])
        assert await job.state() == "completed"

    assert [name for name, _ in story.log] == ["first", "second", "third"]
    assert "the job itself goes on" in caplog.text
