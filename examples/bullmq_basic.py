"""The least that runs on a plain BullMQ worker: each job is one run.

python examples/bullmq_basic.py [REDIS_URL]
"""

# The `bullmq` package does not say its types.
# pyright: basic, reportArgumentType=false

import asyncio
import sys
from typing import Any, TypedDict
from uuid import uuid4

from bullmq import Job, Queue, Worker

from cnstra import CNS, Response, collateral


class User(TypedDict):
    userId: str


import_user = collateral("importUser", User)
cns = CNS()


def heard(response: Response) -> None:
    print(f"heard {response.output_signal}")


cns.add_response_listener(heard)


async def main(url: str) -> None:
    name = f"jobs-{uuid4().hex[:8]}"
    connection = {"connection": f"{url}?socket_timeout=60"}
    done = asyncio.Event()

    async def process(job: Job, token: str) -> None:
        del token
        # Convert the job data into a signal.
        stimulation = cns.stimulate(import_user.create_signal(job.data))
        await stimulation.wait_until_complete()
        done.set()

    worker: Any = Worker(name, process, connection)

    # Enqueue work somewhere else.
    queue = Queue(name, connection)
    await queue.add("importUser", {"userId": "42"})

    await asyncio.wait_for(done.wait(), 30)
    await worker.close()
    await queue.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "redis://localhost:6379"))
