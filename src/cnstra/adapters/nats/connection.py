"""One connection to NATS: what is asked over it is answered, or fails once it is lost."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from itertools import count
from typing import Any, cast

import nats.errors
from nats.aio.client import Client as NatsClient
from nats.aio.msg import Msg

from cnstra.adapters.nats.location import Location

PATIENCE = 5.0
"""Seconds without an answer after which we stop waiting for it."""
GOODBYE = 1.0
"""Seconds that the other side has to hang up too."""
PING_INTERVAL = 10
"""Seconds. Two pings without an answer, and the other side counts as gone."""

WRONG_LAST_SEQUENCE = {10071, 10164}
NO_MESSAGES, REQUEST_TIMEOUT, NO_RESPONDERS = "404", "408", "503"

Receive = Callable[[Msg | None], None]
"""Takes a message, or `None` once the connection is lost."""


class Unreachable(Exception):
    """NATS cannot serve us just now. Whether what was asked has been done, nobody knows."""


class Refused(Exception):
    """JetStream answered with an error."""

    def __init__(self, error: Mapping[str, Any]) -> None:
        super().__init__(str(error.get("description") or error))
        self.code = int(error.get("code", 0))
        self.number = int(error.get("err_code", 0))


class Conflict(Refused):
    """Somebody else has written meanwhile."""


class Connection:
    """A connected client. It never connects again: whoever holds it makes another.

    on_stray: called with pulled messages that nobody waits for any more.
    """

    def __init__(self, on_stray: Callable[[Msg], None]) -> None:
        self._client = NatsClient()
        self._on_stray = on_stray
        self._inbox = ""
        self._tickets = count()
        self._waiting: dict[str, Receive] = {}
        self._free: list[str] = []
        self._last_error: Exception | None = None
        self._denied: Exception | None = None
        self.lost: str | None = None

    @property
    def max_payload(self) -> int:
        """Bytes of a message, its headers included."""
        return self._client.max_payload

    async def connect(self, server: str, place: Location) -> None:
        """Connect to one server. Raises `OSError` or `nats.errors.Error`."""
        has_password = place.password is not None
        await self._client.connect(
            server,
            name="cnstra",
            allow_reconnect=False,
            ping_interval=PING_INTERVAL,
            tls=place.tls,
            user=place.username if has_password else None,
            password=place.password,
            token=None if has_password else place.username,
            user_credentials=place.credentials,
            nkeys_seed=place.nkey,
            error_cb=self._on_error,
            closed_cb=self._on_closed,
        )
        self._inbox = self._client.new_inbox()
        await self._subscribe(f"{self._inbox}.*", self._on_answer)

    async def close(self) -> None:
        """Hang up. What is in flight fails."""
        self._lose("it was closed")
        with suppress(nats.errors.Error, OSError, TimeoutError):
            async with asyncio.timeout(GOODBYE):  # a refused TLS handshake is never closed
                await self._client.close()

    async def send(
        self, subject: str, body: bytes = b"", reply: str = "",
        headers: dict[str, str] | None = None,
    ) -> None:  # fmt: skip
        """Send, and wait for nothing."""
        if self.lost is not None:
            raise Unreachable(self.lost)
        try:
            await self._client.publish(subject, body, reply, headers)
        except nats.errors.MaxPayloadError as error:
            raise Refused({"description": f"{len(body)} bytes are over its limit"}) from error
        except (nats.errors.Error, OSError) as error:
            raise Unreachable(str(error)) from error

    async def ask(
        self, subject: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> Msg:
        """Send, and wait for the one answer."""
        answer: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()

        def receive(message: Msg | None) -> None:
            if answer.done():
                return
            if message is None:
                answer.set_exception(Unreachable(self.lost or ""))
            else:
                answer.set_result(message)

        with self._waits(receive) as reply:
            try:
                async with asyncio.timeout(PATIENCE):
                    await self.send(subject, body, reply, headers)
                    message = await answer
            except TimeoutError as error:
                why = f": {self._denied}" if self._denied else ""
                raise Unreachable(f"no answer within {PATIENCE:g} s{why}") from error
        if status_of(message) == NO_RESPONDERS:
            raise Unreachable(NOBODY_ANSWERS)
        return message

    async def api(self, call: str, **request: Any) -> dict[str, Any]:
        """Ask JetStream. Raises `Refused`."""
        answer = await self.ask(f"$JS.API.{call}", json.dumps(request).encode() if request else b"")
        return _checked(answer)

    async def publish(self, subject: str, body: bytes, headers: dict[str, str]) -> int:
        """Put a message into the stream of its subject. Its number there. Raises `Refused`."""
        return int(_checked(await self.ask(subject, body, headers))["seq"])

    async def pull(self, subject: str, batch: int, wait: float | None) -> list[Msg]:
        """Messages of a consumer: what there is by now, or what comes in `wait` seconds."""
        queue: asyncio.Queue[Msg | None] = asyncio.Queue()
        how = {"no_wait": True} if wait is None else {"expires": max(1, round(wait * 1e9))}
        request = json.dumps({"batch": batch, **how}).encode()
        found: list[Msg] = []
        try:
            async with self._pulls(queue.put_nowait, wait or 0.0) as reply:
                await self.send(subject, request, reply)
                while len(found) < batch:
                    message = await queue.get()
                    if message is None:
                        raise Unreachable(self.lost or "")
                    if (status := status_of(message)) is None:
                        found.append(message)
                    elif status in (NO_MESSAGES, REQUEST_TIMEOUT):
                        break
                    else:
                        raise Unreachable(_described(message, status))
        except (TimeoutError, Unreachable) as error:
            if not found:
                raise Unreachable(str(error) or "no answer to a pull") from error
        except asyncio.CancelledError:
            for message in found:
                self._on_stray(message)
            raise
        return found

    # --- inside

    @contextmanager
    def _waits(self, receive: Receive) -> Generator[str]:
        """An address for answers, while the block runs."""
        ticket = str(next(self._tickets))
        self._waiting[ticket] = receive
        try:
            yield f"{self._inbox}.{ticket}"
        finally:
            del self._waiting[ticket]

    @asynccontextmanager
    async def _pulls(self, receive: Receive, wait: float) -> AsyncGenerator[str]:
        """An address for what is pulled, while the block runs, and not longer than it should.

        It has a subscription of its own, as messages come under the subject that they were sent to.
        Where the block ends early, what was asked for may still come: for so long it stays ours.
        """
        subject = self._free.pop() if self._free else await self._subscribed()
        self._waiting[subject] = receive
        try:
            async with asyncio.timeout(wait + PATIENCE):
                yield subject
        except BaseException:
            asyncio.get_running_loop().call_later(wait + PATIENCE, self._free.append, subject)
            raise
        else:
            self._free.append(subject)
        finally:
            del self._waiting[subject]

    async def _subscribed(self) -> str:
        subject = self._client.new_inbox()

        async def on_pulled(message: Msg) -> None:
            receive = self._waiting.get(subject)
            if receive is not None:
                receive(message)
            elif message.reply:
                self._on_stray(message)

        await self._subscribe(subject, on_pulled)
        return subject

    async def _subscribe(self, subject: str, callback: Callable[[Msg], Awaitable[None]]) -> None:
        try:
            subscribe = cast(Any, self._client).subscribe  # its types are not whole
            await subscribe(subject, cb=callback)
        except nats.errors.Error as error:
            raise Unreachable(str(error)) from error

    async def _on_answer(self, message: Msg) -> None:
        receive = self._waiting.get(message.subject.rpartition(".")[2])
        if receive is not None:
            receive(message)

    async def _on_error(self, error: Exception) -> None:
        self._last_error = error
        if "permissions violation" in str(error).lower():
            self._denied = error  # all that tells of it is that no answer comes
        if not self._inbox:
            raise error  # or the client would try the same server for ever

    async def _on_closed(self) -> None:
        self._lose(str(self._client.last_error or self._last_error or "the connection was lost"))

    def _lose(self, reason: str) -> None:
        if self.lost is None:
            self.lost = reason
            for receive in list(self._waiting.values()):
                receive(None)


def status_of(message: Msg) -> str | None:
    """The status that a message of the server's own carries; `None` for all others."""
    if message.data or not message.headers:
        return None
    return message.headers.get("Status")


def _described(message: Msg, status: str) -> str:
    if status == NO_RESPONDERS:
        return NOBODY_ANSWERS
    return f"{status} {(message.headers or {}).get('Description', '')}".strip()


def _checked(message: Msg) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(message.data)
    error = answer.get("error")
    if error is None:
        return answer
    if error.get("code") == 503:
        raise Unreachable(str(error.get("description")))
    raise Conflict(error) if error.get("err_code") in WRONG_LAST_SEQUENCE else Refused(error)


NOBODY_ANSWERS = "no JetStream answers: start nats-server with -js, or enable it for this account"
