"""Typed signal graphs whose runs survive the message broker that you already have."""

from cnstra.engine.abort import AbortController, AbortSignal
from cnstra.engine.cns import CNS
from cnstra.engine.context import Context
from cnstra.engine.neurons import Neuron, neuron, with_ctx
from cnstra.engine.signals import Collateral, Signal, collateral
from cnstra.engine.stimulation import Stimulation
from cnstra.engine.tasks import ActivationTask, FailedTask, Response

__all__ = [
    "CNS",
    "AbortController",
    "AbortSignal",
    "ActivationTask",
    "Collateral",
    "Context",
    "FailedTask",
    "Neuron",
    "Response",
    "Signal",
    "Stimulation",
    "collateral",
    "neuron",
    "with_ctx",
]
