"""The flow that every test runs: three steps, whose payload tells what goes wrong in them."""

import asyncio
import os
import signal
import time
from collections.abc import Mapping
from functools import partial
from typing import Any, NotRequired, TypedDict

from cnstra import CNS, Collateral, Context, Neuron, Signal, collateral, neuron
from cnstra.testing.effects import Effects, What

GLANCE = 0.01
STEPS = ("first", "middle", "last")


class Mishap(TypedDict, total=False):
    """What goes wrong in a step, before its effect; `times` says in how many of its starts.

    grow: so many bytes to write into the context. block: seconds to hold up the event loop. sleep:
    seconds to wait. meet: wait until so many jobs have come to this step. hang: wait until the run
    is aborted. die: SIGKILL the process. fail: raise.
    """

    times: int
    grow: int
    block: float
    sleep: float
    meet: int
    hang: bool
    die: bool
    fail: bool


class Work(TypedDict):
    """A payload: whose job it is, what will go wrong at each step, ballast, and the seconds that
    each step takes.
    """

    job: str
    mishaps: NotRequired[dict[str, Mishap]]
    ballast: NotRequired[str]
    takes: NotRequired[float]


class Broken(RuntimeError):
    """What a step raises that is told to fail."""


entry = collateral("entry", Work)
ready = collateral("ready", Work)
done = collateral("done", Work)
result = collateral("result", Work)


def job(name: str, ballast: str = "", **mishaps: Mishap) -> Signal[Work]:
    """The signal that begins a job."""
    return entry.create_signal({"job": name, "mishaps": mishaps, "ballast": ballast})


def graph(effects: Effects, *, middle: Mapping[str, Any] | None = None) -> CNS:
    """The flow. `middle` are options of the middle step's neuron; its `name` among them."""
    options = {"name": "middle", **(middle or {})}
    return CNS(
        [
            _step(effects, "first", entry, ready, name="first"),
            _step(effects, "middle", ready, done, **options),
            _step(effects, "last", done, result, name="last"),
        ]
    )


def graph_without_middle(effects: Effects) -> CNS:
    """The flow after a deploy that took the middle step out."""
    return CNS(
        [
            _step(effects, "first", entry, ready, name="first"),
            _step(effects, "last", done, result, name="last"),
        ]
    )


def _step(
    effects: Effects,
    step: str,
    source: Collateral[Work],
    target: Collateral[Work],
    *,
    name: str,
    **options: Any,
) -> Neuron[Any, Any]:
    made = neuron(name, {"target": target}, **options)

    async def handler(work: Work, axon: Any, ctx: Context[Any]) -> Signal[Work] | None:
        seen = ctx.get(0)
        ctx.set(seen + 1 if isinstance(seen, int) else seen)
        note = partial(
            effects.write, job=work["job"], step=step, attempt=ctx.attempt,
            key=ctx.idempotency_key, seen=seen,
        )  # fmt: skip
        note("start")
        came_of_it: What = "leave"
        try:
            if await _lived_through(work, step, effects, ctx):
                came_of_it = "end"
        finally:
            note(came_of_it)
        if came_of_it == "leave":
            return None
        out: Signal[Work] = axon.target.create_signal(work)
        return out

    return made.dendrite(source, handler)


async def _lived_through(work: Work, step: str, effects: Effects, ctx: Context[Any]) -> bool:
    """Take the step's time and suffer its mishap; `False` if the run was aborted meanwhile."""
    if takes := work.get("takes", 0.0):
        await asyncio.sleep(takes)
    mishap = work.get("mishaps", {}).get(step)
    if not mishap or len(effects.starts(step, work["job"])) > mishap.get("times", 1):
        return True
    await _suffer(mishap, ctx)
    while len({one.job for one in effects.all("start", step=step)}) < mishap.get("meet", 0):
        await asyncio.sleep(GLANCE)
    return "hang" not in mishap


async def _suffer(mishap: Mishap, ctx: Context[Any]) -> None:
    if "grow" in mishap:
        ctx.set("x" * mishap["grow"])
    if "block" in mishap:
        time.sleep(mishap["block"])  # noqa: ASYNC251 - to block the loop is the point
    if "sleep" in mishap:
        await asyncio.sleep(mishap["sleep"])
    if "hang" in mishap:
        await ctx.abort_signal.wait()
    if "die" in mishap:
        os.kill(os.getpid(), signal.SIGKILL)
    if "fail" in mishap:
        raise Broken("as it was told to")
