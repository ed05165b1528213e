"""Traces and metrics by OpenTelemetry: the extra `otel`.

A trace begins where a job is enqueued and goes on over all of its attempts, on whatever machine:
its W3C `traceparent` travels in the `cnstra` part of the job. Names and attributes are those of the
semantic conventions for messaging; what they have no word for begins with `cnstra.`.
"""

from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager, suppress
from time import perf_counter
from typing import Any
from weakref import WeakSet

from cnstra.engine.cns import CNS
from cnstra.engine.network import Receiver
from cnstra.errors import CnstraError, MissingExtra
from cnstra.jobs.attempt import Settled
from cnstra.jobs.blocking import blocking
from cnstra.jobs.observing import Onlooker, Work
from cnstra.jobs.queue import Queue
from cnstra.jobs.settlement import Delivery
from cnstra.jobs.tracing import trace_in
from cnstra.telemetry.handlers import wrap_handlers
from cnstra.telemetry.outcomes import outcome_of
from cnstra.telemetry.servers import server_of, system_of

__all__ = ["Telemetry"]

try:
    from opentelemetry import metrics, trace
    from opentelemetry.context import Context
    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
    from opentelemetry.trace import (
        Link,
        Span,
        SpanContext,
        SpanKind,
        Status,
        StatusCode,
        TracerProvider,
    )
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ImportError as error:
    raise MissingExtra(what="OpenTelemetry", extra="otel", reason=error) from error

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
"""The buckets of durations: jobs may be short or long."""

SHORT = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""Those of sending, as the semantic conventions want them."""

W3C = TraceContextTextMapPropagator()


class Telemetry(Onlooker):
    """Traces and measures what queues send and workers run.

    tracer_provider, meter_provider: the global ones, unless others are given.
    neurons: whether each activation has a span of its own, in inner runs too.

    >>> telemetry = Telemetry()
    >>> queue = Queue("workflows", "redis://localhost", tracing=telemetry)
    >>> worker = Worker(queue, cns, observers=[telemetry])
    """

    def __init__(
        self,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        *,
        neurons: bool = True,
    ) -> None:
        self._tracer = trace.get_tracer("cnstra", tracer_provider=tracer_provider)
        meter = metrics.get_meter("cnstra", meter_provider=meter_provider)
        self._neurons = neurons
        self._queues: WeakSet[Queue] = WeakSet()
        self._sent = meter.create_counter("messaging.client.sent.messages", "{message}")
        self._attempts = meter.create_counter("messaging.client.consumed.messages", "{message}")
        self._duration = meter.create_histogram(
            "messaging.process.duration", "s", explicit_bucket_boundaries_advisory=SECONDS
        )
        self._sends = meter.create_histogram(
            "messaging.client.operation.duration", "s", explicit_bucket_boundaries_advisory=SHORT
        )
        self._running = meter.create_up_down_counter("cnstra.jobs.active", "{job}")
        meter.create_observable_gauge("cnstra.queue.depth", [self._depths], "{job}")

    # --- a queue

    @contextmanager
    def sending(self, queue: str, url: str, count: int) -> Generator[str | None, None, None]:
        """A span for jobs that are sent; yields what they carry of it."""
        with self._sent_as(SpanKind.PRODUCER, queue, url, count):
            yield _carried()

    @contextmanager
    def creating(self, queue: str, url: str) -> Generator[str | None, None, None]:
        """A span for a job that is sent later; yields what it carries of it."""
        about: dict[str, Any] = _about(queue, url, "create")
        with self._tracer.start_as_current_span(
            f"create {queue}", kind=SpanKind.PRODUCER, attributes=about
        ):
            yield _carried()

    @contextmanager
    def sending_on(
        self, queue: str, url: str, traces: Sequence[str | None]
    ) -> Generator[None, None, None]:
        """A span for jobs that were made before, with a link to where each was."""
        links = [Link(_span_context(one)) for one in traces if one is not None]
        with self._sent_as(SpanKind.CLIENT, queue, url, len(traces), links):
            yield

    @contextmanager
    def _sent_as(
        self, kind: SpanKind, queue: str, url: str, count: int, links: Sequence[Link] = ()
    ) -> Generator[None, None, None]:
        about: dict[str, Any] = _about(queue, url, "send")
        several = {"messaging.batch.message_count": count} if count != 1 else {}
        failed: dict[str, str] = {}
        started = perf_counter()
        try:
            with self._tracer.start_as_current_span(
                f"send {queue}", kind=kind, attributes={**about, **several}, links=links
            ) as span:
                try:
                    yield
                except Exception as error:
                    failed["error.type"] = type(error).__qualname__
                    span.set_attributes(failed)
                    raise
        finally:
            self._sends.record(perf_counter() - started, {**about, **failed})
            self._sent.add(count, {**about, **failed})

    # --- a worker

    def watch(self, cns: CNS) -> None:
        if self._neurons:
            wrap_handlers(cns, self._activation, self)

    @contextmanager
    def _activation(self, receiver: Receiver) -> Generator[None, None, None]:
        about = {
            "cnstra.neuron": receiver.neuron_name,
            "cnstra.collateral": receiver.collateral_name,
        }
        with self._tracer.start_as_current_span(receiver.neuron_name, attributes=about):
            yield

    async def attempt(self, queue: Queue, delivery: Delivery, work: Work) -> Settled:
        self._queues.add(queue)
        about: dict[str, Any] = _about(queue.name, queue.url, "process")
        span = self._tracer.start_span(
            f"process {queue.name}",
            context=_context_in(delivery),
            kind=SpanKind.CONSUMER,
            attributes={**about, **_about_delivery(delivery)},
            links=_around(),
        )
        started = perf_counter()
        self._running.add(1, about)
        try:
            with trace.use_span(span, end_on_exit=True):
                settled = await work()
                outcome = _tell(span, settled)
        finally:
            self._running.add(-1, about)
        self._duration.record(perf_counter() - started, {**about, **outcome})
        self._attempts.add(1, {**about, **outcome})
        return settled

    def _depths(self, options: CallbackOptions) -> Iterable[Observation]:
        """How many jobs are in each state, of the queues that this process works on."""
        del options
        for queue in list(self._queues):
            with suppress(CnstraError):
                about = _about(queue.name, queue.url)
                for state, count in blocking(queue.counts()).items():
                    yield Observation(count, {**about, "cnstra.job.state": state})


def span_fields() -> dict[str, str]:
    """The ids of the current span, for a line of a log; nothing where there is none."""
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return {}
    return {
        "trace_id": trace.format_trace_id(context.trace_id),
        "span_id": trace.format_span_id(context.span_id),
    }


def _carried() -> str | None:
    """What a job carries of the current span."""
    carrier: dict[str, str] = {}
    W3C.inject(carrier)
    return carrier.get("traceparent")


def _around() -> Sequence[Link]:
    """A link to the span in which the worker itself runs, if it does: the job's is the parent."""
    context = trace.get_current_span().get_span_context()
    return [Link(context)] if context.is_valid else []


