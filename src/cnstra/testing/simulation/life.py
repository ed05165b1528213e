"""A worker process, simulated: its threads, its death, and what it sees of its handlers."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import copy_context
from typing import Any, NoReturn, Protocol

from cnstra.durable.io_thread import IOThread, Mailbox
from cnstra.durable.store import Saved
from cnstra.jobs.worker import DEFAULT_LEASE, Worker
from cnstra.testing.faults import Fault, Kind
from cnstra.testing.simulation.loop import SimulatedLoop
from cnstra.testing.simulation.world import SimulatedClock, World
from cnstra.testing.witness import NOBODY, Activation, current

BRIEFLY = 0.01
"""Seconds after which another process takes the place of one that is gone."""


class Killed(BaseException):
    """Unwinds the handler that was running when its process died: nobody sees what it does."""


class Chronicle(Protocol):
    """What a trial hears from its processes."""

    world: World
    is_broken: bool
    """Whether a program has raised: there is nothing more to see."""

    def passes(self, kind: Kind, what: str) -> Fault | None:
        """A point is passed: what goes wrong there."""
        ...

    def started(self, life: "Life", activation: Activation, payload: str) -> None: ...

    def returned(self, activation: Activation, children: Sequence[str]) -> None: ...

    def had_effect(
        self, life: "Life", activation: Activation, name: str, key: str | None
    ) -> None: ...

    def overwrote(self, life: "Life", activation: Activation) -> None: ...

    def born(self, delay: float) -> None:
        """Another process is to start then."""
        ...


class Life:
    """A process with a thread for its worker and one for its clients; the `number`-th of a trial.

    saved, run: what it has loaded last, and the run that it made of that, once a handler started.
    """

    def __init__(self, chronicle: Chronicle, number: int) -> None:
        self.number = number
        self.chronicle = chronicle
        self.clock = SimulatedClock(chronicle.world, number)
        self.lease = DEFAULT_LEASE
        self.worker: Worker | None = None
        self.saved: Saved | None = None
        self.run: Any = None
        self.is_over = False
        self.stopping = asyncio.Event()
        self._loops: list[SimulatedLoop] = []
        self._main: asyncio.Task[None] | None = None

    def live(self, main: Callable[["Life"], Awaitable[None]]) -> None:
        """Start, on a thread of its own."""
        loop = self.new_loop()

        async def run() -> None:
            try:
                await main(self)
            except BaseException:
                self.chronicle.is_broken = self.chronicle.is_broken or not self.is_over
                raise
            finally:
                if not self.is_over:
                    self.is_over = True
                    asyncio.get_running_loop().call_soon(self._leave)

        loop.push(lambda: setattr(self, "_main", loop.create_task(run())))

    def new_loop(self) -> SimulatedLoop:
        loop = self.chronicle.world.new_loop()
        self._loops.append(loop)
        return loop

    def error(self) -> BaseException | None:
        """What its program raised, if it has ended so."""
        main = self._main
        return main.exception() if main is not None and main.done() else None

    # --- what may befall it

    def die(self) -> None:
        self.end()
        self.chronicle.born(self.chronicle.world.chance.choice((BRIEFLY, self.lease * 1.2)))

    def freeze(self) -> None:
        """Stand still for longer than the lease, while another process works."""
        self._set_awake(False)
        self.chronicle.world.call_later(self.lease * 1.5, lambda: self._set_awake(True))
        self.chronicle.born(BRIEFLY)

    def stop(self) -> None:
        """What SIGTERM does."""
        if self.worker is not None and not self.is_over:
            self._loops[0].push(self.worker.stop)
            self._loops[-1].push(self.stopping.set)

    def suffer(self, fault: Fault) -> None:
        """Carry out a fault that strikes a handler. May raise."""
        match fault:
            case Fault.FREEZE:
                self.freeze()
            case Fault.STOP:
                self.stop()
                self.chronicle.born(BRIEFLY)
            case Fault.FAIL:
                raise ConnectionError("it failed")
            case Fault.RAISE:
                raise ConnectionError("the reply was lost")
            case _:
                self.perish()

    def perish(self) -> NoReturn:
        """Die here, in the middle of a handler."""
        self.die()
        raise Killed

    def end(self) -> None:
        """Take no more turns."""
        self.is_over = True
        self._leave()

    def bury(self) -> None:
        """Let go of what was left, unseen."""
        unseen = copy_context()
        unseen.run(current.set, NOBODY)
        for loop in self._loops:
            unseen.run(loop.bury)

    def _leave(self) -> None:
        for loop in self._loops:
            self.chronicle.world.drop(loop)

    def _set_awake(self, awake: bool) -> None:
        for loop in self._loops:
            loop.awake = awake

    # --- a witness

    def started(self, activation: Activation, payload: str) -> None:
        self._must_live()
        self.chronicle.started(self, activation, payload)
        if not activation.is_inner:
            self.run = activation.run
        self._pass("start", activation.neuron)

    def returned(self, activation: Activation, children: Sequence[str]) -> None:
        self._must_live()
        self.chronicle.returned(activation, children)

    def asks(self, activation: Activation, name: str) -> None:
        self._must_live()
        self._pass("ask", f"{name!r} of neuron {activation.neuron!r}")

    def had_effect(self, activation: Activation, name: str, key: str | None) -> None:
        self._must_live()
        self.chronicle.had_effect(self, activation, name, key)
        self._pass("effect", f"{name!r} of neuron {activation.neuron!r}")

    def overwrote(self, activation: Activation) -> None:
        self._must_live()
        self.chronicle.overwrote(self, activation)

    def _pass(self, kind: Kind, what: str) -> None:
        fault = self.chronicle.passes(kind, what)
        if fault is not None:
            self.suffer(fault)

    def _must_live(self) -> None:
        if self.is_over:
            raise Killed


class SimulatedIO(IOThread):
    """The thread of the clients of a simulated process: one more loop of the same world."""

    def __init__(self, life: Life) -> None:
        super().__init__()
        self._life = life

    def _is_home(self, loop: asyncio.AbstractEventLoop) -> bool:
        return loop is self._loop

    def _start(self) -> Mailbox:
        if self._mailbox is None:
            self._loop = self._life.new_loop()
            self._mailbox = Mailbox(self._loop)
        return self._mailbox

    def close(self) -> None:
        """It ends with its process."""
