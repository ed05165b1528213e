"""The page: what the workers do, why a job failed, what a retry would run. Extra `dashboard`."""

from collections.abc import Sequence
from typing import Any

from cnstra.engine.cns import CNS
from cnstra.errors import MissingExtra
from cnstra.history.history import History
from cnstra.jobs.queue import Queue
from cnstra.jobs.worker import Worker

PACKAGES = ("jinja2", "markupsafe", "starlette", "uvicorn")


def asgi(
    *shown: Worker | Queue,
    token: str | None = None,
    auth: Any = None,
    write: bool = False,
    cns: CNS | None = None,
    history: History | str | None = None,
    hosts: Sequence[str] = (),
    secret: str | None = None,
) -> Any:
    """The page as an ASGI application, to be served alone or mounted in another.

    shown: the workers or queues to show. A worker brings its graph and its history; for a queue
        they are `cns` and `history`. None of these workers runs here.
    cns: the graph of the queues, and `history` their history, or its URL.
    token: whoever knows it may come in; 16 characters or more.
    auth: or whoever this function of the request (Starlette's) lets in, plain or async: it returns
        something true, at best the person's name, which is kept with what they do. One of the two
        is needed: to others the page is closed.
    write: whether jobs may be retried, edited, sent... here; else it only shows.
    hosts: the host names under which it may be asked for; any, if none is given.
    secret: with `auth`, what all processes that serve the page share: without it each refuses the
        forms of the others.

    Raises `InvalidOption` where nothing is to be shown, everybody would be let in or the token
    is too short, and `MissingExtra` without the packages of `cnstra[dashboard]`.

    >>> app.mount("/jobs", cnstra.dashboard.asgi(worker, auth=signed_in, secret=key, write=True))
    """
    try:
        from cnstra.dashboard.app import application
    except ImportError as error:
        if not (error.name or "").startswith(PACKAGES):
            raise
        raise MissingExtra(what="The page", extra="dashboard", reason=error) from error
    from cnstra.dashboard.sources import sources_of

    found = sources_of(shown, cns, history)
    return application(found, token=token, auth=auth, write=write, hosts=hosts, secret=secret)
