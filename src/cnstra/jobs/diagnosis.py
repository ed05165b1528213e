"""What may be wrong with a queue's broker, store or clock, before it costs anybody a job."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from cnstra.clock import Clock
from cnstra.errors import CnstraError
from cnstra.jobs.queue import Queue

Level = Literal["ok", "warning", "error"]

SKEW = 1.0
"""Seconds that a server's clock may differ by: delays and leases are then off by as much."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. warning: it may lose work or time. error: nothing can run."""

    level: Level
    what: str
    message: str


@runtime_checkable
class Diagnoses(Protocol):
    """A broker, or a store, that can look at the settings of its server."""

    async def diagnose(self) -> Sequence[Finding]: ...


async def examine(queue: Queue) -> list[Finding]:
    """Look at everything that can be seen from here. Never raises for what is wrong out there."""
    try:
        started = queue.clock.monotonic()
        await queue.open()
        await queue.counts()
    except CnstraError as error:
        return [Finding("error", "broker", str(error))]
    took = (queue.clock.monotonic() - started) * 1000
    found = [Finding("ok", "broker", f"{queue.place} answers, in {took:.0f} ms")]
    found += _limits(queue)
    found += await _asked(queue, "broker", queue.broker)
    store = queue.store
    if store is None:
        found.append(
            Finding(
                "warning",
                "store",
                "there is none: a worker here runs with durability='exit' only, and what it did "
                "is lost with its process. Give Queue(..., store=...) or CNSTRA_STORE",
            )
        )
    elif store is not queue.broker.store:
        found.append(Finding("ok", "store", f"{type(store).__name__}, beside the broker"))
        found += await _asked(queue, "store", store)
    if await queue.paused():
        found.append(Finding("warning", "queue", "it is paused: `cnstra resume` lets it go on"))
    return found


async def clock_finding(clock: Clock, ask: Callable[[], Awaitable[float]]) -> Finding:
    """How far the server's clock is from ours, by its time in seconds since the epoch."""
    before = clock.time()
    theirs = await ask()
    after = clock.time()
    skew = theirs - (before + after) / 2
    uncertain = (after - before) / 2
    if abs(skew) - uncertain > SKEW:
        message = f"{skew:+.1f} s from this machine's: set both by NTP, as delays go by them"
        return Finding("warning", "clock", message)
    return Finding("ok", "clock", f"{skew:+.3f} s from this machine's")


def _limits(queue: Queue) -> Iterator[Finding]:
    can = queue.broker.capabilities
    if can.max_payload is not None:
        yield Finding("ok", "limits", f"a job's data may have {can.max_payload:,} bytes")
    if can.longest_lease is not None:
        after = "is parked, or handed to its store" if can.hands_over else "must have ended"
        yield Finding("ok", "limits", f"a job {after} before {can.longest_lease:,.0f} s")
    if not can.durable:
        yield Finding("warning", "broker", "jobs live in this process and end with it")


async def _asked(queue: Queue, what: str, one: object) -> Sequence[Finding]:
    if not isinstance(one, Diagnoses):
        return ()
    try:
        return await queue.io.call(one.diagnose)
    except CnstraError as error:
        return [Finding("error", what, str(error))]
