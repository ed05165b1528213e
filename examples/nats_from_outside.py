"""A program that knows nothing of cnstra puts jobs into a queue on NATS; a worker here runs them.

python examples/nats_from_outside.py [URL]
"""

import asyncio
import json
import sys
from typing import TypedDict
from urllib.parse import urlsplit

from nats.aio.client import Client

from cnstra import CNS, Queue, Worker, collateral, neuron


class User(TypedDict):
    user_id: str


import_user = collateral("importUser", User)
importer = neuron("importer", {})


@importer.dendrite(import_user)
async def on_import_user(payload: User) -> None:
    print(f"importing user {payload['user_id']}")


async def stranger(url: str, subject: str) -> None:
    """Any NATS client, in any language."""
    client = Client()
    await client.connect(url)
    job = {"signal": {"collateralName": "importUser", "payload": {"user_id": "42"}}}
    once = {"Nats-Msg-Id": "user-42"}
    # A request, as the stream answers once it has the message.
    await client.request(subject, json.dumps(job).encode(), headers=once, timeout=5)
    await client.request(subject, json.dumps(job).encode(), headers=once, timeout=5)
    await client.request(subject, b"no job at all", timeout=5)
    await client.close()


async def main(url: str) -> None:
    namespace = urlsplit(url).path.strip("/") or "cnstra"
    async with Queue("users", url) as queue:
        await queue.open()  # makes the stream of the subject `cnstra.users`, where it is missing
        await stranger(url, f"{namespace}.users")

        await Worker(queue, CNS([importer])).run(until_idle=True)

        print(f"left in the queue: {await queue.counts()}")
        for dead in await queue.jobs("dead"):
            print(f"the dead letter: {dead.error and dead.error['name']}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "nats://localhost:4222"))
