"""`python -m tests.rules` takes lines out and sees tests turn red. Here: the lines are there."""

import pytest

from tests.rules.__main__ import tables
from tests.rules.mutation import ROOT, Mutation


@pytest.mark.parametrize("line", [*tables()], ids=lambda one: f"{one.rule} {one.what}")
def test_what_a_rule_takes_out_is_there(line: Mutation) -> None:
    assert line.complaint(ROOT) is None
