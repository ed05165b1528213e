"""A share of all crash points of every shape; `make crash` tries them all."""

import logging
from collections.abc import Iterator

import pytest

from tests.crash.exhaustive import try_shape
from tests.crash.grounds import FIELDS
from tests.crash.shapes import SHAPES

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
