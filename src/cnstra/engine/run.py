"""A run as the parts of the engine see it that move its activations."""

import asyncio
import sys
import threading
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any, Protocol

from cnstra.clock import Clock
from cnstra.engine.audience import Audience
from cnstra.engine.context import Context, RunOfContext
from cnstra.engine.context_store import ContextStore
from cnstra.engine.lulls import Lulls
from cnstra.engine.places import Places
from cnstra.engine.recorder import Recorder
from cnstra.engine.spells import Spell

UNLIMITED = sys.maxsize


class Run(RunOfContext, Protocol):
    """What moves a run's activations: commits, admission and strands, each in its file.

    slots: how many activations of the run may run at once.
    closing: an abort was asked for; nothing new starts.
    spare: a strand that is on its way: it has not begun, or gives way.
    spell: where the run must give way to others now and then, its time at the loop.
    looking: without a loop, whether its thread is just now asking for permits.
    wake: without a loop, what its thread sleeps on while it waits for permits.
    """

    places: Places
    outer: Context[Any] | None
    slots: int
    max_hops: int
    closing: bool
    done: bool
    spare: asyncio.Task[None] | None
    spell: Spell | None
    looking: bool
    wake: threading.Event | None
    loop: asyncio.AbstractEventLoop | None
    thread: int

    @property
    def audience(self) -> Audience | None: ...

    @property
    def recorder(self) -> Recorder | None: ...

    @property
    def lulls(self) -> Lulls | None: ...

    @property
    def clock(self) -> Clock: ...

    @property
    def context(self) -> ContextStore: ...

    @property
    def reason(self) -> object:
        """That of the abort."""
        ...

    def abort(self, reason: object = None, *, grace: float | timedelta | None = None) -> None: ...

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """A task of the run's, which nobody else need hold on to."""
        ...

    def go_on(self) -> None:
        """Start a strand where work waits that none will come to; end the run if it is over."""
        ...
