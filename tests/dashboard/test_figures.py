"""The figures on the overview claim no more than is known."""

import pytest

from cnstra.dashboard.overview import rate
from cnstra.dashboard.rendering import estimate
from cnstra.history.durations import bin_of, percentile


@pytest.mark.parametrize("elapsed", [0.0, 0.25, 0.5, 0.99])
def test_a_steady_rate_is_the_same_at_any_moment_of_a_minute(elapsed: float) -> None:
    this = 28_000_000
    minutes = {(this - back, "completed"): 60 for back in range(1, 20)}
    minutes[this, "completed"] = round(60 * elapsed)

    assert rate(minutes, this + elapsed) == pytest.approx(60, rel=0.01)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.000_025, "< 100 µs"), (0.034_56, "35 ms"), (0.001_23, "1.2 ms"), (1234.0, "20 min")],
)
def test_an_estimate_has_two_digits(seconds: float, told: str) -> None:
    shortest = percentile([(bin_of(seconds), 1)], 1.0)
    assert estimate(shortest if seconds < 0.000_1 else seconds) == told


def test_nothing_is_told_of_nothing() -> None:
    assert estimate(None) == "–"
