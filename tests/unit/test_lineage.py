"""Where an activation stands in its run."""

from hypothesis import given
from hypothesis import strategies as st

from cnstra.durable.lineage import (
    MAX_TURNS,
    Path,
    child,
    emission_key,
    follow,
    inner_root,
    lineage_order,
    path_from_text,
    path_text,
    root,
)

turns = st.lists(st.integers(0, 3), max_size=MAX_TURNS - 1)


def path_of(branches: list[int]) -> Path:
    path: Path = ()
    for branch in branches:
        path = follow(path, branch)
    return path


@given(turns, turns)
def test_paths_are_in_the_order_of_their_branches(left: list[int], right: list[int]) -> None:
    """The shallower first, as a FIFO would have them."""
    key = lineage_order
    mine, theirs = (len(left), left), (len(right), right)
    found = key((len(left), path_of(left))) < key((len(right), path_of(right)))
    assert found == (mine < theirs)


@given(turns)
def test_a_path_survives_being_written_down(branches: list[int]) -> None:
    assert path_from_text(path_text(path_of(branches))) == path_of(branches)


def test_a_loop_has_a_short_path() -> None:
    assert path_text(path_of([0] * 100_000)) == "0*100000"


def test_a_path_of_many_turns_stays_short_and_its_own() -> None:
    zigzag = [0, 1] * 10_000
    assert len(path_text(path_of(zigzag))) < 1000
    assert path_of(zigzag) == path_of(list(zigzag))
    assert path_of([*zigzag, 0]) != path_of([*zigzag, 1])
    assert path_of([1, 0, *zigzag]) != path_of([0, 0, *zigzag])


def test_a_key_tells_all_that_makes_an_activation_apart() -> None:
    top = root("run")
    keys = [
        emission_key(parent, name, position, own)
        for parent in (top, root("other"), inner_root(top, 0), inner_root(top, 1))
        for name in ("a", "ab", "")
        for position in (0, 1)
        for own in (None, "", "#0", "0", "=0")
        if own is None or position == 0
    ]
    assert len(set(keys)) == len(keys)
    (key, *_) = keys
    assert child(top, key, "n", 0, 0).key != child(top, key, "m", 0, 0).key
    assert child(top, key, "n", 0, 0).key == child(top, key, "n", 5, 9).key


def test_a_key_of_its_own_makes_the_position_of_no_account() -> None:
    top = root("run")
    assert emission_key(top, "c", 0, "k") == emission_key(top, "c", 5, "k")
    assert emission_key(top, "c", 0, None) != emission_key(top, "c", 5, None)


def test_a_key_never_changes() -> None:
    """They are saved: another release must make the same ones."""
    emission = emission_key(root("run"), "input", 0, None)
    assert child(root("run"), emission, "step1", 0, 0).text == KEY_OF_TODAY
    assert emission_key(root("\ud800"), "\udfff", 0, "\ud800")


KEY_OF_TODAY = "0b6e3bf8311d989cdb96737f4a2778c4"
