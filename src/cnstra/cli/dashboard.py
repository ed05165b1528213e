"""`cnstra dashboard`."""

import asyncio
import secrets
import sys
from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import quote

import typer

from cnstra.cli.targets import load
from cnstra.cli.usage import QueueInMemory, WrongKind
from cnstra.dashboard import asgi
from cnstra.jobs.queue import Queue
from cnstra.jobs.worker import Worker

LOCAL = ("localhost", "127.0.0.1", "[::1]", "::1")


def dashboard(
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="APP:WORKER...",
            help="Workers to show, or queues; none of them runs here.",
            show_default=False,
        ),
    ],
    host: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8787,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="CNSTRA_DASHBOARD_TOKEN",
            help="What lets people in; made up where it is not given.",
            show_default=False,
        ),
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Let people retry, edit, send and pause.")
    ] = False,
    history: Annotated[
        str | None,
        typer.Option(
            envvar="CNSTRA_HISTORY", help="Of queues: where it is kept.", show_default=False
        ),
    ] = None,
) -> None:
    """Serve the page that shows queues, jobs, runs, the graph.

    And why a job failed. Ends with Ctrl-C.
    """
    shown = [_shown(target) for target in targets]
    key = token or secrets.token_urlsafe(24)
    hosts = () if host in ("0.0.0.0", "::") else (*LOCAL, host)
    app = asgi(*shown, token=key, write=write, history=history, hosts=hosts)
    asyncio.run(_serve(app, shown, host, port, key))


async def _serve(
    app: Any, shown: Sequence[Worker | Queue], host: str, port: int, token: str
) -> None:
    def tell(url: str) -> None:
        print(f"The page is at {url}/login?token={quote(token, safe='')}", flush=True)
        print("Who has that address may come in. Ctrl-C ends it.", file=sys.stderr, flush=True)

    from cnstra.dashboard.serving import serve

    try:
        await serve(app, host, port, tell)
    finally:
        for one in shown:
            if isinstance(one, Worker) and one.history is not None:
                await one.history.close()
            await (one.queue if isinstance(one, Worker) else one).close()


def _shown(target: str) -> Worker | Queue:
    """The worker, or else the queue, of that name."""
    try:
        one: Worker | Queue = load(target, Worker)
    except WrongKind:
        one = load(target, Queue)
    queue = one.queue if isinstance(one, Worker) else one
    if queue.url.startswith("memory:"):
        raise QueueInMemory(queue=queue.name, url=queue.url)
    return one
