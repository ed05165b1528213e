"""The wire: what a worker of another language reads, and what it may have written."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnstra import CNS, collateral, neuron
from cnstra.durable.entries import META, ErrorEntry, ResultEntry, RunMeta, StartEntry, TaskEntry
from cnstra.durable.lineage import child, emission_key, root
from cnstra.durable.progress import Progress
from cnstra.durable.wire import from_wire, to_wire
from cnstra.engine.payloads import encode_json
from cnstra.engine.tasks import NEVER_STARTED
from cnstra.errors import (
    InvalidSignal,
    NotSerializable,
    ProgressTooNew,
    ProgressUnreadable,
    UndecodableJob,
)
from cnstra.jobs.envelope import job_data, run_in, signal_in

# --- job data

request = collateral("input", dict[str, int])


def test_job_data_is_the_seeds_with_a_part_of_ours() -> None:
    assert json.loads(job_data(request.create_signal({"id": 100}), "run 1")) == {
        "signal": {"collateralName": "input", "payload": {"id": 100}},
        "cnstra": {"run": "run 1"},
    }


def test_a_key_of_its_own_travels_with_a_signal() -> None:
    data = job_data(request.create_signal({"id": 1}, key="k"), "run 1")
    assert signal_in("job", data) == {"collateralName": "input", "payload": {"id": 1}, "key": "k"}


@pytest.mark.parametrize(
    "data",
    [
        b'{"signal": {"collateralName": "input", "payload": {"id": 100}}}',
        b'{"collateralName": "input", "payload": {"id": 100}}',
        b'{"signal": {"collateralName": "input", "payload": {"id": 100}, "new": 1}, "cnstra": []}',
    ],
)
def test_job_data_of_others_is_read(data: bytes) -> None:
    wire = signal_in("job", data)
    (signal,) = CNS([neuron("n").dendrite(request, print)]).signals_of(wire)
    assert (signal.collateral_name, signal.payload) == ("input", {"id": 100})
    assert run_in(data) is None


def test_a_run_id_is_read_where_it_is_one() -> None:
    assert run_in(job_data(request.create_signal({}), "run 1")) == "run 1"
    for data in (b"{", b"[]", b'{"cnstra": {"run": 7}}', b'{"cnstra": {"run": ""}}', b"7"):
        assert run_in(data) is None


def test_what_is_no_signal_is_refused_at_both_ends() -> None:
    with pytest.raises(InvalidSignal):
        job_data({"payload": 7}, "run")
    with pytest.raises(NotSerializable, match="'thing'"):
        job_data(collateral("thing").create_signal(object()), "run")
    with pytest.raises(UndecodableJob, match=r"'job 7' is not a signal.*collateralName"):
        signal_in("job 7", b"[]")


# --- progress


def a_progress() -> Progress:
    """Two tasks, of which one has failed and one has crashed; two results; a context."""
    progress = Progress("run 1")
    top = root("run 1")
    with progress:
        progress.put(META, encode_json(RunMeta(stimulation_id="stimulation 1")))
        for number, name in enumerate(["left", "right"]):
            emission = emission_key(top, "input", number, None)
            lineage = child(top, emission, name, number, number)
            task = TaskEntry(name, "input", raw({"id": number}), number, str(number), 1, 1)
            progress.put(f"t/{lineage.text}", encode_json(task))
            if name == "right":
                error = ErrorEntry("no luck", "ValueError", "Traceback ...")
                progress.put(f"e/{lineage.text}", encode_json(error))
                progress.put(f"s/{lineage.text}", encode_json(StartEntry(2, True)))
            progress.put(f"r/{emission.hex()}", encode_json(ResultEntry("out", raw(number))))
        progress.put("c/left", b'{"executed":[1]}')
    return progress


def raw(value: Any) -> Any:
    import msgspec

    return msgspec.Raw(encode_json(value))


def test_progress_is_in_the_seeds_shape() -> None:
    wire = json.loads(to_wire(a_progress()))

    assert wire["context"] == {"left": {"executed": [1]}}
    assert wire["failedTasks"] == [
        {
            "task": {
                "stimulationId": "stimulation 1",
                "neuronId": "left",
                "dendriteCollateralName": "input",
                "input": {"collateralName": "input", "payload": {"id": 0}},
            },
            "error": {"message": NEVER_STARTED, "name": "Error", "stack": ""},
            "aborted": True,
        },
        {
            "task": {
                "stimulationId": "stimulation 1",
                "neuronId": "right",
                "dendriteCollateralName": "input",
                "input": {"collateralName": "input", "payload": {"id": 1}},
            },
            "error": {"message": "no luck", "name": "ValueError", "stack": "Traceback ..."},
            "aborted": False,
        },
    ]
    assert wire["cnstra"]["v"] == 1


def test_nothing_is_lost_on_the_way_there_and_back() -> None:
    progress = a_progress()
    again = from_wire("run 1", to_wire(progress))
    assert again is not None
    again.check()
    assert again.entries == progress.entries
    assert to_wire(again) == to_wire(progress)


def test_the_words_of_the_seed() -> None:
    assert NEVER_STARTED == "Task aborted - not started due to abort signal"


SEEDS = {
    "context": {"step1": {"executed": ["step1-100"]}},
    "failedTasks": [
        {
            "task": {
                "stimulationId": "s-1",
                "neuronId": "step2",
                "dendriteCollateralName": "step1Out",
                "input": {"collateralName": "step1Out", "payload": {"id": 100}},
            },
            "error": {"message": "no", "name": "Error", "stack": "..."},
            "aborted": True,
        },
        {
            "task": {
                "stimulationId": "s-1",
                "neuronId": "step2",
                "dendriteCollateralName": "step1Out",
            },
            "error": {},
            "aborted": False,
        },
    ],
}


def test_the_progress_of_the_seeds_worker_is_read() -> None:
    """Two equal tasks are two tasks, and a missing payload is `None`."""
    progress = from_wire("run 1", encode_json(SEEDS))
    assert progress is not None
    progress.check()
    tasks = progress.tasks()
    assert [(task.neuron, bytes(task.payload)) for _, task in tasks] == [
        ("step2", b'{"id":100}'),
        ("step2", b"null"),
    ]
    assert len({key for key, _ in tasks}) == 2
    assert progress.contexts() == {"step1": b'{"executed":["step1-100"]}'}
    assert progress.meta().stimulation_id == "s-1"
    error = progress.error(tasks[0][0])
    assert error == ErrorEntry("no", "Error", "...", True)


def test_the_newer_shape_is_read() -> None:
    task = {
        "neuronName": "step2",
        "dendriteCollateralName": "step1Out",
        "stimulationId": "s-1",
        "input": {"collateralName": "step1Out", "payload": {"id": 100}},
    }
    progress = from_wire("run 1", encode_json({"tasks": [task], "context": {"step1": 1}}))
    assert progress is not None
    progress.check()
    ((_, found),) = progress.tasks()
    assert (found.neuron, found.collateral) == ("step2", "step1Out")


def test_what_another_attempt_saved_has_other_keys() -> None:
    """Its tasks may be other activations; theirs must not be taken for ours."""
    later = {**SEEDS, "context": {"step1": {"executed": ["step1-100", "again"]}}}
    first, second = from_wire("r", encode_json(SEEDS)), from_wire("r", encode_json(later))
    assert first is not None
    assert second is not None
    assert {key for key, _ in first.tasks()}.isdisjoint(key for key, _ in second.tasks())


@pytest.mark.parametrize(
    "wire",
    [b"0", b"50", b'"half"', b"null", b"{}", b"[]", b'{"percent": 5}', b'{"failedTasks": 1}'],
)
def test_what_is_no_progress_is_none(wire: bytes) -> None:
    """BullMQ's is 0 before anything is saved, and a user's own may be anything."""
    assert from_wire("run", wire) is None


def test_a_foreign_progress_that_owes_nothing_is_none() -> None:
    """The seed's pattern saves that where handlers obeyed the abort: resumed, it loses them."""
    assert from_wire("run", b'{"failedTasks": [], "context": {}}') is None


