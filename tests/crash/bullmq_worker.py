"""A Python worker of the mixed fleet: the seed's three steps, failing and aborting by chance.

    python -m tests.crash.bullmq_worker '{"url": "redis://...", "queue": "q", "log": "fleet:log"}'

failRate: in how many of 1 steps it raises.   restRate: how often it stops and starts again, as a
    deploy does.
"""

import asyncio
import json
import os
import random
import sys
import time
from typing import Any

import redis.asyncio

from cnstra import Queue, Worker
from cnstra.engine.context import Context
from tests.flows import output, three_steps


async def main(options: dict[str, Any]) -> None:
    notes = redis.asyncio.Redis.from_url(options["url"])

    async def work(step: str, item: int, ctx: Context[Any]) -> None:
        note = {
            "by": "python",
            "step": step,
            "id": item,
            "attempt": ctx.attempt,
            "pid": os.getpid(),
            "at": time.time(),
        }
        await notes.rpush(options["log"], json.dumps(note))
        await asyncio.sleep(options.get("stepTime", 0) / 1000)
        if random.random() < options.get("failRate", 0):
            raise RuntimeError(f"{step} failed in Python by chance")

    async with Queue(options["queue"], options["url"]) as queue:
        while True:
            worker = Worker(
                queue, three_steps(work), concurrency=options.get("concurrency", 4),
                results=[output], durability="step", lease=options.get("lease", 2.0), grace=0.0,
                crash_limit=None,
            )  # fmt: skip
            running = asyncio.create_task(worker.run())
            if options.get("restEvery"):
                await asyncio.sleep(options["restEvery"] * random.uniform(0.5, 1.5))
                worker.stop()
            await running


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
