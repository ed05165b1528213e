"""Who may come in, and whose wish a form carries out."""

import hmac
import inspect
import secrets
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request

from cnstra.clock import Clock
from cnstra.errors import InvalidOption

Auth = Callable[[Request], Any]

LASTS = 12 * 3600
"""Seconds after which a person has to come in anew."""

SHORTEST_TOKEN = 16
ANYBODY = "somebody"


class Visit:
    """One person's stay: what their cookie says. Signed, so that nobody can make one up."""

    __slots__ = ("expires_at", "id")

    def __init__(self, id: str, expires_at: int) -> None:
        self.id = id
        self.expires_at = expires_at

    @property
    def text(self) -> str:
        """What is signed."""
        return f"{self.id}.{self.expires_at}"


class Gate:
    """Lets people in who know the token, or whom the application that holds the page knows.

    Raises `InvalidOption` unless there is one of the two.
    """

    def __init__(
        self, clock: Clock, token: str | None, auth: Auth | None, secret: str | None
    ) -> None:
        if (token is None) == (auth is None):
            remedy = "give either a token or auth=, a function of the request: who may come in?"
            raise InvalidOption(option="token", value=token and "...", remedy=remedy)
        if token is not None and len(token) < SHORTEST_TOKEN:
            remedy = f"make it {SHORTEST_TOKEN} characters or more: secrets.token_urlsafe()"
            raise InvalidOption(option="token", value="...", remedy=remedy)
        self._clock = clock
        self._token = token
        self._auth = auth
        seed = token or secret or secrets.token_hex(32)
        self.is_shared = bool(token or secret)
        """Whether other processes that serve the page know its forms."""
        self._key = sha256(b"cnstra page\0" + seed.encode()).digest()

    @property
    def asks_for_token(self) -> bool:
        """Whether people come in by a token."""
        return self._token is not None

    def knows(self, token: str) -> bool:
        """Whether this is the token. Takes as long for any."""
        return hmac.compare_digest((self._token or "").encode(), token.encode())

    async def person(self, request: Request) -> str | None:
        """Who asks; `None` for a stranger."""
        if self._auth is None:
            return None if self.visit(request) is None else ANYBODY
        answer = self._auth(request)
        if inspect.isawaitable(answer):
            answer = await answer
        if not answer:
            return None
        return answer if isinstance(answer, str) else ANYBODY

    # --- the cookie

    def new_visit(self) -> Visit:
        """A visit that begins now."""
        return Visit(secrets.token_hex(16), int(self._clock.time()) + LASTS)

    def visit(self, request: Request) -> Visit | None:
        """The visit that its cookie tells of, if it is one of ours and not over."""
        text, _, seal = request.cookies.get(cookie_name(request), "").rpartition(".")
        if not hmac.compare_digest(self._seal("visit", text).encode(), seal.encode()):
            return None
        name, _, expires_at = text.partition(".")
        visit = Visit(name, int(expires_at))
        return visit if visit.expires_at > self._clock.time() else None

    def cookie(self, visit: Visit) -> str:
        """The value of the cookie."""
        return f"{visit.text}.{self._seal('visit', visit.text)}"

    # --- forms

    def form_token(self, visit: Visit) -> str:
        """What each form of that visit carries, and no other page can know."""
        return self._seal("form", visit.id)

    def is_from_here(self, request: Request, visit: Visit | None, form: Mapping[str, str]) -> bool:
        """Whether a form was sent by a page of ours, in that visit."""
        if visit is None or not _same_origin(request):
            return False
        told = form.get("form_token", "")
        return hmac.compare_digest(self.form_token(visit).encode(), told.encode())

    def seal_of(self, value: bytes) -> str:
        """What tells a value from any other, and tells nothing of it."""
        return self._seal("value", value.decode(errors="replace"))

    def _seal(self, purpose: str, text: str) -> str:
        return hmac.new(self._key, f"{purpose}\0{text}".encode(), sha256).hexdigest()


def cookie_name(request: Request) -> str:
    """Of the cookie. Browsers share cookies between the ports of a host; its pages do not."""
    port = request.headers.get("host", "").rpartition(":")[2]
    return f"cnstra-{port}" if port.isdecimal() else "cnstra"


def _same_origin(request: Request) -> bool:
    """Whether the browser says that the request comes from a page of this host."""
    origin, host = request.headers.get("origin"), request.headers.get("host", "")
    if origin is not None:
        return hmac.compare_digest(urlsplit(origin).netloc.lower().encode(), host.lower().encode())
    return request.headers.get("sec-fetch-site") == "same-origin"