def _about(queue: str, url: str, operation: str | None = None) -> dict[str, str | int]:
    about: dict[str, str | int] = {
        "messaging.system": system_of(url),
        "messaging.destination.name": queue,
        **server_of(url),
    }
    if operation is None:
        return about
    return {
        **about,
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
    }


def _about_delivery(delivery: Delivery) -> dict[str, Any]:
    return {
        "messaging.message.id": delivery.job_id,
        "messaging.message.body.size": len(delivery.data),
        "cnstra.run": delivery.run,
        "cnstra.attempt": delivery.attempts_made + 1,
        "cnstra.max_attempts": delivery.max_attempts,
    }


def _context_in(delivery: Delivery) -> Context | None:
    """Where the trace of the job goes on: its own, or a new one."""
    carried = trace_in(delivery.data)
    return Context() if carried is None else _context_of(carried)


def _context_of(traceparent: str) -> Context:
    return W3C.extract({"traceparent": traceparent}, Context())


def _span_context(traceparent: str) -> SpanContext:
    return trace.get_current_span(_context_of(traceparent)).get_span_context()


def _tell(span: Span, settled: Settled) -> dict[str, str]:
    """Write what came of an attempt into its span. Returns it, for the metrics."""
    outcome, error = outcome_of(settled.settlement)
    about: dict[str, str] = {"cnstra.outcome": outcome}
    if error is not None:
        about["error.type"] = str(error.get("name") or "Error")
        span.set_status(Status(StatusCode.ERROR, str(error.get("message", ""))))
    span.set_attributes(about)
    return about
