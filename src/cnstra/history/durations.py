"""How long things took, as counts in bins that grow by a quarter: enough for a percentile."""

from collections.abc import Iterable
from math import ceil, log

SMALLEST = 0.000_1
"""Seconds: shorter ones are not told apart."""

GROWTH = 1.25
LAST_BIN = 100

_LOG = log(GROWTH)


def bin_of(seconds: float) -> int:
    """The bin of a duration in seconds: 0 holds all up to a tenth of a millisecond."""
    if seconds <= SMALLEST:
        return 0
    return min(LAST_BIN, ceil(log(seconds / SMALLEST) / _LOG))


def upper_edge(number: int) -> float:
    """The longest duration in a bin, in seconds."""
    return SMALLEST * GROWTH**number


def percentile(bins: Iterable[tuple[int, int]], share: float) -> float | None:
    """The duration that `share` of them do not exceed, from (bin, count) pairs: as if those in a
    bin were spread evenly over it. `SMALLEST`, where all that is known is that it is no longer.
    """
    counted = sorted(bins)
    left = share * sum(count for _, count in counted)
    for number, count in counted:
        if left <= count + 1e-9:
            return SMALLEST if number == 0 else upper_edge(number) * GROWTH ** (left / count - 1)
        left -= count
    return None
