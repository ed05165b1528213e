"""`python -m tests.crash.work URL ...`: a worker process, to be stopped and killed.

Its last neuron says `inside PID` on standard output, takes its time, and answers with its PID.
"""

import argparse
import asyncio
import logging
import os
from typing import Any

from cnstra import CNS, Queue, Worker, collateral, neuron

entry = collateral("entry", int)
middle = collateral("middle", int)
result = collateral("result", int)


def graph(seconds: float) -> CNS:
    first = neuron("first", {"middle": middle}, context=int)
    last = neuron("last", {"result": result})

    @first.dendrite(entry)
    async def on_entry(payload: int, axon: Any, ctx: Any) -> Any:
        ctx.set(os.getpid())
        return axon.middle.create_signal(payload)

    @last.dendrite(middle)
    async def on_middle(payload: int, axon: Any) -> Any:
        print("inside", os.getpid(), flush=True)
        await asyncio.sleep(seconds)
        return axon.result.create_signal(os.getpid())

    return CNS([first, last])


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--sleep", type=float, default=0.0)
    parser.add_argument("--lease", type=float, default=30.0)
    parser.add_argument("--grace", type=float, default=0.0)
    parser.add_argument("--durability", default="behind")
    parser.add_argument("--until-idle", action="store_true")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    async with Queue("q", options.url) as queue:
        worker = Worker(
            queue,
            graph(options.sleep),
            results=[result],
            lease=options.lease,
            grace=options.grace,
            durability=options.durability,
        )
        await worker.run(until_idle=options.until_idle)


if __name__ == "__main__":
    asyncio.run(main())
