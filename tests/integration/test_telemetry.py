"""Traces that hang together from `enqueue` over each attempt; metrics; logs; on every broker."""

import asyncio
import json
import logging
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv.attributes import error_attributes, server_attributes

from cnstra import CNS, Context, Queue, Worker, collateral, neuron
from cnstra.errors import BrokerUnavailable
from cnstra.jobs.attempt import Settled
from cnstra.jobs.observing import Onlooker, Work
from cnstra.jobs.settlement import Delivery
from cnstra.telemetry.logs import JsonFormatter, LogFields
from cnstra.telemetry.otel import Telemetry
from cnstra.telemetry.servers import server_of
from tests.durables import Broken, Story, drain, entry, output


class Seen:
    """What OpenTelemetry was told."""

    def __init__(self, *, neurons: bool = True) -> None:
        self._spans, self._reader = InMemorySpanExporter(), InMemoryMetricReader()
        self._traces = TracerProvider()
        self._traces.add_span_processor(SimpleSpanProcessor(self._spans))
        self.tracer = self._traces.get_tracer("an application")
        self._metrics = MeterProvider([self._reader])
        self.telemetry = Telemetry(self._traces, self._metrics, neurons=neurons)

    @property
    def spans(self) -> list[ReadableSpan]:
        return sorted(self._spans.get_finished_spans(), key=lambda one: one.start_time or 0)

    def named(self, name: str) -> list[ReadableSpan]:
        return [one for one in self.spans if one.name == name]

    def points(self, name: str) -> list[Any]:
        """The data points of a metric."""
        return [
            point
            for metric in self.metrics()
            if metric.name == name
            for point in metric.data.data_points
        ]

    def metrics(self) -> list[Any]:
        data = self._reader.get_metrics_data()
        return [
            metric
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
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


def traced_graph(fails: int) -> CNS:
    """A chain whose second neuron fails so often, and then starts an inner run."""
    middle, inside, left = collateral("middle", int), collateral("inside", int), [fails]
    first = neuron("first", {"middle": middle}, max_duration=60)
    second = neuron("second", {"output": output}, max_duration=60)

    @first.dendrite(entry)
    async def on_entry(value: int, axon: Any) -> Any:
        return axon.middle.create_signal(value)

    @second.dendrite(middle)
    async def on_middle(value: int, axon: Any, ctx: Context[Any]) -> Any:
        if left[0]:
            left[0] -= 1
            raise Broken
        await ctx.cns.stimulate(inside.create_signal(value))
        return axon.output.create_signal(value)

    async def nothing(value: int) -> None: ...

    inner = neuron("inner", max_duration=60).dendrite(inside, nothing)
    third = neuron("third", max_duration=60).dendrite(output, nothing)
    return CNS([first, second, inner, third])


async def see_one_trace(queue: Queue, seen: Seen) -> None:
    """Enqueue, fail once, retry, on that queue: one trace holds it all."""
    cns, durability = traced_graph(fails=1), "behind" if queue.store else "exit"
    job = await queue.enqueue(entry.create_signal(7), max_attempts=2)
    for _ in range(2):  # as two workers, one after the other
        await drain(queue, cns, results=[], durability=durability, observers=[seen.telemetry])

    (sent,) = seen.named(f"send {queue.name}")
    first, second = seen.named(f"process {queue.name}")
    assert len({one.context.trace_id for one in seen.spans if one.context}) == 1
    assert [parent_of(one) for one in (first, second)] == [id_of(sent)] * 2
    steps = [(one.name, parent_of(one)) for one in seen.spans if one.name in cns.network.neurons]
    again = next(one for one in seen.named("second") if parent_of(one) == id_of(second))
    assert steps == [
        ("first", id_of(first)),
        ("second", id_of(first)),
        ("second", id_of(second)),
        ("inner", id_of(again)),
        ("third", id_of(second)),
    ]
    about: list[dict[str, Any]] = [dict(one.attributes or {}) for one in (first, second)]
    assert [one["messaging.message.id"] for one in about] == [job.id] * 2
    assert [one["cnstra.attempt"] for one in about] == [1, 2]
    assert [one["cnstra.outcome"] for one in about] == ["retried", "completed"]
    assert len({one["cnstra.run"] for one in about}) == 1
    assert (about[0]["error.type"], "error.type" in about[1]) == ("Broken", False)
    assert not first.status.is_ok


async def test_one_trace_goes_from_enqueue_over_all_attempts(url: str, seen: Seen) -> None:
    async with Queue("q", url, tracing=seen.telemetry) as queue:
        await see_one_trace(queue, seen)


@pytest.mark.parametrize("stored", [True, False], ids=["with a store", "without"])
@pytest.mark.parametrize("broker", ["rabbitmq", "sqs"])
async def test_the_trace_goes_through_a_real_broker_of_messages(
    broker: str, stored: bool, seen: Seen, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """A retry is another message there, sent by the worker: it carries the same trace."""
    if broker == "sqs":
        url, system = request.getfixturevalue("sqs_server").url(), "aws_sqs"
    else:
        url, system = request.getfixturevalue("rabbitmq_url"), "rabbitmq"
    store = f"sqlite:///{tmp_path}/store.db" if stored else None

    async with Queue(f"q-{uuid4().hex}", url, store=store, tracing=seen.telemetry) as queue:
        await see_one_trace(queue, seen)

    about = dict(seen.spans[0].attributes or {})
    assert about["messaging.system"] == system
    assert ("server.port" in about) == (broker == "rabbitmq")


async def test_jobs_that_are_sent_together_say_how_many_they_are(seen: Seen) -> None:
    async with Queue("q", "memory://traced together", tracing=seen.telemetry) as queue:
        await queue.enqueue_many([entry.create_signal(1), entry.create_signal(2)])
        await drain(queue, traced_graph(fails=0), results=[], observers=[seen.telemetry])

    (sent,) = seen.named("send q")
    assert dict(sent.attributes or {})["messaging.batch.message_count"] == 2
    assert {parent_of(one) for one in seen.named("process q")} == {id_of(sent)}


async def test_a_job_that_is_sent_later_goes_on_from_where_it_was_made(seen: Seen) -> None:
    async with Queue("q", "memory://traced later", tracing=seen.telemetry) as queue:
        job = queue.prepare(entry.create_signal(1))
        assert not seen.points("messaging.client.sent.messages")
        await queue.add([job])
        await drain(queue, traced_graph(fails=0), results=[], observers=[seen.telemetry])

    (made,), (sent,), (ran,) = (seen.named(f"{word} q") for word in ("create", "send", "process"))
    assert (parent_of(ran), made.parent) == (id_of(made), None)
    assert [link.context.span_id for link in sent.links] == [id_of(made)]
    assert [one.value for one in seen.points("messaging.client.sent.messages")] == [1]


async def test_what_cannot_be_sent_says_why(seen: Seen) -> None:
    queue = Queue("q", "redis://somebody:secret@127.0.0.1:1", tracing=seen.telemetry)
    with pytest.raises(BrokerUnavailable):
        await queue.enqueue(entry.create_signal(1))
    await queue.close()

    (sent,) = seen.named("send q")
    about = dict(sent.attributes or {})
    assert (about["error.type"], sent.status.is_ok) == ("BrokerUnavailable", False)
    assert (about["server.address"], about["server.port"]) == ("127.0.0.1", 1)
    assert "secret" not in sent.to_json()
    for name in ("messaging.client.sent.messages", "messaging.client.operation.duration"):
        (point,) = seen.points(name)
        assert dict(point.attributes)["error.type"] == "BrokerUnavailable"


async def test_a_worker_within_a_span_links_to_it(seen: Seen) -> None:
    """The job's own trace is the parent, as the conventions want it."""
    async with Queue("q", "memory://within a span", tracing=seen.telemetry) as queue:
        await queue.enqueue(entry.create_signal(1))
        with seen.tracer.start_as_current_span("an invocation") as around:
            await drain(queue, traced_graph(fails=0), results=[], observers=[seen.telemetry])

    (ran,), (sent,) = seen.named("process q"), seen.named("send q")
    assert parent_of(ran) == id_of(sent)
    assert [link.context.span_id for link in ran.links] == [around.get_span_context().span_id]


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("redis://me:secret@cache.internal:6380/2", ("cache.internal", 6380)),
        ("rediss://cache.internal", ("cache.internal", None)),
        ("unix:///run/redis%20one.sock?db=1", ("/run/redis one.sock", None)),
        ("nats://me:p@one:4222,two:4223", ("one", 4222)),
        ("postgresql://[::1]:5432/app", ("::1", 5432)),
        ("postgresql:///app?host=/run/postgresql", (None, None)),
        ("amqp://host/vhost", ("host", None)),
        ("sqs://eu-central-1", (None, None)),
        ("sqlite:///jobs.db", (None, None)),
        ("memory://here", (None, None)),
    ],
)
def test_a_url_names_its_server(url: str, server: tuple[str | None, int | None]) -> None:
    about = server_of(url)

    assert (about.get("server.address"), about.get("server.port")) == server


