"""What the campaign takes for evidence, it must read right."""

from tests.crash.invariants import Evidence, Expected, complaints
from tests.crash.witness import Line

DONE = Expected(
    "job", "completed", [], frozenset({"e"}), {}, {("step", ""): ("e",)}, starts=1, lives=1
)


def test_a_worker_that_says_late_that_it_had_loaded_a_run_does_not_hold_it() -> None:
    """Given a worker that stood still between its look and its line, when another has taken the job
    over meanwhile and ends it, then what that one did counts.
    """
    lines = [
        Line("load", 2, "job", epoch=2, frontier=("e",)),
        Line("load", 1, "job", epoch=1, frontier=("e",)),
        Line("start", 2, "job", "e", neuron="step", key="k"),
        Line("end", 2, "job", "e", neuron="step", key="k", seen=("e",)),
    ]
    job = Evidence(DONE, "step", "completed", {"results": []}, lines)
    assert list(complaints(job)) == []
