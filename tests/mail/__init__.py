"""A broker of messages in memory, `mail://name`, as RabbitMQ, SQS and NATS are to their adapters.

`?put_back=no`: a message cannot be given back, a copy must be sent. `?put_back=now`: it can, but
not for a while, as on RabbitMQ.
`?delay=SECONDS`: how long a message can be held back. `?max_body=BYTES`, `?longest_lease=SECONDS`.
`?store=no`: it brings no store.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from threading import Lock
from urllib.parse import parse_qsl, urlsplit

from cnstra.adapters import memory
from cnstra.adapters.memory.store import MemoryStore
from cnstra.clock import Clock
from cnstra.durable.store import ProgressStore
from cnstra.errors import BrokerRefused, BrokerUnavailable
from cnstra.jobs.broker import JobState
from cnstra.jobs.messages import MessageBroker
from cnstra.jobs.transport import Incoming, Judge, Limits, Outgoing

LOOK_AGAIN = 0.002
PUT_BACK = {"no": None, "now": 0.0, None: inf}


def broker(
    queue: str, url: str, clock: Clock, keep_results: float, store: ProgressStore | None = None
) -> MessageBroker:
    brings_store = store is None and "store=no" not in url
    chosen = _own_store(url, clock) if brings_store else store
    return MessageBroker(
        transport(queue, url, clock), queue, clock, keep_results, chosen, brings_store=brings_store
    )


def transport(queue: str, url: str, clock: Clock) -> "MemoryTransport":
    return MemoryTransport(boxes_of(url, queue), clock, dict(parse_qsl(urlsplit(url).query)))


def store(url: str, clock: Clock) -> MemoryStore:
    return _own_store(url, clock)


def _own_store(url: str, clock: Clock) -> MemoryStore:
    return memory.store(f"memory://mail {urlsplit(url).netloc}", clock)


@dataclass(eq=False)
class Letter:
    """A message in a box: `token` names who has it, until `due_at`."""

    body: bytes
    id: str
    sent_at: float
    due_at: float
    token: str = ""
    taken_at: float = 0.0


@dataclass
class Boxes:
    """What the broker holds of one queue, in the order it was sent."""

    letters: list[Letter] = field(default_factory=list[Letter])
    dead: list[bytes] = field(default_factory=list[bytes])
    lock: Lock = field(default_factory=Lock)


_BOXES: dict[tuple[str, str], Boxes] = {}


def boxes_of(url: str, queue: str) -> Boxes:
    """What lies in the queue, for a test that looks or meddles."""
    return _BOXES.setdefault((urlsplit(url).netloc, queue), Boxes())


class MemoryTransport:
    """A `Transport` in memory."""

    def __init__(self, boxes: Boxes, clock: Clock, options: Mapping[str, str]) -> None:
        self.boxes = boxes
        self._clock = clock
        self._is_open = False
        self._limits = Limits(
            name="mail",
            max_body=int(options["max_body"]) if "max_body" in options else None,
            longest_delay=float(options.get("delay", "inf")),
            longest_put_back=PUT_BACK[options.get("put_back")],
            longest_lease=float(options["longest_lease"]) if "longest_lease" in options else None,
        )
        self._takes = float(options.get("takes", "inf"))

    @property
    def limits(self) -> Limits:
        return self._limits

    async def open(self) -> None:
        self._is_open = True

    async def close(self) -> None:
        self._is_open = False

    async def send(self, messages: Sequence[Outgoing]) -> None:
        now = self._now()
        for one in messages:
            assert one.delay <= self._limits.longest_delay
            assert self._limits.max_body is None or len(one.body) <= self._limits.max_body
            self._weigh(one.body)
            self.boxes.letters.append(Letter(one.body, one.id, now, now + one.delay))

    async def take(self, limit: int, *, lease: float, wait: float) -> Sequence[Incoming]:
        until = self._clock.monotonic() + wait
        while True:
            now = self._now()
            with self.boxes.lock:
                due = [one for one in self.boxes.letters if one.due_at <= now][:limit]
                for one in due:
                    one.token, one.taken_at = self._clock.new_id(), now
                    one.due_at = now + min(lease, self._limits.longest_lease or inf)
            if due or self._clock.monotonic() >= until:
                return [Incoming(one.body, one.id, one.sent_at, (one, one.token)) for one in due]
            await asyncio.sleep(LOOK_AGAIN)

    async def keep(self, messages: Sequence[Incoming], lease: float) -> Sequence[bool]:
        now = self._now()
        kept: list[bool] = []
        for one in messages:
            letter = self._ours(one)
            ends_at = letter.taken_at + (self._limits.longest_lease or inf) if letter else 0.0
            kept.append(letter is not None and letter.due_at > now)
            if letter is not None and kept[-1]:
                letter.due_at = min(now + lease, ends_at)
        return kept

    async def done(self, message: Incoming) -> None:
        self._now()
        letter = self._ours(message)
        if letter is not None:
            self.boxes.letters.remove(letter)

    async def put_back(self, message: Incoming, delay: float) -> None:
        assert self._limits.longest_put_back is not None
        now = self._now()
        letter = self._ours(message)
        if letter is not None:
            assert delay <= self._limits.longest_put_back
            letter.token, letter.due_at = "", now + delay

    async def bury(self, message: Incoming, body: bytes) -> None:
        self._now()
        self._weigh(body)
        self.boxes.dead.append(body)
        await self.done(message)

    def _weigh(self, body: bytes) -> None:
        """Given a server that takes less than its client thinks."""
        if len(body) > self._takes:
            action = f"a message of {len(body)} bytes"
            raise BrokerRefused(url="mail:", action=action, reason="too large", remedy="split it")

    async def sift(self, judge: Judge, limit: int | None = None) -> None:
        self._now()
        for body in self.boxes.dead[:limit]:
            if await judge(body):
                self.boxes.dead.remove(body)

    async def sizes(self) -> Mapping[JobState, int]:
        now = self._now()
        waiting = [one for one in self.boxes.letters if one.due_at <= now]
        active = [one for one in self.boxes.letters if one.due_at > now and one.token]
        delayed = len(self.boxes.letters) - len(waiting) - len(active)
        return {
            "waiting": len(waiting),
            "delayed": delayed,
            "active": len(active),
            "dead": len(self.boxes.dead),
        }

    def _now(self) -> float:
        if not self._is_open:
            raise BrokerUnavailable(url="mail://", reason="it is closed")
        return self._clock.time()

    def _ours(self, message: Incoming) -> Letter | None:
        letter, token = message.handle  # type: ignore[misc]
        return letter if letter in self.boxes.letters and letter.token == token else None