def test_errors_of_others_may_be_anything() -> None:
    for error in ("text", 7, None, [], {"message": 5, "stack": None}):
        one = {**SEEDS["failedTasks"][0], "error": error}  # type: ignore[dict-item]
        progress = from_wire("run", encode_json({"failedTasks": [one], "context": None}))
        assert progress is not None
        progress.check()


BROKEN = [
    b"{",
    b"\xff",
    b'{"failedTasks": [7]}',
    b'{"failedTasks": [{"task": null}]}',
    b'{"failedTasks": [{"task": {"neuronId": "n"}}]}',
    b'{"failedTasks": [{"task": {"neuronId": 7, "dendriteCollateralName": "c"}}]}',
    b'{"failedTasks": [{"task": {"neuronId": "n", "dendriteCollateralName": {}}}]}',
    b'{"failedTasks": [{"task": {"neuronId": "n", "dendriteCollateralName": "c", "input": [1]}}]}',
    b'{"failedTasks": [{"neuronId": "n", "dendriteCollateralName": "c", "stimulationId": 7}]}',
    b'{"failedTasks": [{"neuronId": "n", "dendriteCollateralName": "c"}], "context": [1]}',
    b'{"failedTasks": [], "cnstra": {}}',
    b'{"failedTasks": [], "cnstra": []}',
    b'{"failedTasks": [], "cnstra": {"v": "new", "entries": {}, "keys": []}}',
    b'{"failedTasks": [], "cnstra": {"v": 1, "entries": {"t/00": 7}, "keys": []}}',
    b'{"failedTasks": [], "cnstra": {"v": 1, "entries": {"m": 7}, "keys": []}}',
    b'{"failedTasks": [], "cnstra": {"v": 1, "entries": {"m": {}}, "keys": ["a"]}}',
    b'{"failedTasks": [], "cnstra": {"v": 1, "entries": {"m": {}, "t/zz": {}}, "keys": []}}',
    b'{"failedTasks": ' + b"[" * 5000 + b"]" * 5000 + b"}",
]


