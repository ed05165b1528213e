"""What a run owes, and what it tells, as values."""

import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from cnstra.engine.signals import Signal, is_object, signal_from_wire, signal_to_wire
from cnstra.errors import InvalidSignal, InvalidTask, text_of

NEVER_STARTED = "Task aborted - not started due to abort signal"
"""The seed's words for a task that an abort kept from starting."""

_ENGINE = str(Path(__file__).parent)


@dataclass(frozen=True, slots=True)
class ActivationTask:
    """One (neuron, dendrite, signal) that a run owes: what `cns.activate` takes.

    Two tasks of one neuron and collateral are two tasks, even when their payloads are equal.
    """

    stimulation_id: str
    neuron_id: str
    dendrite_collateral_name: str
    input: Signal[Any]

    def to_wire(self) -> dict[str, Any]:
        """The task in the shape that the TypeScript original saves, ready for `json.dumps`.

        A payload that has no JSON form stays as it is: such a task is for this process only.
        """
        return {
            "stimulationId": self.stimulation_id,
            "neuronId": self.neuron_id,
            "dendriteCollateralName": self.dendrite_collateral_name,
            "input": signal_to_wire(self.input),
        }


@dataclass(frozen=True, slots=True)
class FailedTask:
    """A task that did not complete, and why. `aborted`: interrupted, or kept from starting."""

    task: ActivationTask
    error: BaseException
    aborted: bool

    def to_wire(self) -> dict[str, Any]:
        """It in the shape that the TypeScript original saves, ready for `json.dumps`."""
        return {
            "task": self.task.to_wire(),
            "error": error_to_wire(self.error),
            "aborted": self.aborted,
        }


@dataclass(frozen=True, slots=True)
class Response:
    """What a listener hears: one for each signal that a run emits.

    stimulation: the run.
    input_signal: what the handler answered to; `None` for the signals that started the run.
    output_signal: what it emitted; `None` when it emitted nothing, or failed.
    error: why it failed; else `None`.
    parent: the run whose activation this inner run is part of; else `None`.
    """

    stimulation: Any
    input_signal: Signal[Any] | None
    output_signal: Signal[Any] | None
    error: BaseException | None
    parent: Any


def error_to_wire(error: BaseException) -> dict[str, Any]:
    """An error as it is written down: `{"message", "name", "stack"}`, texts that UTF-8 can hold."""
    name = text_of(error, lambda _: type(error).__name__)
    return {
        "message": text_of(error) or name,
        "name": name,
        "stack": text_of(error, _stack_of)[-8000:],
    }


def _stack_of(error: BaseException) -> str:
    trace = _from_the_handler_on(error.__traceback__)
    return "".join(traceback.format_exception(type(error), error, trace, limit=-20))


def _from_the_handler_on(trace: TracebackType | None) -> TracebackType | None:
    """A traceback without the frames of the engine that it begins with; whole, if all are."""
    found = trace
    while found is not None and found.tb_frame.f_code.co_filename.startswith(_ENGINE):
        found = found.tb_next
    return found or trace


def task_from_wire(wire: object) -> ActivationTask:
    """An `ActivationTask`, itself or from its wire form; a missing input is a payload of `None`."""
    if isinstance(wire, ActivationTask):
        return wire
    if isinstance(wire, FailedTask):
        return wire.task
    if is_object(wire):
        neuron = wire.get("neuronId", wire.get("neuronName"))
        collateral = wire.get("dendriteCollateralName")
        stimulation = wire.get("stimulationId", "")
        if isinstance(neuron, str) and isinstance(collateral, str) and isinstance(stimulation, str):
            return ActivationTask(stimulation, neuron, collateral, _input_of(wire, collateral))
    raise InvalidTask(task=repr(wire)[:200])


def _input_of(fields: Mapping[str, Any], collateral: str) -> Signal[Any]:
    if fields.get("input") is None:
        return Signal(collateral, None)
    try:
        return signal_from_wire(fields["input"])
    except InvalidSignal as error:
        raise InvalidTask(task=repr(dict(fields))[:200]) from error
