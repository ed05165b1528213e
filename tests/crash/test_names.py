"""Descent is read off names, and so the invariants stand on this."""

import pytest

from tests.crash.names import descends, heard_by, run_of


@pytest.mark.parametrize(
    ("at", "origin"),
    [("e/0", "e/0"), ("e/0/1", "e/0"), ("e/+/2", "e/7/0"), ("e/+", "e/7"), ("e:1/0", "e"),
     ("e/+/0/+", "e/+/0/3"), ("e/+/0", "e/+")],
)  # fmt: skip
def test_what_becomes_of_it_descends(at: str, origin: str) -> None:
    assert descends(at, origin)


@pytest.mark.parametrize(
    ("at", "origin"),
    [("e", "e/0"), ("e/10", "e/1"), ("e/+", "e/+/2"), ("e:0/0", "e:1"), ("e/1/+", "e/0/2")],
)
def test_nothing_else_does(at: str, origin: str) -> None:
    assert not descends(at, origin)


def test_those_who_hear_one_signal_have_names_of_their_own() -> None:
    assert {heard_by("e", name) for name in ("ear0", "ear1", "mouth")} == {"e:0", "e:1", "e"}


@pytest.mark.parametrize(
    ("at", "run"),
    [("e", ""), ("e/1/0", ""), ("e/1/in", "e/1/in"), ("e/1/in/0/in/+", "e/1/in/0/in")],
)
def test_an_inner_run_is_named_by_where_it_began(at: str, run: str) -> None:
    assert run_of(at) == run
