"""What every page and act goes through: who asks, what they may, how it is answered."""

import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from cnstra.dashboard.access import LASTS, Gate, Visit, cookie_name
from cnstra.dashboard.rendering import Exact, environment
from cnstra.dashboard.sources import Source
from cnstra.errors import BrokerUnavailable, CnstraError, StoreUnavailable

logger = logging.getLogger("cnstra.dashboard")

LARGEST_FORM = 4 * 1024 * 1024

ONLY_SHOWS = "This page only shows. Start it with write=True."

NOT_FROM_HERE = "That form is not from here, too old or too large: load the page anew."
NOT_SHARED = f"{NOT_FROM_HERE} Where several processes serve the page, give all the same secret=."

WITHIN = re.compile(r"/[a-z]+(\?[!-~]*)?")
"""An address within the page."""

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; "
    "base-uri 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True, slots=True)
class Ask:
    """A request of somebody who may make it. `source`: the queue that it is about."""

    request: Request
    source: Source
    person: str
    visit: Visit

    def query(self, name: str) -> str:
        """A parameter of the address; empty where it is not given."""
        return self.request.query_params.get(name, "")

    @property
    def base(self) -> str:
        """Where the page is mounted."""
        return base_of(self.request)

    def url(self, page: str, **parameters: object) -> Exact:
        """The address of a page about the same queue, or of an act. What an act is about stands
        there, and not in the form: a form gives back ends of lines that are not as they were.
        """
        return address(self.base, page, {"q": self.source.slug, **parameters})


View = Callable[["Desk", Ask], Awaitable[Response]]
Act = Callable[["Desk", Ask, Mapping[str, str]], Awaitable[Response]]


