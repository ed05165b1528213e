"""How long to wait before a failed job is tried again."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from cnstra.clock import Clock, seconds
from cnstra.errors import InvalidOption

BackoffFunction = Callable[[int], float]
"""From the number of failed attempts, the first being 1, to the seconds until the next."""

MAX_DELAY = 30 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """The pause before each retry of a job. Made by `fixed`, `exponential` or `custom`.

    delay, maximum: seconds. jitter: the share of the pause that chance may take off, from 0 to 1.
    """

    kind: Literal["fixed", "exponential", "custom"]
    delay: float = 0.0
    factor: float = 2.0
    maximum: float = MAX_DELAY
    jitter: float = 0.0
    name: str = ""

    def pause(self, failures: int, clock: Clock) -> float:
        """Seconds until the attempt after `failures` failed ones."""
        if self.kind == "custom":
            return _checked(self.name, _functions[self.name](failures))
        pause = min(self.delay * self._growth(failures), self.maximum)
        return pause - pause * self.jitter * clock.random() if self.jitter else pause

    def _growth(self, failures: int) -> float:
        try:
            return 1.0 if self.kind == "fixed" else float(self.factor) ** (failures - 1)
        except OverflowError:
            return sys.float_info.max

    def to_wire(self) -> dict[str, Any]:
        """As it travels with the job."""
        if self.kind == "custom":
            return {"type": "custom", "name": self.name}
        wire: dict[str, Any] = {"type": self.kind, "delay": self.delay, "jitter": self.jitter}
        if self.kind == "exponential":
            wire |= {"factor": self.factor, "max": self.maximum}
        return wire


NO_BACKOFF = Backoff("fixed", 0.0)

_functions: dict[str, BackoffFunction] = {}


def fixed(delay: float | timedelta, *, jitter: float = 0.0) -> Backoff:
    """The same pause before every retry."""
    return Backoff("fixed", _positive(delay), jitter=_share(jitter))


def exponential(
    delay: float | timedelta,
    *,
    factor: float = 2.0,
    maximum: float | timedelta = MAX_DELAY,
    jitter: float = 0.0,
) -> Backoff:
    """A pause of `delay`, then `factor` times as long before each further retry, up to `maximum`.

    >>> exponential(1.0).pause(3, SYSTEM_CLOCK)
    4.0
    """
    if factor < 1:
        raise InvalidOption(option="factor", value=factor, remedy="give 1 or more")
    pause, limit = _positive(delay), _positive(maximum)
    return Backoff("exponential", pause, factor, limit, _share(jitter))


def custom(function: BackoffFunction, *, name: str | None = None) -> Backoff:
    """A pause that `function` computes from the number of failed attempts.

    Only its name travels with the job, so each worker must have called `custom` with it too: define
    it in the module that both import. A worker that does not know the name uses `exponential(1.0)`.
    """
    known_as = name or f"{function.__module__}:{function.__qualname__}"
    _functions[known_as] = function
    return Backoff("custom", name=known_as)


def backoff_of(
    value: "Backoff | BackoffFunction | float | timedelta | None",
) -> Backoff | None:
    """What `enqueue(backoff=...)` was given: a number is fixed, a callable custom."""
    if value is None or isinstance(value, Backoff):
        return value
    if isinstance(value, int | float | timedelta):
        return fixed(value)
    if callable(value):
        return custom(value)
    remedy = "give fixed(...), exponential(...), seconds, or a function of the failed attempts"
    raise InvalidOption(option="backoff", value=value, remedy=remedy)


def backoff_from_wire(wire: Mapping[str, Any] | None) -> Backoff:
    """The backoff of a job. What cannot be read or is not known here becomes `exponential(1.0)`."""
    if wire is None:
        return NO_BACKOFF
    try:
        if wire["type"] == "custom" and wire["name"] in _functions:
            return Backoff("custom", name=wire["name"])
        if wire["type"] == "fixed":
            return fixed(wire["delay"], jitter=wire.get("jitter", 0.0))
        return exponential(
            wire["delay"],
            factor=wire.get("factor", 2.0),
            maximum=wire.get("max", MAX_DELAY),
            jitter=wire.get("jitter", 0.0),
        )
    except (KeyError, TypeError, ValueError):
        return exponential(1.0)


def _positive(delay: float | timedelta) -> float:
    pause = seconds(delay)
    if not 0 <= pause <= MAX_DELAY:
        raise InvalidOption(option="delay", value=delay, remedy="give 0 s to 30 days")
    return pause


def _share(jitter: float) -> float:
    if not 0 <= jitter <= 1:
        raise InvalidOption(option="jitter", value=jitter, remedy="give a share from 0 to 1")
    return jitter


def _checked(name: str, pause: float) -> float:
    if not 0 <= pause <= MAX_DELAY:
        raise InvalidOption(option=f"backoff {name}", value=pause, remedy="return 0 s to 30 days")
    return float(pause)
