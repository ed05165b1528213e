"""A rate limit that one process keeps, for brokers that cannot share one."""

from cnstra.clock import Clock
from cnstra.jobs.limits import RateLimit


class Window:
    """How many jobs have started since the window opened, which it does with its first job."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._opened = 0.0
        self._started = 0

    def room(self, rate: RateLimit | None, limit: int) -> int:
        """How many of `limit` jobs may start now."""
        if rate is None:
            return limit
        if self.opens_in(rate) <= 0:
            self._started = 0
        return min(limit, rate.jobs - self._started)

    def opens_in(self, rate: RateLimit) -> float:
        """Seconds until the next window."""
        return self._opened + rate.per - self._clock.monotonic() if self._started else 0.0

    def count(self, started: int) -> None:
        """So many have started now."""
        if started and not self._started:
            self._opened = self._clock.monotonic()
        self._started += started
