"""`cnstra mcp`."""

import asyncio
import sys
from typing import Annotated

import typer

from cnstra.cli.targets import load
from cnstra.cli.usage import QueueInMemory
from cnstra.jobs.worker import Worker
from cnstra.mcp import server_of


def mcp(
    target: Annotated[
        str,
        typer.Argument(
            metavar="APP:WORKER", help="A worker; it does not run here.", show_default=False
        ),
    ],
    write: Annotated[bool, typer.Option("--write", help="Let dead jobs be put back.")] = False,
) -> None:
    """Let an assistant look at the graph, and at jobs.

    And at why they failed: it speaks the Model Context Protocol on standard input and output.
    """
    worker = load(target, Worker)
    if worker.queue.url.startswith("memory:"):
        raise QueueInMemory(queue=worker.queue.name, url=worker.queue.url)
    server = server_of(worker, write=write)

    async def serve() -> None:
        async with worker.queue:
            await server.run_stdio_async()

    print(f"cnstra: the tools of queue {worker.queue.name!r} are served", file=sys.stderr)
    asyncio.run(serve())
