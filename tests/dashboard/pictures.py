"""A graph with something to see, for the pictures in the documentation."""

import asyncio
import random
from typing import NamedTuple, TypedDict

from cnstra import CNS, Collateral, Context, Signal, collateral, neuron

PATIENT = "Di"
"""A customer whose bank takes its time: a worker is at it as long as it runs."""


class Parcel(TypedDict):
    id: int
    customer: str
    express: bool


order = collateral("order", Parcel)
reserved = collateral("reserved", Parcel)
rejected = collateral("rejected", Parcel)
charged = collateral("charged", Parcel)
parcel = collateral("parcel", Parcel)
mail = collateral("mail", Parcel)
again = collateral("again", Parcel)
receipt = collateral("receipt", Parcel)


class StockAxon(NamedTuple):
    reserved: Collateral[Parcel]
    rejected: Collateral[Parcel]


class TillAxon(NamedTuple):
    charged: Collateral[Parcel]


class DispatchAxon(NamedTuple):
    parcel: Collateral[Parcel]
    mail: Collateral[Parcel]


class ShipAxon(NamedTuple):
    receipt: Collateral[Parcel]
    again: Collateral[Parcel]


def warehouse() -> CNS:
    """Reserve, charge, dispatch, ship; some banks and some couriers do not answer."""
    chance = random.Random(7)
    stock = neuron("stock", StockAxon(reserved, rejected), context=dict[str, int])
    till = neuron("till", TillAxon(charged), concurrency=3)
    dispatch = neuron("dispatch", DispatchAxon(parcel, mail))
    ship = neuron("ship", ShipAxon(receipt, again), checkpoint=True)
    mailer, audit = neuron("mailer", {}), neuron("audit", {})

    @stock.dendrite(order)
    async def reserve(
        payload: Parcel, axon: StockAxon, ctx: Context[dict[str, int]]
    ) -> Signal[Parcel]:
        await asyncio.sleep(0.02 * chance.random())
        ctx.set({"shelf": payload["id"] % 9})
        return axon.reserved.create_signal(payload)

    @till.dendrite(reserved)
    async def charge(payload: Parcel, axon: TillAxon) -> Signal[Parcel]:
        await asyncio.sleep(0.01 + 0.05 * chance.random())
        if payload["customer"] == PATIENT:
            await asyncio.Event().wait()
        if payload["id"] % 11 == 3:
            raise ConnectionError(f"the bank does not answer on port {payload['id'] + 8000}")
        return axon.charged.create_signal(payload)

    @dispatch.dendrite([charged, again])
    async def split(payload: Parcel, axon: DispatchAxon) -> list[Signal[Parcel]]:
        return [axon.parcel.create_signal(payload), axon.mail.create_signal(payload)]

    @ship.dendrite(parcel)
    async def send(payload: Parcel, axon: ShipAxon) -> Signal[Parcel]:
        await asyncio.sleep(0.05 * chance.random())
        if payload["id"] % 23 == 5:
            raise ValueError(f"no courier for '{payload['customer']}'")
        return axon.receipt.create_signal(payload)

    @mailer.dendrite(mail)
    async def write(payload: Parcel) -> None:
        await asyncio.sleep(0.02 * chance.random())

    @audit.dendrite(reserved)
    async def look(payload: Parcel) -> None: ...

    return CNS([stock, till, dispatch, ship, mailer, audit])
