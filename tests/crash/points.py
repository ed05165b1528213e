"""`python -m tests.crash.points DURABILITY`: a real death at every point of a job, one by one.

Between any two of: handler returned, checkpoint sent, checkpoint landed, result stored and job
acknowledged (which are one step on SQLite). The deaths are injected by wrapping the store and
broker protocols.
"""

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from cnstra.durable.journal import Durability
from cnstra.durable.store import Patch, ProgressStore, Ticket
from cnstra.jobs.broker import Broker
from tests.crash.flow import Ahead, Flow, Log, Place, ended, fork
from tests.durables import BrokerAround, StoreAround

FLOW = Flow(width=2, steps=2, longest=0.004)
POINTS = (
    "effect done, handler not returned",
    "handler returned, checkpoint not sent",
    "checkpoint sent, not landed",
    "checkpoint landed",
    "settlement not sent",
    "settlement sent, not landed",
    "result stored and job acknowledged",
)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Death:
    """Comes when its point is passed for the n-th time."""

    def __init__(self, point: str, number: int) -> None:
        self.point = point
        self.left = number

    def passes(self, point: str) -> None:
        if point == self.point:
            self.left -= 1
            if self.left == 0:
                die()


class DyingStore(StoreAround):
    def __init__(self, inner: ProgressStore, death: Death) -> None:
        super().__init__(inner)
        self.death = death

    async def commit(self, ticket: Ticket, patch: Patch) -> None:
        self.death.passes("handler returned, checkpoint not sent")
        sent = asyncio.ensure_future(self.inner.commit(ticket, patch))
        await asyncio.sleep(0)
        if not sent.done():
            self.death.passes("checkpoint sent, not landed")
        await sent
        self.death.passes("checkpoint landed")


class DyingBroker(BrokerAround):
    def __init__(self, inner: Broker, death: Death) -> None:
        assert inner.store is not None
        super().__init__(inner, DyingStore(inner.store, death))
        self.death = death

    async def settle(self, delivery: Any, settlement: Any, ticket: Any, ahead: Any = None) -> None:
        self.death.passes("settlement not sent")
        sent = asyncio.ensure_future(self.inner.settle(delivery, settlement, ticket))
        await asyncio.sleep(0)
        if not sent.done():
            self.death.passes("settlement sent, not landed")
        await sent
        self.death.passes("result stored and job acknowledged")


class DyingLog(Log):
    """Its death comes after an effect and before the handler has returned."""

    death: Death

    def write(self, what: str, work: Any) -> None:
        super().write(what, work)
        if what == "end":
            self.death.passes("effect done, handler not returned")


def try_point(folder: Path, point: str, number: int, durability: Durability) -> list[str] | None:
    """What was wrong after that death; `None` if the job was over before it came."""
    place = Place(f"sqlite:///{folder}/jobs.db?synchronous=normal", Ahead(0.0))
    place.enqueue(FLOW, 1)
    log, death = DyingLog(folder / "effects"), Death(point, number)
    log.death = death

    def dying() -> None:
        def wrap(broker: Broker) -> Broker:
            return cast(Broker, DyingBroker(broker, death))

        place.work(FLOW.cns(log), wrap=wrap, durability=durability)

    status = ended(fork(dying))
    if status == 0:
        return None
    complaints = [] if status == -signal.SIGKILL else [f"it ended with {status}"]
    place.clock.ahead += 100.0
    if ended(fork(lambda: place.work(FLOW.cns(Log(log.path)), durability=durability))):
        complaints.append("the second worker failed")
    if place.records() != [("completed", 0, FLOW.result(0))]:
        complaints.append(f"the job is {place.records()}")
    if place.left_behind():
        complaints.append("it left progress behind")
    return [*complaints, *FLOW.complaints(log, 1, in_order=durability == "step")]


def every_point(durability: Durability) -> Iterator[tuple[str, int, list[str]]]:
    for point in POINTS:
        number = 0
        while True:
            number += 1
            with tempfile.TemporaryDirectory() as folder:
                complaints = try_point(Path(folder), point, number, durability)
            if complaints is None:
                break
            yield point, number, complaints


def main() -> int:
    durability = cast(Durability, sys.argv[1])
    failed = False
    for point, number, complaints in every_point(durability):
        failed = failed or bool(complaints)
        print(f"{durability:7} {point:40} {number:3}  {'; '.join(complaints) or 'ok'}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