class Desk:
    """The page's one object: what it shows, to whom, and whether they may act."""

    def __init__(
        self, sources: Sequence[Source], gate: Gate, *, write: bool, hosts: Sequence[str]
    ) -> None:
        self.sources = {one.slug: one for one in sources}
        self.gate = gate
        self.write = write
        self._hosts = {one.lower() for one in hosts}
        self._templates = environment()

    # --- endpoints

    def shows(self, view: View) -> Callable[[Request], Awaitable[Response]]:
        """An endpoint that shows something to those who may see it."""

        async def endpoint(request: Request) -> Response:
            person = await self._admit(request)
            if isinstance(person, Response):
                return person
            ask = self._about(request, person, request.query_params.get("q"))
            if isinstance(ask, Response):
                return ask
            return self._keep_visit(ask, await self._answer(ask, view(self, ask)))

        return endpoint

    def acts(self, act: Act) -> Callable[[Request], Awaitable[Response]]:
        """An endpoint that does something for those who may do it, and meant it."""

        async def endpoint(request: Request) -> Response:
            person = await self._admit(request)
            if isinstance(person, Response):
                return person
            form = {**request.query_params, **await form_of(request)}
            ask = self._about(request, person, form.get("q"))
            if isinstance(ask, Response):
                return ask
            if not self.write:
                return self.decline(ask, 403, ONLY_SHOWS)
            visit = self.gate.visit(request)
            if not self.gate.is_from_here(request, visit, form):
                return self.decline(ask, 403, NOT_FROM_HERE if self.gate.is_shared else NOT_SHARED)
            return await self._answer(ask, act(self, ask, form))

        return endpoint

    async def _admit(self, request: Request) -> str | Response:
        """Who asks, before anything that a stranger sent is read."""
        if not self.is_host_known(request):
            return self.refuse(request, 421, "The page is not served under this host name.")
        person = await self.gate.person(request)
        if person is None:
            if self.gate.asks_for_token and request.method == "GET":
                login = address(base_of(request), "login", {"next": asked_for(request)})
                return RedirectResponse(login, 303)
            return self.refuse(request, 403, "You may not see this page.")
        return person

    def _about(self, request: Request, person: str, slug: str | None) -> Ask | Response:
        name = slug or next(iter(self.sources))
        source = self.sources.get(name)
        if source is None:
            return self.refuse(request, 404, "There is no such queue here.")
        visit = self.gate.visit(request) or self.gate.new_visit()
        return Ask(request, source, person, visit)

    async def _answer(self, ask: Ask, answer: Awaitable[Response]) -> Response:
        """The answer, or what went wrong."""
        try:
            return await answer
        except (BrokerUnavailable, StoreUnavailable) as error:
            return self.decline(ask, 503, str(error))
        except CnstraError as error:
            return self.decline(ask, 409, str(error))

    def is_host_known(self, request: Request) -> bool:
        """Whether the page is meant to be asked for under this name."""
        host = request.headers.get("host", "").lower()
        name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
        return not self._hosts or name in self._hosts

    # --- answers

    def render(self, ask: Ask, template: str, *, status: int = 200, **values: Any) -> Response:
        """A page."""
        html = self._templates.get_template(template).render(
            ask=ask,
            base=ask.base,
            source=ask.source,
            sources=list(self.sources.values()),
            write=self.write,
            form_token=self.gate.form_token(ask.visit),
            signed_in=self.gate.asks_for_token,
            now=ask.source.queue.clock.time(),
            **values,
        )
        return HTMLResponse(html, status, {"Cache-Control": "no-store"})

    def decline(self, ask: Ask, status: int, reason: str) -> Response:
        """A page in the place of one that cannot be shown, or of an act that was not done."""
        return self.render(ask, "declined.html", status=status, reason=reason)

    def refuse(self, request: Request, status: int, reason: str) -> Response:
        """A page for those who get none."""
        html = self._templates.get_template("refusal.html").render(
            base=base_of(request), reason=reason
        )
        return HTMLResponse(html, status, {"Cache-Control": "no-store"})

    def show_login(self, request: Request, *, wrong: bool = False) -> Response:
        """The page that asks for the token."""
        base = base_of(request)
        action = address(base, "login", {"next": next_of(request)})
        html = self._templates.get_template("login.html").render(
            base=base, action=action, wrong=wrong
        )
        return HTMLResponse(html, 401 if wrong else 200, {"Cache-Control": "no-store"})

    def go_on(self, request: Request) -> Response:
        """To the page that was asked for before the token was, or to the first one."""
        return RedirectResponse(base_of(request) + (next_of(request) or "/"), 303)

    def let_in(self, request: Request) -> Response:
        """Begin a visit."""
        answer = self.go_on(request)
        self._set_cookie(request, answer, self.gate.new_visit())
        return answer

    def _keep_visit(self, ask: Ask, answer: Response) -> Response:
        if self.gate.visit(ask.request) is None:
            self._set_cookie(ask.request, answer, ask.visit)
        return answer

    def _set_cookie(self, request: Request, answer: Response, visit: Visit) -> None:
        answer.set_cookie(
            cookie_name(request),
            self.gate.cookie(visit),
            max_age=LASTS,
            path=base_of(request) or "/",
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="lax",  # for links from elsewhere: whatever does something is no link
        )


def base_of(request: Request) -> str:
    """Where the page is mounted."""
    root: str = request.scope.get("root_path", "")
    return root.rstrip("/")


def asked_for(request: Request) -> str:
    """The page that a request is for, as an address within this page; empty for the first one."""
    path = request.url.path.removeprefix(base_of(request))
    query = request.url.query
    return f"{path}?{query}" if query else path.rstrip("/")


def next_of(request: Request) -> str:
    """The page to which a person who comes in wants to go. Empty, where that is no page of ours:
    browsers take what begins with two slashes for the name of a host.
    """
    told = request.query_params.get("next", "")
    return told if WITHIN.fullmatch(told) else ""


def address(base: str, page: str, parameters: Mapping[str, object]) -> Exact:
    """An address, its parameters escaped; those that are empty are left out."""
    given = [
        f"{name}={quote(str(value), safe='', errors='replace')}"
        for name, value in parameters.items()
        if value not in ("", None)
    ]
    return Exact(f"{base}/{page}{'?' + '&'.join(given) if given else ''}")


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form, the first of each name. What is too large counts as empty."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_FORM:
            return {}
    pairs = parse_qsl(body.decode(errors="replace"), keep_blank_values=True)
    return dict(reversed(pairs))
