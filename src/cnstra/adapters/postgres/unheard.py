"""Claims whose answers were lost: what they leased is given back with the next claim."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager

from cnstra.adapters.postgres.claiming import Claim
from cnstra.clock import Clock

REMEMBERED = 5.0
"""Seconds for which a token is told again: its claim may still be on its way to the server."""


class Unheard:
    """The tokens of claims of which nobody knows what they leased."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}

    def tokens(self) -> Sequence[str]:
        """Those to tell with the next claim."""
        now = self._clock.monotonic()
        return [token for token, until in self._until.items() if until > now]

    def add(self, token: str) -> None:
        now = self._clock.monotonic()
        self._until = {one: until for one, until in self._until.items() if until > now}
        self._until[token] = now + REMEMBERED

    @contextmanager
    def unless_told(self, claim: Claim) -> Generator[None, None, None]:
        """Remember the claim if its answer does not come."""
        try:
            yield
        except BaseException:
            self.add(claim.token)
            raise