async def test_names_are_those_of_the_semantic_conventions(seen: Seen) -> None:
    drafts = "opentelemetry.semconv._incubating"  # where those for messaging still are
    messaging = import_module(f"{drafts}.attributes.messaging_attributes")
    metrics = import_module(f"{drafts}.metrics.messaging_metrics")
    known = {
        name
        for module in (error_attributes, server_attributes, messaging, metrics)
        for name in vars(module).values()
        if isinstance(name, str)
    }
    async with Queue("q", "memory://conventions", tracing=seen.telemetry) as queue:
        await queue.add([queue.prepare(entry.create_signal(1), max_attempts=2)])
        await queue.enqueue_many([entry.create_signal(1), entry.create_signal(2)])
        await drain(queue, traced_graph(fails=1), results=[], observers=[seen.telemetry])
        measured = await asyncio.to_thread(seen.metrics)

    used = {name for span in seen.spans for name in span.attributes or ()}
    used |= {name for metric in measured for name in (metric.name, *_attributes_of(metric))}
    assert {name for name in used if not name.startswith("cnstra.")} <= known
    types = {one.value for one in messaging.MessagingOperationTypeValues}
    kinds: set[tuple[Any, trace.SpanKind]] = {
        (dict(span.attributes or {}).get("messaging.operation.type"), span.kind)
        for span in seen.spans
    }
    assert {kind for kind, _ in kinds if kind} <= types
    assert kinds == {
        ("create", trace.SpanKind.PRODUCER),
        ("send", trace.SpanKind.CLIENT),
        ("send", trace.SpanKind.PRODUCER),
        ("process", trace.SpanKind.CONSUMER),
        (None, trace.SpanKind.INTERNAL),
    }


def _attributes_of(metric: Any) -> set[str]:
    return {name for point in metric.data.data_points for name in point.attributes}


async def test_a_handlers_own_spans_and_the_callers_hang_in_the_trace(seen: Seen) -> None:
    def handler(value: int) -> None:
        with seen.tracer.start_as_current_span("a query"):
            pass

    async with Queue("q", "memory://traced handlers", tracing=seen.telemetry) as queue:
        with seen.tracer.start_as_current_span("a request"):
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
