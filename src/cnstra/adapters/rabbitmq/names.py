"""The queues that make one queue: its own, its dead letters, and one for each length of waiting."""

from collections.abc import Mapping
from dataclasses import dataclass

from cnstra.errors import InvalidOption

LONGEST_NAME = 230
"""Bytes; AMQP has 255, and ours come after it."""

ENDLESS = 1_000_000
"""Deliveries of a message after which RabbitMQ gives it up: our own count ends it long before. (3.x
knows no "never", and 4.x gives it up after 20 where it is not told. With a limit, what is given
back keeps its place in the queue; without one it goes to the end.)"""

SHORTEST_TIER = 125
TIERS = tuple(SHORTEST_TIER << power for power in range(21))
"""Milliseconds for which a message can be made to wait: 125 ms to 36 hours, in powers of two.

The wait is the queue's, not the message's: RabbitMQ looks only at the head of a queue, where a long
wait would hold up the short ones behind it.
"""

Arguments = Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class Names:
    """The names of the queues, and what RabbitMQ is told of each."""

    main: str

    def __post_init__(self) -> None:
        if len(self.main.encode()) > LONGEST_NAME:
            remedy = f"RabbitMQ allows for {LONGEST_NAME} bytes"
            raise InvalidOption(option="name", value=self.main, remedy=remedy)

    @property
    def dead(self) -> str:
        return f"{self.main}.dead"

    def waiting(self, tier: int) -> str:
        return f"{self.main}.wait.{tier}ms"

    def route(self, delay: float) -> str:
        """Where a message goes that is due in `delay` seconds: to the longest wait that is not
        longer.
        """
        if delay <= 0:
            return self.main
        fitting = [tier for tier in TIERS if tier <= delay * 1000]
        return self.waiting(fitting[-1] if fitting else SHORTEST_TIER)

    @property
    def arguments(self) -> Mapping[str, Arguments]:
        """Of every queue, by its name."""
        lasting: Arguments = {"x-queue-type": "quorum", "x-delivery-limit": ENDLESS}
        waits = {
            self.waiting(tier): {**lasting, **_dead_letters_to(self.main), "x-message-ttl": tier}
            for tier in TIERS
        }
        return {self.main: {**lasting, **_dead_letters_to(self.dead)}, self.dead: lasting, **waits}


def _dead_letters_to(queue: str) -> Arguments:
    """At least once: what cannot arrive there stays where it is."""
    return {
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": queue,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
