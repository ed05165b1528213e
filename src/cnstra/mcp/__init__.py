"""A server of the Model Context Protocol, for people who let an assistant look: the extra `mcp`."""

from typing import Any

from cnstra.errors import MissingExtra
from cnstra.jobs.worker import Worker

PACKAGES = ("mcp", "mcp_types")


def server_of(worker: Worker, *, write: bool = False) -> Any:
    """The server, an `MCPServer`: the worker's graph, its queue's jobs and their explanations.

    write: whether it may also put dead jobs back; else it only shows. The worker does not run here.

    Raises `MissingExtra` without the package of `cnstra[mcp]`.
    """
    try:
        from cnstra.mcp.server import build
    except ImportError as error:
        if not (error.name or "").startswith(PACKAGES):
            raise
        raise MissingExtra(what="The MCP server", extra="mcp", reason=error) from error
    return build(worker, write=write)
