"""The application: which address shows or does what."""

from collections.abc import Sequence
from pathlib import Path

from starlette.applications import Starlette
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cnstra.dashboard import acts, dead, editing, entering, graph, job, live, overview, sending
from cnstra.dashboard import lists as listing
from cnstra.dashboard.access import Auth, Gate
from cnstra.dashboard.desk import HEADERS, Desk
from cnstra.dashboard.sources import Source

STATIC = Path(__file__).parent / "static"


def application(
    sources: Sequence[Source],
    *,
    token: str | None,
    auth: Auth | None,
    write: bool,
    hosts: Sequence[str],
    secret: str | None,
) -> ASGIApp:
    """The page. Raises `InvalidOption` where everybody would be let in."""
    gate = Gate(sources[0].queue.clock, token, auth, secret)
    desk = Desk(sources, gate, write=write, hosts=hosts)
    pages = {
        "/": overview.show,
        "/graph": graph.show,
        "/jobs": listing.show_jobs,
        "/runs": listing.show_runs,
        "/job": job.show,
        "/dead": dead.show,
        "/live": live.show,
    }
    forms = {"/send": (sending.show, sending.send), "/edit": (editing.show, editing.edit)}
    routes = [Route(path, desk.shows(view)) for path, view in pages.items()]
    for path, (view, act) in forms.items():
        routes.append(Route(path, desk.shows(view), methods=["GET"]))
        routes.append(Route(path, desk.acts(act), methods=["POST"]))
    routes += [
        Route(f"/do/{name}", desk.acts(act), methods=["POST"]) for name, act in acts.ACTS.items()
    ]
    routes += [
        Route("/login", entering.show(desk), methods=["GET"]),
        Route("/login", entering.enter(desk), methods=["POST"]),
        Route("/logout", entering.leave(desk), methods=["POST"]),
    ]
    static = Mount("/static", StaticFiles(directory=STATIC))
    return Guarded(Starlette(routes=[*routes, static]))


class Guarded:
    """Gives every answer the headers that keep a browser from doing what the page did not mean."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message.get("headers", ()), *given]
            await send(message)

        await self._app(scope, receive, send_guarded)
