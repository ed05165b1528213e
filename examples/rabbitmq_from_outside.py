"""A program that knows nothing of cnstra puts jobs into a queue on RabbitMQ, binds an exchange of
its own to it, and reads the dead letters.

python examples/rabbitmq_from_outside.py [URL [STORE]]
"""

import asyncio
import json
import sys
from typing import TypedDict

import aio_pika
from aio_pika.abc import AbstractChannel

from cnstra import CNS, Queue, Worker, collateral, neuron


class User(TypedDict):
    user_id: str


import_user = collateral("importUser", User)
importer = neuron("importer", {})


@importer.dendrite(import_user)
async def on_import_user(payload: User) -> None:
    if payload["user_id"] == "13":
        raise LookupError("there is no such user")
    print(f"importing user {payload['user_id']}")


async def publish(channel: AbstractChannel, queue: str) -> None:
    """Any AMQP client, in any language: through the default exchange, or one that is bound."""
    users = await channel.declare_exchange(f"{queue}.events", aio_pika.ExchangeType.TOPIC)
    target = await channel.get_queue(queue)
    await target.bind(users, "user.created")

    await channel.default_exchange.publish(job("42", message_id="import-42"), queue)
    await channel.default_exchange.publish(job("42", message_id="import-42"), queue)
    await users.publish(job("13"), "user.created")
    await channel.default_exchange.publish(aio_pika.Message(b"no job at all"), queue)
    await channel.exchange_delete(users.name)


def job(user_id: str, message_id: str | None = None) -> aio_pika.Message:
    """A job of one attempt. Its id is that of the message: a second one is a copy, and dropped."""
    data = {"signal": {"collateralName": "importUser", "payload": {"user_id": user_id}}}
    return aio_pika.Message(json.dumps(data).encode(), message_id=message_id)


async def read_dead_letters(channel: AbstractChannel, queue: str) -> None:
    """They are messages in a queue of their own, and say what has become of them."""
    dead = await channel.get_queue(f"{queue}.dead")
    while (letter := await dead.get(fail=False)) is not None:
        error = json.loads(letter.body)["cnstra"]["error"]
        print(f"the dead letter: {error['name']}: {error['message']}")
        await letter.ack()


async def main(url: str, store: str) -> None:
    async with Queue("users", url, store=store) as queue, await aio_pika.connect(url) as connection:
        await queue.open()  # makes the queues `users` and `users.dead`, where they are missing
        channel = await connection.channel()
        await publish(channel, "users")

        await Worker(queue, CNS([importer])).run(until_idle=True)

        print(f"left in the queue: {await queue.counts()}")
        await read_dead_letters(channel, "users")


if __name__ == "__main__":
    told = sys.argv[1:]
    url = told[0] if told else "amqp://guest:guest@localhost/"
    asyncio.run(main(url, told[1] if len(told) > 1 else "sqlite:///rabbitmq_from_outside.db"))
