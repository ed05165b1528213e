"""Queues that were not there when they were asked for."""

from time import monotonic

LONGEST = 600.0
"""Seconds after which such a queue is asked for again, at most."""


class Absences:
    """RabbitMQ cannot be asked whether a queue is there but by an error in its log. So one that is
    missing is asked for again only after as long as it has been missing.
    """

    def __init__(self) -> None:
        self._since: dict[str, float] = {}
        self._until: dict[str, float] = {}

    def covers(self, name: str) -> bool:
        """Whether it is too early to ask for it again."""
        return monotonic() < self._until.get(name, 0.0)

    def note(self, name: str) -> None:
        """It is missing."""
        now = monotonic()
        since = self._since.setdefault(name, now)
        self._until[name] = now + min(now - since, LONGEST)

    def end(self, name: str) -> None:
        """It is there."""
        self._since.pop(name, None)
        self._until.pop(name, None)
