"""A share of all crash points of every shape; `make crash` tries them all."""

import logging
from collections.abc import Iterator

import pytest

from tests.crash.exhaustive import DURABILITIES, expected_of, judge, try_shape
from tests.crash.grounds import FIELDS
from tests.crash.lives import Fault
from tests.crash.shapes import SHAPES
from tests.crash.trials import Trial

SEED = 1
SHARES = {"messages": 0.04, "copies": 0.02, "sqlite": 0.03, "redis": 0.01, "postgres": 0.005,
          "nats": 0.005}  # fmt: skip
"""What of all faults is tried in a second or two for each store; in memory it is more."""


@pytest.fixture(autouse=True)
def _silence() -> Iterator[None]:
    """What is done to the workers here they would tell in thousands of lines."""
    logger = logging.getLogger("cnstra")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(before)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_invariant_holds_in_memory(shape: str) -> None:
    with FIELDS["memory"]() as place:
        tally = try_shape(place, "memory", SHAPES[shape], 0.1, SEED)
    assert tally.complaints == []
    assert sum(tally.trials[moment] for moment in ("before", "after", "lost")) > 0
    assert not tally.trials["none came"]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("store", SHARES)
def test_every_invariant_holds_on_each_store(store: str) -> None:
    assert set(FIELDS) == {"memory", *SHARES}
    with FIELDS[store]() as place:
        for number, shape in enumerate(SHAPES.values()):
            tally = try_shape(place, store, shape, SHARES[store], SEED + number)
            assert tally.complaints == []


@pytest.mark.parametrize("store", ["messages", "copies"])
def test_a_job_that_is_delivered_twice_ends_though_its_handler_outlasts_a_lease(store: str) -> None:
    """Two workers have a message of it each, and took it from each other for ever."""
    shape = SHAPES["long handler"]
    expected = expected_of(shape)
    with FIELDS[store]() as place:
        for durability in DURABILITIES:
            trial = Trial(shape, durability, ((Fault("take", 1, "twice"),),))
            story = place.play(trial)
            assert story.came
            assert list(judge(trial, story, expected)) == []
