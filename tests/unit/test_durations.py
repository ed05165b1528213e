"""Durations in bins tell percentiles that are near the truth, and claim no more."""

import random

import pytest

from cnstra.history.durations import SMALLEST, bin_of, percentile


def test_a_percentile_is_near_that_of_the_durations_themselves() -> None:
    chance = random.Random(7)
    seconds = sorted(chance.lognormvariate(-3, 1) for _ in range(5_000))
    bins = [(bin_of(one), 1) for one in seconds]

    for share in (0.05, 0.5, 0.95):
        true = seconds[int(share * len(seconds)) - 1]
        assert percentile(_summed(bins), share) == pytest.approx(true, rel=0.05)


@pytest.mark.parametrize("seconds", [0.0005, 0.034, 1.0, 700.0])
def test_one_duration_alone_is_told_to_a_quarter(seconds: float) -> None:
    assert percentile([(bin_of(seconds), 3)], 0.5) == pytest.approx(seconds, rel=0.13)


def test_what_is_too_short_to_be_told_apart_is_no_longer_than_that() -> None:
    assert percentile([(bin_of(0.000_025), 4), (bin_of(1.0), 1)], 0.5) == SMALLEST
    assert percentile([], 0.5) is None


def _summed(bins: list[tuple[int, int]]) -> list[tuple[int, int]]:
    counts: dict[int, int] = {}
    for number, count in bins:
        counts[number] = counts.get(number, 0) + count
    return list(counts.items())
