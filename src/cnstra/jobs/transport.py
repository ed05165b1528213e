"""What a broker of plain messages can do: they are sent, taken, kept, acknowledged; not looked up.

An adapter for such a broker is a `Transport` and no more. What a job is, when it is retried, where
its record is kept and what happens to duplicates is the business of `MessageBroker`.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from cnstra.jobs.broker import JobState


@dataclass(frozen=True, slots=True)
class Limits:
    """What a broker of messages can do.

    name: as users know it.
    max_body: bytes in a message; `None`: as many as you like.
    longest_delay: seconds that `send` can hold a message back; it is sent again after that.
    longest_put_back: seconds that `put_back` can; `None`: it cannot, a copy must be sent.
    longest_lease: seconds after which a message is taken away from whoever still has it.
    priorities: messages of a larger priority are taken first.
    ordering: messages of one ordering key are taken one by one, in the order they were sent.
    """

    name: str
    max_body: int | None = None
    longest_delay: float = 0.0
    longest_put_back: float | None = None
    longest_lease: float | None = None
    priorities: bool = False
    ordering: bool = False


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to be sent: `body` is JSON in UTF-8.

    id: the same for a repeat of the same message, another for a later generation of the same job.
    delay: seconds to hold it back, at most the limit's `longest_delay`.
    priority: larger ones are taken first, on brokers that know of it.
    ordering_key: on brokers that order by one.
    """

    body: bytes
    id: str
    delay: float = 0.0
    priority: int = 0
    ordering_key: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Incoming:
    """A message that was taken and not yet acknowledged.

    id: as it was sent, or as the broker or a foreign sender named it; the same when it is delivered
        again.
    sent_at: seconds since the epoch, 0 where the broker does not know.
    handle: the adapter's own business.
    """

    body: bytes
    id: str
    sent_at: float = 0.0
    handle: object = None


Judge = Callable[[bytes], Awaitable[bool]]
"""Whether a dead letter with that body is to be removed."""


class Transport(Protocol):
    """One queue of a broker of messages, and its dead letters.

    All calls come from one event loop, and may overlap. What cannot be reached raises
    `BrokerUnavailable`; the caller tries again, so that a message may be sent twice, never lost: a
    send returns once the broker has confirmed that it holds the message safely.
    """

    @property
    def limits(self) -> Limits:
        """Known once it is open; `max_body` may be read from the broker."""
        ...

    async def open(self) -> None:
        """Connect, and make what is missing, the dead letters included. Raises a clear error."""
        ...

    async def close(self) -> None:
        """Let go of everything; what was taken comes back to others. Harmless twice."""
        ...

    async def send(self, messages: Sequence[Outgoing]) -> None:
        """Send them. Returns once all are safe; raises `BrokerUnavailable` if any may not be."""
        ...

    async def take(self, limit: int, *, lease: float, wait: float) -> Sequence[Incoming]:
        """Take up to `limit` messages for `lease` seconds.

        Waits up to `wait` seconds for the first one, then returns what there is. A caller that is
        cancelled takes nothing.
        """
        ...

    async def keep(self, messages: Sequence[Incoming], lease: float) -> Sequence[bool]:
        """Extend the leases to `lease` seconds from now; for each, whether it is still ours."""
        ...

    async def done(self, message: Incoming) -> None:
        """Acknowledge it: it is gone for good. One that is no longer ours is left alone."""
        ...

    async def put_back(self, message: Incoming, delay: float) -> None:
        """Give it back: it is there again in `delay` seconds, at most `longest_put_back`.

        Never called where that limit is `None`.
        """
        ...

    async def bury(self, message: Incoming, body: bytes) -> None:
        """Put `body` into the dead letters, and, once it is safe there, acknowledge `message`."""
        ...

    async def sift(self, judge: Judge, limit: int | None = None) -> None:
        """Show `judge` each dead letter, oldest first, up to `limit`; remove those it says.

        The others stay as they are.
        """
        ...

    async def sizes(self) -> Mapping[JobState, int]:
        """How many messages are waiting, delayed, active and dead, as far as the broker knows."""
        ...
