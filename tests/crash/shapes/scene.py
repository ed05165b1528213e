"""A graph in the making."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypedDict

from cnstra import CNS, Collateral, Context, Neuron, Signal, collateral, neuron
from cnstra.clock import Clock
from tests.crash.names import ENTRY, branch, heard_by
from tests.crash.witness import Line, What

Kind = Literal["sync", "async", "thread"]


class Work(TypedDict):
    """What every signal carries: the job, the activation's name, and who emitted it."""

    job: str
    at: str
    by: str


class Stage(Protocol):
    """Where a graph runs: in a test's process, or in one that will be killed."""

    clock: Clock
    life: int

    def write(self, line: Line) -> None:
        """Tell the witness. A dead worker's lines do not reach it."""
        ...

    def count(self, what: What, job: str, at: str) -> int:
        """How many such lines there are, of all workers."""
        ...

    def stop(self) -> None:
        """Tell the worker to stop, as SIGTERM does."""
        ...

    async def work(self) -> None:
        """What a handler takes its time for."""
        ...

    async def rest(self) -> None:
        """Let more than a lease pass."""
        ...


Trouble = Callable[[Work, Context[Any]], Awaitable[bool]]
"""What goes wrong in a handler; `True` when it is to return nothing."""


class Broken(RuntimeError):
    """What a handler raises that is told to fail."""


class Scene:
    """Makes the neurons of a graph, and knows its collaterals."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.entry = self.channel("entry")
        self.result = self.channel("result")

    def channel(self, name: str) -> Collateral[Work]:
        return collateral(name, Work)

    def node(
        self,
        name: str,
        source: Collateral[Work] | Sequence[Collateral[Work]],
        target: Collateral[Work] | None = None,
        *,
        width: int = 1,
        kind: Kind = "async",
        trouble: Trouble | None = None,
        **options: Any,
    ) -> Neuron[Any, Any]:
        """A neuron that emits `width` signals, each a branch."""

        def emit(work: Work, ctx: Context[Any]) -> list[Signal[Work]]:
            del ctx
            if target is None:
                return []
            return [target.create_signal(self.next(work, n)) for n in range(width)]

        return self.neuron(name, source, emit, [target], kind=kind, trouble=trouble, **options)

    def neuron(
        self,
        name: str,
        source: Collateral[Work] | Sequence[Collateral[Work]],
        emit: Callable[[Work, Context[Any]], list[Signal[Work]]],
        targets: Sequence[Collateral[Work] | None],
        *,
        kind: Kind = "async",
        trouble: Trouble | None = None,
        early: bool = False,
        **options: Any,
    ) -> Neuron[Any, Any]:
        """A neuron that emits what `emit` says, once it has noted its visit in its context.

        early: it does so first of all, and would do so twice if it found its own note.
        """
        axon = {one.name: one for one in targets if one is not None}
        made = neuron(name, axon, context=list[str], in_thread=kind == "thread", **options)

        def finish(work: Work, ctx: Context[Any]) -> list[Signal[Work]]:
            if not early:
                ctx.set(sorted({*ctx.get([]), work["at"]}))
            outputs = emit(work, ctx)
            self.tell("end", name, work, ctx, tuple(ctx.get([])))
            return outputs

        async def later(work: Work, axon: Any, ctx: Context[Any]) -> list[Signal[Work]] | None:
            del axon
            work = self._named(name, work)
            self.tell("start", name, work, ctx)
            if early:
                ctx.set([*ctx.get([]), work["at"]])
            if trouble is not None and await trouble(work, ctx):
                return None
            await self.stage.work()
            return finish(work, ctx)

        def at_once(work: Work, axon: Any, ctx: Context[Any]) -> list[Signal[Work]]:
            del axon
            work = self._named(name, work)
            self.tell("start", name, work, ctx)
            return finish(work, ctx)

        return made.dendrite(source, later if kind == "async" else at_once)

    def _named(self, name: str, work: Work) -> Work:
        return {**work, "at": heard_by(work["at"], name)}

    def next(self, work: Work, number: int | str) -> Work:
        """The payload of a branch of this activation."""
        return {"job": work["job"], "at": branch(work["at"], number), "by": work["at"]}

    def tell(
        self, what: What, name: str, work: Work, ctx: Context[Any], seen: tuple[str, ...] = ()
    ) -> None:
        self.stage.write(Line(
            what, self.stage.life, work["job"], work["at"], work["by"], name,
            ctx.idempotency_key, seen,
        ))  # fmt: skip

    # --- troubles, each once an activation

    def _is_due(self, name: str, work: Work, ctx: Context[Any], times: int = 1) -> bool:
        if self.stage.count("trouble", work["job"], work["at"]) >= times:
            return False
        self.tell("trouble", name, work, ctx)
        return True

    def fails(self, name: str, *where: str, times: int = 1) -> Trouble:
        """It raises so many times; at these branches, or at each."""

        async def trouble(work: Work, ctx: Context[Any]) -> bool:
            if (not where or work["at"] in where) and self._is_due(name, work, ctx, times):
                raise Broken(work["at"])
            return False

        return trouble

    def hangs(self, name: str) -> Trouble:
        """It takes for ever, the first time."""

        async def trouble(work: Work, ctx: Context[Any]) -> bool:
            if self._is_due(name, work, ctx):
                await asyncio.Event().wait()
            return False

        return trouble

    def stops(self, name: str, *where: str) -> Trouble:
        """It has its worker stopped, the first time, and obeys the abort."""

        async def trouble(work: Work, ctx: Context[Any]) -> bool:
            if (where and work["at"] not in where) or not self._is_due(name, work, ctx):
                return False
            self.stage.stop()
            await ctx.abort_signal.wait()
            return True

        return trouble


@dataclass(frozen=True)
class Shape:
    """A graph, and how its jobs are run.

    attempts: its jobs' `max_attempts`. redrives: how often it is dead-lettered and put back.
    listens: whether a listener holds its successors up. checkpoints: the neurons that are saved
    before they start. rivals: how many workers look for its jobs beside the one that has them.
    """

    name: str
    build: Callable[[Scene], list[Neuron[Any, Any]]]
    attempts: int = 1
    redrives: int = 0
    listens: bool = False
    checkpoints: frozenset[str] = frozenset()
    rivals: int = 0

    def cns(self, stage: Stage) -> CNS:
        cns = CNS(self.build(Scene(stage)), clock=stage.clock)
        if self.listens:
            cns.add_response_listener(_takes_a_turn)
        return cns

    def signal(self, job: str) -> dict[str, Any]:
        payload: Work = {"job": job, "at": ENTRY, "by": ""}
        return {"collateralName": "entry", "payload": payload}


async def _takes_a_turn(response: Any) -> None:
    del response
    await asyncio.sleep(0)
