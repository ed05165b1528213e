"""One customer's jobs one after the other, those of different customers side by side: SQS FIFO.

python examples/sqs_in_order.py [URL [STORE]]

The URL is `sqs://eu-central-1?fifo=true`, say. The first call for Ada fails, and still comes
before her second.
"""

import asyncio
import sys
from typing import NamedTuple, TypedDict

from cnstra import CNS, Collateral, Context, Queue, Signal, Worker, collateral, fixed, neuron


class Change(TypedDict):
    customer: str
    address: str


change = collateral("change", Change)
changed = collateral("changed", Change)


class RegisterAxon(NamedTuple):
    changed: Collateral[Change]


register = neuron("register", RegisterAxon(changed), context=int)


@register.dendrite(change)
async def on_change(payload: Change, axon: RegisterAxon, ctx: Context[int]) -> Signal[Change]:
    if payload["address"] == "Oxford" and ctx.attempt == 1:
        raise ConnectionError("the register does not answer")
    print(f"{payload['customer']} lives in {payload['address']}")
    return axon.changed.create_signal(payload)


async def main(url: str, store: str) -> None:
    moves = [("Ada", "Oxford"), ("Ada", "Paris"), ("Ada", "Rome"), ("Bob", "Wien")]
    async with Queue("moves", url, store=store) as queue:
        jobs = [
            await queue.enqueue(
                change.create_signal({"customer": customer, "address": address}),
                ordering_key=customer,
                max_attempts=3,
                backoff=fixed(1),
            )
            for customer, address in moves
        ]
        worker = Worker(queue, CNS([register]), results=[changed], concurrency=4)
        await worker.run(until_idle=True)
        print([await job.state() for job in jobs])


if __name__ == "__main__":
    told = sys.argv[1:]
    url = told[0] if told else "sqs://?fifo=true"
    asyncio.run(main(url, told[1] if len(told) > 1 else "sqlite:///sqs_in_order.db"))
