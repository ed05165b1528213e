"""Coming in by the token, and leaving."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from cnstra.clock import SYSTEM_CLOCK
from cnstra.dashboard.access import cookie_name
from cnstra.dashboard.desk import Desk, base_of, form_of

PAUSE = 0.5
"""Seconds that a wrong token takes."""

Endpoint = Callable[[Request], Awaitable[Response]]


def show(desk: Desk) -> Endpoint:
    """Ask for the token; or take it from the address that the command printed. Whoever has come in
    already goes on.
    """

    async def endpoint(request: Request) -> Response:
        if not desk.is_host_known(request):
            return desk.refuse(request, 421, "The page is not served under this host name.")
        token = request.query_params.get("token")
        if token is not None:
            return await _try(desk, request, token)
        is_in = desk.gate.asks_for_token and desk.gate.visit(request) is not None
        return desk.go_on(request) if is_in else desk.show_login(request)

    return endpoint


def enter(desk: Desk) -> Endpoint:
    """Take the token from the form."""

    async def endpoint(request: Request) -> Response:
        if not desk.is_host_known(request):
            return desk.refuse(request, 421, "The page is not served under this host name.")
        form = await form_of(request)
        return await _try(desk, request, form.get("token", ""))

    return endpoint


def leave(desk: Desk) -> Endpoint:
    """End the visit."""

    async def endpoint(request: Request) -> Response:
        form, visit = await form_of(request), desk.gate.visit(request)
        answer = RedirectResponse(f"{base_of(request)}/login", 303)
        if desk.gate.is_from_here(request, visit, form):
            answer.delete_cookie(cookie_name(request), path=base_of(request) or "/")
        return answer

    return endpoint


async def _try(desk: Desk, request: Request, token: str) -> Response:
    if desk.gate.asks_for_token and desk.gate.knows(token):
        return desk.let_in(request)
    await SYSTEM_CLOCK.sleep(PAUSE)
    return desk.show_login(request, wrong=True)
