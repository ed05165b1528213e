"""How an activation ended, as a value."""

import asyncio
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, cast

import msgspec

from cnstra.engine.context import Context
from cnstra.engine.network import Receiver
from cnstra.engine.recorder import Emission
from cnstra.engine.signals import SIGNAL, is_signal
from cnstra.errors import Aborted, DurationExceeded, InvalidOutput, NotOnAxon


class Done(msgspec.Struct, frozen=True):
    """It is over, and these are its outputs."""

    emissions: Sequence[Emission]


@dataclass(frozen=True, slots=True)
class Failed:
    """It is still owed, and keeps its context writes. `aborted`: it failed for the abort's sake."""

    error: BaseException
    aborted: bool = False


@dataclass(frozen=True, slots=True)
class Interrupted:
    """It is still owed, as if it had never started.

    `fatal`: the error is not the handler's own, and goes on to whoever runs the loop.
    """

    error: BaseException
    fatal: bool = False


@dataclass(frozen=True, slots=True)
class Unfinished:
    """The sync handler left something to wait for: an awaitable it returned, or an inner run."""

    output: Any


Outcome = Done | Failed | Interrupted | Unfinished


def outcome_of_return(
    receiver: Receiver, context: Context[Any] | None, output: Any, reason: object
) -> Outcome:
    """What it means that the handler returned `output`. `reason` is that of an abort."""
    if context is not None and context.rare is not None:
        rare = context.rare
        if isinstance(rare.stop, DurationExceeded):
            return Failed(rare.stop)
        if rare.inner_runs:
            return Unfinished(output)
        if rare.is_cut_short:
            return Interrupted(Aborted(reason=reason))
        cancelled = rare.stop is not None and not receiver.in_thread  # a thread is only asked
        if output is None and (context.observed_abort or cancelled):
            return Interrupted(Aborted(reason=reason))
    try:
        if type(output) is not SIGNAL and inspect.isawaitable(output):
            return Unfinished(output)
        return Done(emissions_of(receiver, output))
    except Exception as error:  # ours, or what the output's own code raises of being looked at
        return Failed(error)


def outcome_of_error(
    context: Context[Any] | None, error: BaseException, *, aborting: bool, cancelled: bool
) -> Outcome:
    """What it means that the handler raised `error`.

    `aborting`: an abort was asked for. `cancelled`: somebody cancelled the task that ran the
    handler. A cancellation that nobody asked for is an ordinary failure.
    """
    rare = None if context is None else context.rare
    stop = None if rare is None else rare.stop
    if isinstance(stop, DurationExceeded):
        return Failed(stop)
    if isinstance(error, asyncio.CancelledError):
        if stop is not None:
            return Interrupted(stop)
        return Interrupted(error, fatal=True) if cancelled else Failed(error)
    if not isinstance(error, Exception):
        return Interrupted(error, fatal=True)
    if aborting and isinstance(error, Aborted):
        return Interrupted(error)
    if rare is not None and rare.is_cut_short:
        return Interrupted(error)
    observed = context is not None and (context.observed_abort or stop is not None)
    return Failed(error, aborted=aborting and observed)


def emissions_of(receiver: Receiver, output: Any) -> list[Emission]:
    """The returned signals, each with who receives it. Raises what is wrong with them."""
    if output is None:
        return []
    several = isinstance(output, list | tuple)
    signals = cast(Sequence[Any], output if several else (output,))
    routes = receiver.routes
    return [
        (signal, routes[signal.collateral_name])
        if isinstance(signal, SIGNAL) and signal.collateral_name in routes
        else _refuse(receiver, signal)
        for signal in signals
    ]


def _refuse(receiver: Receiver, signal: object) -> NoReturn:
    if not is_signal(signal):
        raise InvalidOutput(neuron=receiver.neuron_name, output=repr(signal)[:200])
    raise NotOnAxon(
        neuron=receiver.neuron_name,
        collateral=signal.collateral_name,
        axon=", ".join(receiver.collateral_names) or "empty",
    )
