"""A job that is added in the transaction that also stores what it is about: both, or neither.

python examples/postgres_transaction.py [POSTGRES_URL]
"""

import asyncio
import sys
from typing import TypedDict

import psycopg

from cnstra import CNS, Queue, Worker, collateral, neuron


class Order(TypedDict):
    id: int


placed = collateral("placed", Order)
shipper = neuron("shipper", {})


@shipper.dendrite(placed)
async def ship(payload: Order) -> None:
    print(f"order {payload['id']} is shipped")


cns = CNS([shipper])


async def place(connection: psycopg.AsyncConnection, queue: Queue, number: int) -> None:
    """Store an order and add its job. Whoever commits makes both true at once."""
    await connection.execute("INSERT INTO orders VALUES (%s)", [number])
    signal = placed.create_signal({"id": number})
    await queue.enqueue(signal, connection=connection, job_id=f"ship-{number}")


async def main(url: str) -> None:
    database = url.partition("?")[0]
    async with (
        Queue("shipping", url) as queue,
        await psycopg.AsyncConnection.connect(database) as connection,
    ):
        await connection.execute("CREATE TEMPORARY TABLE orders (id int)")
        await connection.commit()

        try:
            async with connection.transaction():
                await place(connection, queue, 1)
                raise RuntimeError("the card is declined")
        except RuntimeError as error:
            print(f"order 1 is rolled back: {error}")

        async with connection.transaction():
            await place(connection, queue, 2)
            print(f"before the commit the queue holds {len(await queue.jobs())} jobs")

        orders = await (await connection.execute("SELECT count(*) FROM orders")).fetchone()
        print(
            f"after it {len(await queue.jobs())}, and the table {orders[0] if orders else 0} orders"
        )

        await Worker(queue, cns).run(until_idle=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "postgresql://localhost/postgres"))
