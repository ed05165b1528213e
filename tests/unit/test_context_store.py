"""The context values of a run: what is seen, what is kept, what a durable run makes of them."""

import logging
from typing import Any, TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnstra.engine.context_store import MISSING, ContextStore, Frozen
from cnstra.engine.payloads import PayloadCodec


class Tally(TypedDict):
    done: list[str]


def durable(**values: bytes) -> ContextStore:
    codecs: dict[str, PayloadCodec[Any]] = {
        "n": PayloadCodec("context of n", Tally),
        "any": PayloadCodec("context of any", Any),
    }
    return ContextStore({name: Frozen(data) for name, data in values.items()}, codecs)


def test_a_plain_store_hands_out_the_value_itself() -> None:
    value = {"done": ["a"]}
    store = ContextStore({"n": value})

    assert store.read("n", "me") is value
    assert store.read("other", "me") is MISSING
    assert repr(MISSING) == "MISSING"


def test_in_a_durable_run_each_reader_has_a_copy_of_its_own() -> None:
    # D10: nothing aliases, on the first attempt as on the next
    store = durable(n=b'{"done": ["a"]}')

    mine: Any = store.read("n", "me")
    mine["done"].append("scribble")

    assert store.read("n", "you") == {"done": ["a"]}
    assert store.get_all() == {"n": {"done": ["a"]}}


def test_a_writer_sees_its_own_object_and_others_a_copy() -> None:
    store, value = durable(), {"done": ["a"]}
    store.write("n", "me", value)

    assert store.read("n", "me") is value
    assert store.read("n", "you") == value
    assert store.read("n", "you") is not value


def test_what_a_commit_keeps_is_what_the_value_was_then() -> None:
    store, value = durable(), {"done": ["a"]}
    store.write("n", "me", value)

    change: Any = store.commit("n", "me")
    value["done"].append("scribble")

    assert change.data == b'{"done":["a"]}'
    assert store.read("n", "me") == {"done": ["a"]}
    assert store.get_all() == {"n": {"done": ["a"]}}


def test_a_delete_is_committed_as_missing() -> None:
    store = durable(n=b'{"done": []}')
    store.write("n", "me", MISSING)

    assert store.get_all() == {"n": {"done": []}}
    assert store.commit("n", "me") is MISSING
    assert store.get_all() == {}


def test_a_value_without_json_is_left_out_of_the_snapshot_with_one_log_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    # Given a value that cannot be encoded, set twice
    store, value = durable(), object()
    with caplog.at_level(logging.WARNING, "cnstra"):
        for writer in ("first", "second"):
            store.write("any", writer, value)
            assert store.commit("any", writer) is MISSING

    # Then the run goes on with it, no snapshot holds it, and one line says so
    assert store.read("any", "third") is value
    assert store.get_all() == {}
    assert [record.getMessage() for record in caplog.records] == [
        "The context of neuron 'any' (object) has no JSON form: it stays in this process, and a "
        "retry will not find it."
    ]

    # And a value that can be is kept again
    store.write("any", "third", 1)
    assert store.commit("any", "third") != MISSING
    assert store.get_all() == {"any": 1}


def test_a_value_of_a_neuron_that_is_gone_is_kept() -> None:
    store = durable(gone=b'{"kept": true}')

    assert store.get_all() == {"gone": {"kept": True}}


def test_when_all_are_interrupted_everything_is_as_it_was() -> None:
    store = ContextStore({"n": 0})
    for value, writer in enumerate("abab", start=1):
        store.write("n", writer, value)

    store.roll_back("n", "a")
    store.roll_back("n", "b")

    assert store.read("n", "c") == 0
    assert store.get_all() == {"n": 0}


Action = tuple[str, str]


@given(
    st.lists(
        st.tuples(st.sampled_from(["add", "commit", "roll back"]), st.sampled_from("abcd")),
        max_size=40,
    ),
    st.booleans(),
)
def test_overlapping_writes_are_never_lost(actions: list[Action], encoded: bool) -> None:
    """Activations add to one value, and end in any order: a snapshot holds each committed one."""
    store = durable() if encoded else ContextStore()
    writing: dict[str, list[str]] = {}
    committed: set[str] = set()
    for number, (action, writer) in enumerate(actions):
        if action == "add":
            found: Any = store.read("any", writer)
            mark = f"{writer}{number}"
            store.write("any", writer, [*([] if found is MISSING else found), mark])
            writing.setdefault(writer, []).append(mark)
        elif writer in writing:
            marks = writing.pop(writer)
            if action == "commit":
                store.commit("any", writer)
                committed.update(marks)
            else:
                store.roll_back("any", writer)

        # No committed write is missing from any snapshot, and none is there of those never made
        held = set(store.get_all().get("any", []))
        assert committed <= held, (action, writer)

    # Once nothing is unfinished, what the run sees and what a snapshot holds are the same
    for writer in writing:
        store.roll_back("any", writer)
    seen: Any = store.read("any", "reader")
    assert store.get_all().get("any", MISSING) == seen


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=20))
def test_activations_that_do_not_overlap_are_exact(writers: list[str]) -> None:
    store = ContextStore()
    expected: list[str] = []
    for number, writer in enumerate(writers):
        store.write("n", writer, [*expected, f"{writer}{number}"])
        assert store.get_all().get("n", []) == expected
        if number % 3:
            store.commit("n", writer)
            expected.append(f"{writer}{number}")
        else:
            store.roll_back("n", writer)
        assert store.get_all().get("n", []) == expected


def test_a_roll_back_spares_what_others_have_built_on_it() -> None:
    # Given a write, one that builds on it, and the roll back of the first
    store = ContextStore()
    store.write("n", "a", ["a"])
    store.write("n", "b", ["a", "b"])
    store.roll_back("n", "a")

    # When a third builds on what it sees, and both that are left commit
    seen: Any = store.read("n", "c")
    store.write("n", "c", [*seen, "c"])
    store.commit("n", "b")
    store.commit("n", "c")

    # Then neither is lost
    assert {"b", "c"} <= set(store.get_all()["n"])
