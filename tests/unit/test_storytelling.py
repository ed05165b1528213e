"""From what is kept of a run to lanes and trees that can be taken in."""

from cnstra.dashboard.storytelling import DEEPEST, MOST_SIGNALS, Branch, tree, waterfalls
from cnstra.history.records import AttemptRow, Output, RunRow, Story, TaskOutcome, TaskRow

ATTEMPT = AttemptRow("a", "r", "orders", "one", 1, "w", 0.0, 0.0, ended_at=10.0, outcome="dead")
RUN = RunRow(1, "r", "orders", "one", "dead", 1, 0.0, 0.0, 10.0, "order")


def task(
    key: str, at: float, *next: str, neuron: str = "step", outcome: TaskOutcome = "done"
) -> TaskRow:
    outputs = tuple(Output("out", keys=(one,)) for one in next)
    return TaskRow("a", key, neuron, "in", 1, at, at + 1.0, outcome, outputs=outputs)


def story(*tasks: TaskRow) -> Story:
    return Story(RUN, [ATTEMPT], list(tasks), [])


def fan_out(number: int, failing: int) -> Story:
    """A task that leads to many, one of which fails."""
    names = [f"k{one}" for one in range(number)]
    many = [task(name, 2.0 + one / number, neuron="leaf") for one, name in enumerate(names)]
    many[failing].outcome = "failed"
    return story(task("root", 0.0, *names, neuron="root"), *many)


def depth_of(branch: Branch) -> int:
    below = [one for twig in branch.signals for one in twig.branches]
    return 1 + max(map(depth_of, below), default=0)


def test_few_tasks_have_lanes_of_their_own() -> None:
    (fall,) = waterfalls(fan_out(5, failing=2), now=20.0)

    assert [lane.state for lane in fall.lanes] == ["done", "done", "done", "failed", "done", "done"]
    assert {lane.times for lane in fall.lanes} == {1}


def test_many_that_are_alike_share_a_lane_and_the_one_that_failed_is_seen() -> None:
    (fall,) = waterfalls(fan_out(1_500, failing=700), now=20.0)

    root, leaves = fall.lanes
    assert (root.neuron, root.times) == ("root", 1)
    assert (leaves.neuron, leaves.times, leaves.failed, leaves.state) == (
        "leaf", 1_500, 1, "failed",
    )  # fmt: skip
    assert leaves.bars[-1].state == "failed"
    assert len(leaves.bars) < 500


def test_of_many_signals_those_that_led_to_trouble_are_shown_first() -> None:
    (root,) = tree(fan_out(100, failing=70))

    assert root.shown[0].output.keys == ("k70",)
    assert [twig.output.keys[0] for twig in root.shown[1:3]] == ["k0", "k1"]
    assert (len(root.shown), len(root.folded)) == (MOST_SIGNALS, 100 - MOST_SIGNALS)


def test_trouble_far_below_is_trouble() -> None:
    names = [f"k{one}" for one in range(30)]
    middle = [task(name, 1.0 + one / 30, f"leaf {name}") for one, name in enumerate(names)]
    leaves = [task(f"leaf {name}", 3.0) for name in names]
    leaves[29].outcome = "interrupted"
    (root,) = tree(story(task("root", 0.0, *names), *middle, *leaves))

    assert root.shown[0].output.keys == ("k29",)


def test_a_long_chain_is_several_trees_that_lead_to_each_other() -> None:
    length = 2_000
    links = [task(f"k{one}", float(one), f"k{one + 1}") for one in range(length - 1)]
    trees = tree(story(*links, task(f"k{length - 1}", float(length))))

    assert max(map(depth_of, trees)) == DEEPEST
    assert len(trees) == length / DEEPEST
    last = trees[0]
    while last.signals[0].branches:
        (last,) = last.signals[0].branches
    assert last.signals[0].elsewhere == [trees[1]]
    assert trees[1].task.key == f"k{DEEPEST}"
