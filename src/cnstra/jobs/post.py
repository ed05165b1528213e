"""Sends the messages of one queue, and gives them back."""

import logging
from collections.abc import Sequence
from contextlib import suppress

from cnstra.clock import Clock
from cnstra.errors import BrokerRefused, MessageTooLarge
from cnstra.jobs.message import Message
from cnstra.jobs.transport import Incoming, Outgoing, Transport

logger = logging.getLogger("cnstra.jobs")

ROOM = 2048
"""Bytes that a job must leave free in its message for what will be said about it later."""


class Post:
    """What does not fit into a message is left out where a store has it: the data, a traceback."""

    def __init__(self, transport: Transport, clock: Clock, *, has_store: bool) -> None:
        self._transport = transport
        self._clock = clock
        self._has_store = has_store

    def check(self, message: Message) -> None:
        """Raises `MessageTooLarge` for a job that no message holds, and no store."""
        if not self._has_store:
            self._require(message, len(message.body()) + ROOM)

    def carries_all(self, message: Message) -> bool:
        """Whether a message holds the whole job, and nothing of it is in the store alone."""
        return self._fits(message.body())

    async def send(
        self, messages: Sequence[Message], delay: float | None = None, *, mark: str = ""
    ) -> None:
        """Send them, to be there in `delay` seconds, or before; `None`: when the job is due.

        mark: of a second message of the same generation, which is no repeat of the first.
        """
        if messages:
            await self._transport.send([self._outgoing(one, delay, mark) for one in messages])

    async def later(self, message: Message, incoming: Incoming, delay: float) -> None:
        """Have the same message there again in `delay` seconds, or before."""
        if self.can_put_back(delay):
            await self.put_back(incoming, delay)
        else:
            await self.send([message], delay)
            await self._transport.done(incoming)

    def can_put_back(self, delay: float) -> bool:
        """Whether a message can be given back for so long; else a copy must be sent."""
        longest = self._transport.limits.longest_put_back
        return longest is not None and (longest > 0 or delay <= 0)

    async def put_back(self, incoming: Incoming, delay: float) -> None:
        """Give a message back, for `delay` seconds or as long as the broker can."""
        longest = self._transport.limits.longest_put_back or 0.0
        await self._transport.put_back(incoming, min(max(delay, 0.0), longest))

    async def bury(self, incoming: Incoming, *messages: Message) -> None:
        """Put the job into the dead letters in the place of its message: in the words of the first
        of these that the broker takes, else as it came.
        """
        for message in messages:
            with suppress(MessageTooLarge, BrokerRefused):
                await self._transport.bury(incoming, self._body(message))
                return
        header = messages[-1].header
        reason = (header.error or {}).get("message")
        logger.error("Job %r is dead-lettered as it came: %s", header.id, reason)
        await self._transport.bury(incoming, incoming.body)

    def _outgoing(self, message: Message, delay: float | None, mark: str) -> Outgoing:
        header = message.header
        if delay is None:
            delay = max(0.0, (header.run_at or 0.0) - self._clock.time())
        return Outgoing(
            self._body(message),
            id=f"{header.run}#{header.generation}{mark}",
            delay=min(delay, self._transport.limits.longest_delay),
            priority=header.priority,
            ordering_key=header.ordering_key,
        )

    def _body(self, message: Message) -> bytes:
        body = message.body()
        if self._fits(body):
            return body
        if self._has_store:
            message = message.changed(elsewhere=True)
        if message.header.error is not None:
            message = message.changed(error={**message.header.error, "stack": ""})
        body = message.body()
        self._require(message, len(body))
        return body

    def _fits(self, body: bytes) -> bool:
        limit = self._transport.limits.max_body
        return limit is None or len(body) <= limit

    def _require(self, message: Message, size: int) -> None:
        limits = self._transport.limits
        if limits.max_body is not None and size > limits.max_body:
            job_id, limit = message.header.id, limits.max_body
            raise MessageTooLarge(job_id=job_id, size=size, broker=limits.name, limit=limit)