@pytest.mark.parametrize("wire", BROKEN)
def test_a_broken_progress_says_so(wire: bytes) -> None:
    with pytest.raises(ProgressUnreadable, match="run 'run'"):
        checked(wire)


def checked(wire: bytes) -> Progress | None:
    progress = from_wire("run", wire)
    if progress is not None:
        progress.check()
    return progress


def test_a_newer_progress_says_so() -> None:
    with pytest.raises(ProgressTooNew, match="version 2, this cnstra reads up to 1: upgrade"):
        from_wire("run", b'{"failedTasks": [], "cnstra": {"v": 2, "something": "else"}}')


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
known_keys = st.sampled_from(
    ["failedTasks", "tasks", "task", "context", "cnstra", "v", "entries", "keys", "neuronId",
     "error", "dendriteCollateralName", "input", "payload", "m", "t/00", "c/n", "r/00",
     "stimulationId"]
)  # fmt: skip
hostile = st.recursive(
    json_values,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(known_keys, inner, max_size=8),
    max_leaves=20,
)


@given(st.fixed_dictionaries({}, optional={
    "failedTasks": hostile, "context": hostile, "cnstra": hostile, "tasks": hostile,
}))  # fmt: skip
def test_hostile_progress_is_read_or_refused(wire: dict[str, Any]) -> None:
    with contextlib.suppress(ProgressUnreadable, ProgressTooNew):
        checked(encode_json(wire))


@given(hostile)
def test_hostile_job_data_is_read_or_refused(wire: Any) -> None:
    with contextlib.suppress(UndecodableJob):
        signal_in("job", encode_json(wire))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(UndecodableJob):
        signal_in("job", data)
    with contextlib.suppress(ProgressUnreadable):
        checked(data)
