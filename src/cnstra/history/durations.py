"""How long things took, as counts in bins that grow by a quarter: enough for a percentile."""

from collections.abc import Iterable
from math import ceil, log

SMALLEST = 0.000_1
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
    """The duration that `share` of them do not exceed, from (bin, count) pairs; to a quarter."""
    counted = sorted(bins)
    total = sum(count for _, count in counted)
    if not total:
        return None
    left = share * total
    for number, count in counted:
        left -= count
        if left <= 1e-9:
            return upper_edge(number)
    return upper_edge(counted[-1][0])
