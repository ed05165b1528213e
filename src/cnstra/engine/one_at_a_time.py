"""Runs of which one goes at a time."""

from contextvars import ContextVar
from typing import Any

from cnstra.engine.cns import CNS
from cnstra.engine.entries import Signals
from cnstra.engine.stimulation import Stimulation
from cnstra.errors import JoinsItself


class Shared:
    """A run, and how many wait for it."""

    __slots__ = ("run", "sharers")

    def __init__(self) -> None:
        self.run: Stimulation
        self.sharers = 0


_around: ContextVar[tuple[Shared, ...]] = ContextVar("cnstra_shared_runs", default=())
"""The shared runs that this code is a part of."""


class OneAtATime:
    """Of each kind one run of the CNS goes at a time: who asks for another meanwhile shares it.

    It belongs to one event loop. Over processes there is `Queue.enqueue(..., one_at_a_time=...)`.

    >>> imports = OneAtATime(cns)
    >>> run = await imports.run(begin.create_signal(None), kind="nightly")
    """

    def __init__(self, cns: CNS) -> None:
        self._cns = cns
        self._shared: dict[str, Shared] = {}

    async def run(self, signals: Signals, /, *, kind: str = "", **options: Any) -> Stimulation:
        """See the run of this kind that goes through to its end, or else a new one; return it.

        The signals and options, those of `cns.stimulate`, are for a new one. Who is cancelled
        leaves the run to those who share it; once all have left, it is aborted. One that is being
        aborted is not joined: the next begins when it has ended.

        Raises what awaiting the run does, for each that shares it, and `JoinsItself` in a handler
        of that very run.
        """
        shared = self._shared.get(kind)
        while shared is not None and shared.run.aborted and not shared.run.done:
            _require_outside(shared, kind)
            await shared.run.wait_until_done()
            shared = self._shared.get(kind)
        if shared is None or shared.run.done:
            shared = self._start(signals, kind, options)
        _require_outside(shared, kind)
        await _see_through(shared)
        shared.run.raise_for_failures()
        return shared.run

    def _start(self, signals: Signals, kind: str, options: dict[str, Any]) -> Shared:
        shared = Shared()
        token = _around.set((*_around.get(), shared))
        try:
            shared.run = self._cns.stimulate(signals, **options)
        finally:
            _around.reset(token)
        if not shared.run.done:
            self._shared[kind] = shared
            shared.run.spawn(self._forget_when_over(kind, shared))
        return shared

    async def _forget_when_over(self, kind: str, shared: Shared) -> None:
        await shared.run.wait_until_done()
        if self._shared.get(kind) is shared:
            del self._shared[kind]


def _require_outside(shared: Shared, kind: str) -> None:
    if shared in _around.get():
        raise JoinsItself(kind=kind)


async def _see_through(shared: Shared) -> None:
    shared.sharers += 1
    try:
        await shared.run.wait_until_done()
    finally:
        shared.sharers -= 1
        if not shared.sharers and not shared.run.done:
            shared.run.abort("nobody waits for it any more")
