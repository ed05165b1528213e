"""What counts as which kind of repeat, in the table of docs/comparison.md."""

from benchmarks.rivals.log import Line, Repeats, repeats


def log(*told: tuple[int, str, int, int]) -> list[Line]:
    return [Line(float(at), *line) for at, line in enumerate(told)]


def test_a_step_that_was_killed_is_cut_short() -> None:
    assert repeats(log((1, "start", 7, 0), (2, "start", 7, 0))) == Repeats(1, 0, 0)


def test_a_step_that_ended_last_in_its_life_was_not_recorded() -> None:
    lines = log((1, "start", 7, 0), (1, "end", 7, 0), (2, "start", 7, 0))

    assert repeats(lines) == Repeats(0, 1, 0)


def test_a_step_whose_job_had_gone_on_was_finished() -> None:
    lines = log(
        (1, "start", 7, 0), (1, "end", 7, 0), (1, "start", 7, 1), (2, "start", 7, 0)
    )  # fmt: skip

    assert repeats(lines) == Repeats(0, 0, 1)


def test_a_step_whose_worker_had_gone_on_to_another_job_was_finished() -> None:
    lines = log(
        (1, "start", 7, 5), (1, "end", 7, 5), (1, "start", 8, 0), (2, "start", 7, 5)
    )  # fmt: skip

    assert repeats(lines) == Repeats(0, 0, 1)


def test_a_second_copy_that_a_living_worker_runs_is_of_a_finished_step() -> None:
    lines = log((1, "start", 7, 3), (1, "end", 7, 3), (1, "start", 7, 3))

    assert repeats(lines) == Repeats(0, 0, 1)
