"""A durable run as a plain function, inside a worker that you have already.

python examples/inside_another_worker.py [URL]

The task runner here stands for Celery, Dramatiq, Taskiq or Lambda: all it knows is to call a
function with a task id, and to call it again when it raised.
"""

import sys
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple, TypedDict

from cnstra import (
    CNS,
    Collateral,
    Signal,
    StimulationFailed,
    blocking,
    collateral,
    neuron,
    run_durably,
)


class Order(TypedDict):
    order_id: str


class Receipt(TypedDict):
    order_id: str
    paid: bool


order = collateral("order", Order)
reserved = collateral("reserved", Order)
receipt = collateral("receipt", Receipt)


class StockAxon(NamedTuple):
    reserved: Collateral[Order]


class TillAxon(NamedTuple):
    receipt: Collateral[Receipt]


stock = neuron("stock", StockAxon(reserved))
till = neuron("till", TillAxon(receipt))


class Bank:
    is_open = False


@stock.dendrite(order)
def on_order(payload: Order, axon: StockAxon) -> Signal[Order]:
    print("reserve the goods")
    return axon.reserved.create_signal(payload)


@till.dendrite(reserved)
def on_reserved(payload: Order, axon: TillAxon) -> Signal[Receipt]:
    if not Bank.is_open:
        print("the bank is closed")
        raise ConnectionError("the bank is closed")
    print("charge the card")
    return axon.receipt.create_signal({"order_id": payload["order_id"], "paid": True})


cns = CNS([stock, till])


def process_order(task_id: str, store: str, payload: Order) -> dict[str, Any]:
    """The task. In Celery: `@app.task(bind=True)`, and `self.request.id` for `task_id`."""
    signal = order.create_signal(payload)
    return blocking(run_durably(cns, signal, key=task_id, store=store, results=[receipt]))


def call_until_it_returns(task: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The task runner that you have already."""
    while True:
        try:
            return task()
        except StimulationFailed as error:
            print(f"the runner will call again: {error.failed_tasks[0].error}")
            Bank.is_open = True


def main(store: str) -> None:
    task_id = uuid.uuid4().hex

    def task() -> dict[str, Any]:
        return process_order(task_id, store, {"order_id": "A-7"})

    print(f"result: {call_until_it_returns(task)}")

    # A runner that calls once too often gets the same result, and nothing runs.
    print(f"again: {task()}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "sqlite:///inside_another_worker.db")
