"""How long a failed job waits."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnstra import Backoff, RateLimit, custom, exponential, fixed
from cnstra.errors import InvalidOption
from cnstra.jobs.retry import MAX_DELAY, backoff_from_wire, backoff_of
from tests.manual_clock import ManualClock

clock = ManualClock()


def pauses(backoff: Backoff, count: int = 4) -> list[float]:
    return [backoff.pause(failures, clock) for failures in range(1, count + 1)]


def test_fixed_is_always_the_same() -> None:
    assert pauses(fixed(5)) == [5.0] * 4
    assert pauses(fixed(timedelta(minutes=1))) == [60.0] * 4


def test_exponential_grows_up_to_its_maximum() -> None:
    assert pauses(exponential(1)) == [1, 2, 4, 8]
    assert pauses(exponential(1, factor=10, maximum=50)) == [1, 10, 50, 50]
    assert pauses(exponential(0), 3) == [0, 0, 0]
    assert exponential(1, factor=10).pause(10_000, clock) == MAX_DELAY
    assert exponential(0, factor=10).pause(10_000, clock) == 0


def test_jitter_takes_off_a_share_by_chance() -> None:
    """The test's chance is one half."""
    assert pauses(exponential(8, jitter=0.5), 2) == [6, 12]
    assert pauses(fixed(8, jitter=1.0), 1) == [4]


def test_a_function_is_known_by_its_name() -> None:
    assert pauses(custom(lambda failures: failures * 3, name="by three")) == [3, 6, 9, 12]
    wire = custom(lambda failures: failures * 3, name="by three").to_wire()
    assert wire == {"type": "custom", "name": "by three"}
    assert pauses(backoff_from_wire(wire)) == [3, 6, 9, 12]


def test_a_function_that_this_worker_does_not_know_is_replaced() -> None:
    assert backoff_from_wire({"type": "custom", "name": "of elsewhere"}) == exponential(1.0)


@pytest.mark.parametrize("pause", [-1, float("nan"), float("inf"), MAX_DELAY + 1])
def test_a_function_may_not_return_just_anything(pause: float) -> None:
    with pytest.raises(InvalidOption, match="return 0 s to 30 days"):
        custom(lambda failures: pause, name="odd").pause(1, clock)


@given(
    st.one_of(
        st.builds(fixed, st.floats(0, MAX_DELAY), jitter=st.floats(0, 1)),
        st.builds(
            exponential,
            st.floats(0, MAX_DELAY),
            factor=st.floats(1, 1000),
            maximum=st.floats(0, MAX_DELAY),
            jitter=st.floats(0, 1),
        ),
    ),
    st.integers(1, 100_000),
)
def test_a_pause_is_never_odd_and_travels_well(backoff: Backoff, failures: int) -> None:
    assert 0 <= backoff.pause(failures, clock) <= MAX_DELAY
    assert backoff_from_wire(backoff.to_wire()) == backoff


@pytest.mark.parametrize(
    "make",
    [
        lambda: fixed(-1),
        lambda: fixed(float("nan")),
        lambda: fixed(timedelta(days=31)),
        lambda: fixed(1, jitter=1.5),
        lambda: exponential(1, factor=0.5),
        lambda: exponential(1, maximum=-1),
        lambda: exponential(1, jitter=-0.1),
        lambda: backoff_of("soon"),  # type: ignore[arg-type]
        lambda: backoff_of(-3),
        lambda: RateLimit(0),
        lambda: RateLimit(1, per=0),
    ],
)
def test_nonsense_is_refused_with_a_remedy(make: Any) -> None:
    with pytest.raises(InvalidOption, match="is not valid: "):
        make()


@pytest.mark.parametrize(
    "wire",
    [
        {},
        {"type": "fixed"},
        {"type": "fixed", "delay": "x"},
        {"type": "exponential", "delay": 1, "factor": "2"},
        {"type": "exponential", "delay": -1},
        {"type": "fixed", "delay": None},
        {"type": "sooner"},
    ],
)
def test_what_cannot_be_read_is_exponential(wire: Any) -> None:
    assert backoff_from_wire(wire) == exponential(1.0)


def test_none_is_at_once() -> None:
    assert backoff_of(None) is None
    assert pauses(backoff_from_wire(None)) == [0] * 4
