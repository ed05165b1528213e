"""A broker of messages, as RabbitMQ, SQS and NATS are: they come again, twice, and in any order."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from random import Random
from typing import Any, Protocol, cast

from cnstra.clock import Clock
from cnstra.jobs.broker import JobState
from cnstra.jobs.transport import Incoming, Judge, Limits, Outgoing

SOON = 0.001
"""Seconds; less than the rounding of times since the epoch would be waited for again and again."""
TWICE = 0.2
"""How likely a message is to be delivered twice."""


class Wire(Protocol):
    """Carries a call to the broker, if nothing happens on the way."""

    async def __call__(self, what: str, work: Callable[[], Awaitable[None]]) -> None: ...


@dataclass(eq=False)
class Letter:
    """A message: `token` names who has it, until `due_at`."""

    message: Outgoing
    sent_at: float
    due_at: float
    token: str = ""


@dataclass
class PostOffice:
    """What the broker holds: the messages, and the bodies of the dead letters.

    waiting: wakes those who wait for a message, each in its loop.
    """

    chance: Random
    letters: list[Letter] = field(default_factory=list[Letter])
    dead: list[bytes] = field(default_factory=list[bytes])
    waiting: list[Callable[[], object]] = field(default_factory=list[Callable[[], object]])

    def accept(self, message: Outgoing, now: float) -> None:
        for _ in range(1 + (self.chance.random() < TWICE)):
            self.letters.append(Letter(message, now, now + message.delay))
        self.ring()

    def ring(self) -> None:
        """A message may be due: have those look who wait."""
        waiting, self.waiting = self.waiting, []
        for wake in waiting:
            with suppress(RuntimeError):  # its process is dead
                wake()

    async def news(self, now: float, longest: float) -> None:
        """Wait for the next message that will be due, or is sent meanwhile."""
        loop = asyncio.get_running_loop()
        rung = loop.create_future()
        self.waiting.append(lambda: loop.call_soon_threadsafe(rung.cancel))
        wait = max(SOON, min([longest, *(one.due_at - now for one in self.letters)]))
        await asyncio.wait({rung}, timeout=wait)

    def due(self, now: float) -> list[Letter]:
        found = [one for one in self.letters if one.due_at <= now]
        self.chance.shuffle(found)
        return found

    def held(self, incoming: Incoming) -> Letter | None:
        """The letter, if whoever took it still has it."""
        letter, token = cast(tuple[Letter, str], incoming.handle)
        return letter if letter.token == token and letter in self.letters else None


class Mail:
    """A `Transport` of one process."""

    def __init__(self, office: PostOffice, clock: Clock, wire: Wire) -> None:
        self._office = office
        self._clock = clock
        self._wire = wire
        self.limits = Limits(name="simulated", longest_delay=inf, longest_put_back=inf)

    async def open(self) -> None:
        """There is nothing to connect to."""

    async def close(self) -> None:
        """What was taken comes again when its lease runs out."""

    async def send(self, messages: Sequence[Outgoing]) -> None:
        async def work() -> None:
            for one in messages:
                self._office.accept(one, self._clock.time())

        await self._wire("sent", work)

    async def take(self, limit: int, *, lease: float, wait: float) -> Sequence[Incoming]:
        until = self._clock.time() + wait
        while True:
            now = self._clock.time()
            found = self._office.due(now)[:limit]
            if found or now >= until:
                return [self._lease(one, now + lease) for one in found]
            await self._office.news(now, until - now)

    def _lease(self, letter: Letter, until: float) -> Incoming:
        letter.token, letter.due_at = self._clock.new_id(), until
        message = letter.message
        return Incoming(message.body, message.id, letter.sent_at, (letter, letter.token))

    async def keep(self, messages: Sequence[Incoming], lease: float) -> Sequence[bool]:
        now = self._clock.time()
        held = [self._office.held(one) for one in messages]
        kept = [one if one is not None and one.due_at > now else None for one in held]
        for letter in kept:
            if letter is not None:
                letter.due_at = now + lease
        return [one is not None for one in kept]

    async def done(self, message: Incoming) -> None:
        async def work() -> None:
            self._remove(message)

        await self._wire("acknowledged", work)

    async def put_back(self, message: Incoming, delay: float) -> None:
        async def work() -> None:
            letter = self._office.held(message)
            if letter is not None:
                letter.token, letter.due_at = "", self._clock.time() + delay
                self._office.ring()

        await self._wire("put back", work)

    async def bury(self, message: Incoming, body: bytes) -> None:
        async def work() -> None:
            self._office.dead.append(body)
            self._remove(message)

        await self._wire("buried", work)

    async def sift(self, judge: Judge, limit: int | None = None) -> None:
        for body in self._office.dead[:limit]:
            if await judge(body):
                self._office.dead.remove(body)

    async def sizes(self) -> Mapping[JobState, int]:
        now = self._clock.time()
        waiting = len(self._office.due(now))
        active = sum(one.due_at > now and bool(one.token) for one in self._office.letters)
        delayed = len(self._office.letters) - waiting - active
        dead = len(self._office.dead)
        return {"waiting": waiting, "delayed": delayed, "active": active, "dead": dead}

    def _remove(self, message: Incoming) -> None:
        letter = self._office.held(message)
        if letter is not None:
            self._office.letters.remove(letter)


async def at_once(what: str, work: Callable[[], Awaitable[Any]]) -> None:
    """The wire of a process to which nothing happens."""
    del what
    await work()
