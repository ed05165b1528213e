"""One connection to Redis that all calls share: requests leave in chunks, replies come in order."""

import asyncio
from collections import deque
from typing import Any, cast

from hiredis import ProtocolError, Reader, pack_command  # pyright: ignore

Part = bytes | str | int | float

CHUNK = 8
"""Requests that are written at once, at most. Client and server overlap so: all that one turn of
the loop asks for, written in one go, makes them take turns and halves the throughput."""


class Refused(Exception):
    """Redis answered with an error."""


class Unreachable(Exception):
    """Redis cannot serve us just now."""


class Disconnected(Unreachable):
    """The connection is gone. Whether what was in flight has been done, nobody knows."""


TURNED_AWAY = (
    "LOADING", "BUSY", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "OOM", "MISCONF",
    "NOREPLICAS", "NOAUTH", "WRONGPASS", "NOPERM",
)  # fmt: skip
"""Errors of a server that can serve nobody just now, or not us. Nothing of the command was done."""
GONE_ELSEWHERE = ("READONLY", "MASTERDOWN")
"""Errors of a server that has been made a replica: whoever asks the same name anew may get another.
"""


def refusal(text: str) -> Unreachable | Refused:
    """What an error of Redis' means to us."""
    return Unreachable(text) if text.startswith(TURNED_AWAY) else Refused(text)


class Connection(asyncio.Protocol):
    """A connected socket. What is asked of it after its loss raises `Disconnected` at once.

    patience: seconds without any answer after which the other side counts as gone.
    """

    def __init__(self, patience: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._patience = patience
        self._reader = Reader(replyError=Refused)
        self._replies: deque[asyncio.Future[Any]] = deque()
        self._requests: list[bytes] = []
        self._flush_is_due = False
        self._transport: asyncio.Transport | None = None
        self._heard_at = self._loop.time()
        self._watch: asyncio.TimerHandle | None = None
        self.lost: Exception | None = None

    def call(self, *parts: Part, is_chunk: bool = False) -> asyncio.Future[Any]:
        """Ask; the future holds the answer. is_chunk: whether this request is worth a write.

        It raises `Unreachable`, or `Refused` for what is wrong with the command itself.
        """
        reply: asyncio.Future[Any] = self._loop.create_future()
        if self.lost is not None:
            reply.set_exception(self.lost)
            return reply
        if not self._replies:
            self._heard_at = self._loop.time()
        self._replies.append(reply)
        self._requests.append(cast(bytes, pack_command(cast(Any, parts))))
        if is_chunk or len(self._requests) >= CHUNK:
            self._flush()
        elif not self._flush_is_due:
            self._flush_is_due = True
            self._loop.call_soon(self._flush_turn)
        return reply

    def close(self, reason: str = "it was closed") -> None:
        """Hang up. What is in flight raises `Disconnected`. Harmless when called twice."""
        self._lose(reason)
        if self._transport is not None:
            self._transport.abort()

    # --- what the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._watch = self._loop.call_later(self._patience / 2, self._look)

    def data_received(self, data: bytes) -> None:
        self._heard_at = self._loop.time()
        reader, replies = self._reader, self._replies
        try:
            reader.feed(data)
            while (answer := reader.gets()) is not False:
                reply = replies.popleft()
                if reply.done():  # nobody waits for it any more
                    continue
                if isinstance(answer, Refused):
                    reply.set_exception(refusal(str(answer)))
                    if str(answer).startswith(GONE_ELSEWHERE):
                        self.close(str(answer))
                        return
                else:
                    reply.set_result(answer)
        except (ProtocolError, IndexError) as error:
            self.close(f"it does not speak Redis: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose(str(exc) if exc else "it was closed by the server")

    # --- inside

    def _flush_turn(self) -> None:
        self._flush_is_due = False
        self._flush()

    def _flush(self) -> None:
        if self._requests and self._transport is not None:
            requests, self._requests = self._requests, []
            self._transport.write(b"".join(requests))

    def _look(self) -> None:
        silence = self._loop.time() - self._heard_at
        if self._replies and silence > self._patience:
            self.close(f"no answer for {silence:.0f} s")
        else:
            self._watch = self._loop.call_later(self._patience / 2, self._look)

    def _lose(self, reason: str) -> None:
        if self.lost is not None:
            return
        self.lost = Disconnected(reason)
        if self._watch is not None:
            self._watch.cancel()
        replies, self._replies = self._replies, deque()
        self._requests.clear()
        for reply in replies:
            if not reply.done():
                reply.set_exception(Disconnected(reason))
                reply.exception()  # a caller that has left is no reason for a warning
