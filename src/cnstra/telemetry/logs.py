"""Logs as JSON, one object a line, each with the run, the attempt and the neuron it is about."""

import logging
import sys
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

import msgspec

from cnstra.engine.cns import CNS
from cnstra.engine.network import Receiver
from cnstra.jobs.attempt import Settled
from cnstra.jobs.observing import Onlooker, Work
from cnstra.jobs.queue import Queue
from cnstra.jobs.settlement import Delivery
from cnstra.telemetry.handlers import wrap_handlers

NOTHING: dict[str, Any] = {}

_about: ContextVar[dict[str, Any]] = ContextVar("cnstra_log_fields", default=NOTHING)

STANDARD = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}
"""What every record has; the rest its caller gave as `extra`."""


class LogFields(Onlooker):
    """Has each line that is logged while a job runs say which one, by `JsonFormatter`.

    >>> worker = Worker(queue, cns, observers=[LogFields()])
    """

    def watch(self, cns: CNS) -> None:
        wrap_handlers(cns, _naming_the_neuron, LogFields)

    async def attempt(self, queue: Queue, delivery: Delivery, work: Work) -> Settled:
        _about.set(
            {
                "queue": queue.name,
                "job": delivery.job_id,
                "run": delivery.run,
                "attempt": delivery.attempts_made + 1,
            }
        )  # in a task of its own: nobody else sees it
        return await work()


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, the fields of `LogFields` and `extra`,
    the ids of the current OpenTelemetry span where there is one, and the traceback of an error.
    """

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_about.get(),
            **_span_fields(),
            **{name: value for name, value in vars(record).items() if name not in STANDARD},
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line, enc_hook=repr).decode()


def _span_fields() -> dict[str, str]:
    """The ids of the current span, where this process traces."""
    otel: Any = sys.modules.get("cnstra.telemetry.otel")
    return {} if otel is None else otel.span_fields()


@contextmanager
def _naming_the_neuron(receiver: Receiver) -> Generator[None, None, None]:
    token = _about.set({**_about.get(), "neuron": receiver.neuron_name})
    try:
        yield
    finally:
        _about.reset(token)
