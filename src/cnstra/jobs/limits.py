"""How many jobs may start in a span of time."""

from dataclasses import dataclass
from datetime import timedelta

from cnstra.clock import seconds
from cnstra.errors import InvalidOption


@dataclass(frozen=True, slots=True, init=False)
class RateLimit:
    """At most `jobs` jobs start within any window of `per` seconds; a window opens with its first
    job.

    >>> RateLimit(100, per=1.0)
    RateLimit(jobs=100, per=1.0)
    """

    jobs: int
    per: float

    def __init__(self, jobs: int, per: float | timedelta = 1.0) -> None:
        if jobs < 1:
            raise InvalidOption(option="jobs", value=jobs, remedy="allow at least one job")
        if seconds(per) <= 0:
            raise InvalidOption(option="per", value=per, remedy="give a time above zero")
        object.__setattr__(self, "jobs", jobs)
        object.__setattr__(self, "per", seconds(per))
