"""Typed signal graphs whose runs survive the message broker that you already have."""

from cnstra.clock import Clock, SystemClock
from cnstra.durable.standalone import run_durably
from cnstra.engine.abort import AbortController, AbortSignal
from cnstra.engine.cns import CNS
from cnstra.engine.context import Context
from cnstra.engine.neurons import Neuron, neuron, with_ctx
from cnstra.engine.one_at_a_time import OneAtATime
from cnstra.engine.resources import Resource
from cnstra.engine.signals import Collateral, Signal, collateral
from cnstra.engine.stimulation import Stimulation
from cnstra.engine.tasks import ActivationTask, FailedTask, Response
from cnstra.engine.versions import payload
from cnstra.errors import (
    Aborted,
    BrokerUnavailable,
    CnstraError,
    DoNotRetry,
    JobFailed,
    ListenerFailed,
    NothingToActivate,
    NotSerializable,
    RetryAfter,
    StimulationFailed,
)
from cnstra.history.history import History
from cnstra.jobs.blocking import blocking
from cnstra.jobs.foreign import ForeignJob
from cnstra.jobs.job import Job
from cnstra.jobs.limits import RateLimit
from cnstra.jobs.queue import Queue
from cnstra.jobs.retry import Backoff, custom, exponential, fixed
from cnstra.jobs.worker import Worker

__all__ = [
    "CNS",
    "AbortController",
    "AbortSignal",
    "Aborted",
    "ActivationTask",
    "Backoff",
    "BrokerUnavailable",
    "Clock",
    "CnstraError",
    "Collateral",
    "Context",
    "DoNotRetry",
    "FailedTask",
    "ForeignJob",
    "History",
    "Job",
    "JobFailed",
    "ListenerFailed",
    "Neuron",
    "NotSerializable",
    "NothingToActivate",
    "OneAtATime",
    "Queue",
    "RateLimit",
    "Resource",
    "Response",
    "RetryAfter",
    "Signal",
    "Stimulation",
    "StimulationFailed",
    "SystemClock",
    "Worker",
    "blocking",
    "collateral",
    "custom",
    "exponential",
    "fixed",
    "neuron",
    "payload",
    "run_durably",
    "with_ctx",
]
