"""The branches of several jobs meet in an OIMDB, which tells a board what has changed.

python examples/live_totals.py [URL]

Each branch stores its part under a key of its own, so that a repeat replaces it and adds nothing.
One branch fails after it has written: what it wrote is taken back, and the board never shows it.
"""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypedDict

from cnstra import CNS, Collateral, Context, Queue, Resource, Signal, Worker, collateral, neuron
from cnstra.oimdb import OIMDB, Change, Collection, Index


class Order(TypedDict):
    customer: str
    prices: list[int]


class Line(TypedDict):
    customer: str
    price: int


order = collateral("order", Order)
line = collateral("line", Line)


@dataclass(frozen=True)
class Part:
    key: str
    customer: str
    price: int


class Board:
    """What is shown: the parts, and the total of each customer whose parts have changed."""

    def __init__(self) -> None:
        self.db = OIMDB()
        self.parts: Collection[str, Part] = self.db.collection(
            "parts", Part, key=lambda part: part.key
        )
        self.by_customer: Index[str, str, Part] = self.parts.index(
            "customer", lambda part: part.customer
        )
        self.parts.on_change(self.show)

    def show(self, changes: Sequence[Change[str, Part]]) -> None:
        changed = {change.after.customer for change in changes if change.after is not None}
        for customer in sorted(changed):
            total = sum(part.price for part in self.by_customer.get(customer))
            print(f"{customer}: {total}")


board = Resource[Board]("board")


class SplitterAxon(NamedTuple):
    line: Collateral[Line]


splitter = neuron("splitter", SplitterAxon(line))
booker = neuron("booker", {})

jammed = {30}


@splitter.dendrite(order)
def on_order(payload: Order, axon: SplitterAxon) -> list[Signal[Line]]:
    return [
        axon.line.create_signal({"customer": payload["customer"], "price": price})
        for price in payload["prices"]
    ]


@booker.dendrite(line)
async def on_line(payload: Line, axon: object, ctx: Context[None]) -> None:
    price = payload["price"]
    part = Part(ctx.idempotency_key, payload["customer"], price)
    ctx.resources[board].parts.upsert(part, undo=ctx)
    await asyncio.sleep(0)
    if price in jammed:
        jammed.discard(price)
        raise OSError("the printer is jammed")


cns = CNS([splitter, booker])


async def main(url: str) -> None:
    shown = Board()
    shown.db.flush_with(cns, each="run")  # each attempt at a job is a run
    async with Queue("orders", url) as queue:
        await queue.enqueue(order.create_signal({"customer": "ann", "prices": [10, 20]}))
        await queue.enqueue(
            order.create_signal({"customer": "bob", "prices": [1, 30]}), max_attempts=2
        )
        await queue.enqueue(order.create_signal({"customer": "ann", "prices": [5]}))
        await Worker(queue, cns, resources=[board.of(shown)]).run(until_idle=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "sqlite:///live_totals.db"))
