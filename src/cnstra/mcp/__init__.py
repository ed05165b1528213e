"""A server of the Model Context Protocol, for people who let an assistant look: the extra `mcp`."""

from typing import Any

from cnstra.errors import MissingExtra
from cnstra.jobs.worker import Worker

PACKAGES = ("mcp", "mcp_types")


def server_of(worker: Worker, *, write: bool = False) -> Any:
    """The server, an `MCPServer`: the worker's graph, its queue's jobs and their explanations.

    worker: whose they are; it does not run here. Its queue is to be open while the server runs.
    write: whether it may also put dead jobs back; else it only shows.

    Its tools are `graph`, `jobs` (at most 200 in one answer), `run`, `explain` and `dead`, and with
    `write` `redrive`; each answers with one JSON object.

    Raises `MissingExtra` without the packages of `cnstra[mcp]`.

    >>> async with worker.queue:
    ...     await server_of(worker).run_stdio_async()
    """
    try:
        from cnstra.mcp.server import build
    except ImportError as error:
        if not (error.name or "").startswith(PACKAGES):
            raise
        raise MissingExtra(what="The MCP server", extra="mcp", reason=error) from error
    return build(worker, write=write)
