"""A graph, a queue, a worker: the least that runs.

python examples/basic_worker.py [URL]
"""

import asyncio
import sys
from typing import NamedTuple, TypedDict

from cnstra import CNS, Collateral, Queue, Response, Signal, Worker, collateral, neuron


class User(TypedDict):
    user_id: str


# Collaterals are the channels: a name on the wire, and the type of what travels.
import_user = collateral("importUser", User)
imported = collateral("imported", User)


# The axon says what a neuron may emit. Anything else is an error.
class ImporterAxon(NamedTuple):
    imported: Collateral[User]


importer = neuron("importer", ImporterAxon(imported))


@importer.dendrite(import_user)
async def on_import_user(payload: User, axon: ImporterAxon) -> Signal[User]:
    print(f"importing user {payload['user_id']}")
    return axon.imported.create_signal(payload)


cns = CNS([importer])


async def without_a_queue() -> None:
    """A graph needs no broker: it runs where you stand."""
    await cns.stimulate(import_user.create_signal({"user_id": "41"}))

    # Without neurons, a CNS is a bus: it knows every collateral, and its listeners hear all.
    def heard(response: Response) -> None:
        print(f"heard {response.output_signal}")

    bus = CNS()
    bus.add_response_listener(heard)
    await bus.stimulate(imported.create_signal({"user_id": "41"}))


async def with_a_queue(url: str) -> None:
    """Enqueue here or in any other process; a worker makes each job one run of the graph."""
    async with Queue("jobs", url) as queue:
        job = await queue.enqueue(import_user.create_signal({"user_id": "42"}))
        print(f"the job is {await job.state()}")

        # In production it is `await worker.run()`, which works until SIGTERM.
        worker = Worker(queue, cns, results=[imported])
        await worker.run(until_idle=True)

        print(f"the job is {await job.state()}: {await job.result()}")


async def main(url: str) -> None:
    await without_a_queue()
    await with_a_queue(url)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "sqlite:///basic_worker.db"))
