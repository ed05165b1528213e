"""`cnstra enqueue`, as whoever has something to do uses it."""

from pathlib import Path

import pytest

from tests.acceptance.shell import Shell


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def lines(count: int) -> list[str]:
    return [f'{{"id": {number}}}' for number in range(1, count + 1)]


def test_prints_the_id_of_the_job(shell: Shell) -> None:
    job_id = shell("enqueue", "app:queue", "request", '{"id": 1}').stdout.strip()

    job = shell.json("jobs", "show", "app:queue", job_id)
    assert job["signal"] == {"collateralName": "request", "payload": {"id": 1}}


def test_options_travel_with_the_job(shell: Shell) -> None:
    options = ["--max-attempts", "3", "--backoff", "exponential:1.5", "--delay", "60"]

    added = shell.json(
        "enqueue", "app:queue", "request", '{"id": 1}', *options, "--priority", "5", "--job-id", "x"
    )

    job = shell.json("jobs", "show", "app:queue", "x")
    assert added == {"id": "x", "new": True}
    assert (job["state"], job["maxAttempts"], job["priority"]) == ("delayed", 3, 5)
    assert (job["backoff"]["type"], job["backoff"]["delay"]) == ("exponential", 1.5)


def test_seconds_are_a_fixed_backoff(shell: Shell) -> None:
    shell("enqueue", "app:queue", "request", '{"id": 1}', "--backoff", "2.5", "--job-id", "x")

    assert shell.json("jobs", "show", "app:queue", "x")["backoff"]["type"] == "fixed"


def test_a_job_id_is_taken_once(shell: Shell) -> None:
    shell("enqueue", "app:queue", "request", '{"id": 1}', "--job-id", "x")

    again = shell("enqueue", "app:queue", "request", '{"id": 2}', "--job-id", "x", "--json")

    assert '"new": false' in again.stdout
    assert "already" in again.stderr
    (job,) = shell.json("jobs", "list", "app:queue")
    assert job["signal"]["payload"] == {"id": 1}


def test_a_job_of_a_kind_that_is_not_over_is_joined(shell: Shell) -> None:
    kind = ("--one-at-a-time", "nightly")
    first = shell("enqueue", "app:queue", "request", '{"id": 1}', *kind).stdout

    again = shell("enqueue", "app:queue", "request", '{"id": 2}', *kind)

    assert again.stdout == first
    assert "already" in again.stderr
    (job,) = shell.json("jobs", "list", "app:queue")
    assert job["signal"]["payload"] == {"id": 1}


def test_a_queue_may_be_named_by_its_url(shell: Shell) -> None:
    where = ["--url", "sqlite:///other.db", "--queue", "mail"]

    shell("enqueue", *where, "anything", '"goes"')

    (job,) = shell.json("jobs", "list", *where)
    assert job["signal"] == {"collateralName": "anything", "payload": "goes"}


def test_a_missing_payload_is_null(shell: Shell) -> None:
    shell("enqueue", "--url", "sqlite:///other.db", "--queue", "mail", "tick")

    (job,) = shell.json("jobs", "list", "--url", "sqlite:///other.db", "--queue", "mail")
    assert job["signal"]["payload"] is None


def test_each_line_of_standard_input_is_a_job(shell: Shell) -> None:
    given = "\n\n".join(lines(1200)) + "\n"

    assert shell("enqueue", "app:queue", "request", "-", given=given).stdout == "1200\n"

    jobs = shell.json("jobs", "list", "app:queue", "--limit", "5000")
    assert [job["signal"]["payload"]["id"] for job in reversed(jobs)] == [*range(1, 1201)]


def test_many_jobs_as_json(shell: Shell) -> None:
    added = shell.json("enqueue", "app:queue", "request", "-", given="\n".join(lines(3)))

    held = {job["id"] for job in shell.json("jobs", "list", "app:queue")}
    assert added["enqueued"] == 3
    assert {job["id"] for job in added["jobs"]} == held


@pytest.mark.parametrize(
    ("bad", "says"), [("{oops", "not JSON"), ('{"id": "x"}', "not of its type")]
)
def test_a_bad_line_stops_before_its_batch_is_enqueued(shell: Shell, bad: str, says: str) -> None:
    given = lines(1100)
    given[699] = bad

    said = shell.complaint("enqueue", "app:queue", "request", "-", given="\n".join(given), code=1)

    assert "Line 700 " in said
    assert says in said
    assert "from line 501: 500 jobs" in said
    assert len(shell.json("jobs", "list", "app:queue", "--limit", "5000")) == 500


def test_a_bar_shows_on_a_terminal_only(shell: Shell) -> None:
    given = shell.folder / "lines"
    given.write_text("\n".join(lines(10)))

    shown = shell.on_a_terminal("enqueue", "app:queue", "request", "-", stdin=given)
    piped = shell("enqueue", "app:queue", "request", "-", given=given.read_text())

    assert "10 jobs" in shown
    assert "100%" in shown
    assert piped.stderr == ""


BAD: list[tuple[list[str], str]] = [
    (["app:queue", "requets", '{"id": 1}'], "did you mean 'request'"),
    (["app:queue", "request", '{"id": "x"}'], "Expected `int`"),
    (["app:queue", "request", "{id: 1}"], "is not JSON"),
    (["app:queue", "request", '{"id": 1}', "--backoff", "soon"], "exponential:1.0"),
    (["app:queue", "request", '{"id": 1}', "--backoff", "-1"], "give 0 s to 30 days"),
    (["app:queue", "request", '{"id": 1}', "--delay", "-1"], "give seconds from now on"),
    (["app:queue", "request", '{"id": 1}', "--max-attempts", "0"], "allow 1 or more"),
    (["app:queue", "request", '{"id": 1}', "more"], "COLLATERAL [JSON | -]"),
    (["app:queue", "request", "-", "--job-id", "x"], "--job-id"),
    (["app:queue", "request", "-", "--one-at-a-time", "x"], "--one-at-a-time"),
    (["app:queue"], "COLLATERAL [JSON | -]"),
    ([], "APP:QUEUE, or give both --url and --queue"),
    (["--url", "sqlite:///x.db", "request"], "give both --url and --queue"),
    (["--url", "what://x", "--queue", "q", "request"], "No adapter for the scheme"),
    (["--url", "sqlite:///x.db", "--queue", "q", "a", "1", "--cns", "app:cns"], "Collateral 'a'"),
    (["--url", "memory://x", "--queue", "q", "request"], "lives in the memory of one process"),
    (["app:worker", "request"], "is a Worker: name a Queue"),
    (["app:queue", "request", "--colour"], "No such option"),
]


@pytest.mark.parametrize(("words", "says"), BAD, ids=[says for _, says in BAD])
def test_a_wrong_use_is_told_in_one_line(shell: Shell, words: list[str], says: str) -> None:
    assert says in shell.complaint("enqueue", *words)


def test_a_collateral_is_checked_before_a_line_is_read(shell: Shell) -> None:
    assert "Collateral 'a'" in shell.complaint("enqueue", "app:queue", "a", "-", given="1")
