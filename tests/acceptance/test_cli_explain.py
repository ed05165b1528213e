"""`cnstra explain`, `check`, `graph`, `doctor`, and the newer acts on jobs, as a user runs them."""

import json
import signal
from pathlib import Path

import pytest

from tests.acceptance.shell import APP, Shell

ROOT = Path(__file__).parents[2]
UNREACHABLE = """
from cnstra import Queue, Worker
from seed import cns, output, remote


async def fails():
    raise ConnectionError("step 2 is not reachable")


remote.call = fails
queue = Queue("workflows", "sqlite:///work.db")
worker = Worker(queue, cns, results=[output])
"""
"""The seed's example, whose second step fails on each attempt."""

RENAMED = APP.replace('neuron("second"', 'neuron("third"')
"""The same application after a deploy that took the neuron away which jobs are owed to."""


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@pytest.fixture
def dead(shell: Shell) -> Shell:
    """A folder with a job that died in its second step, and one that waits."""
    shell("enqueue", "app:queue", "request", '{"id": 1, "fail": "boom"}', "--job-id", "one")
    shell("worker", "app:worker", "--until-idle", "--log-level", "error")
    shell("enqueue", "app:queue", "request", '{"id": 2}', "--job-id", "two")
    return shell


def test_a_dead_job_is_explained(dead: Shell) -> None:
    told = dead.json("explain", "app:queue", "one")
    shown = dead("explain", "app:queue", "one").stdout

    assert told["standing"] == "It is in the dead letters after 1 attempt: ValueError: boom."
    ((owed),) = told["runs"]
    assert (owed["neuron"], owed["payload"], owed["problem"]) == (
        "second",
        {"id": 1, "fail": "boom"},
        None,
    )
    assert (told["skips"], told["follows"], told["context"]) == (
        ["first"],
        [],
        {"first": {"seen": 1}},
    )
    assert told["resultsAre"].startswith("1 result is saved with its progress")
    for part in ("A retry skips\n  first\n", "ValueError: boom", "Where it stands"):
        assert part in shown


def test_the_page_shows_the_seeds_example_as_it_is(shell: Shell) -> None:
    example = (ROOT / "examples" / "retry_with_context.py").read_text(encoding="utf-8")
    (shell.folder / "seed.py").write_text(example, encoding="utf-8")
    renamed = example.replace('neuron("step2"', 'neuron("second"')
    (shell.folder / "renamed.py").write_text(renamed, encoding="utf-8")
    (shell.folder / "app.py").write_text(UNREACHABLE, encoding="utf-8")
    words = ["--job-id", "user-100", "--max-attempts", "2"]
    shell("enqueue", "app:queue", "input", '{"id": 100}', *words)
    shell("worker", "app:worker", "--until-idle", "--log-level", "error")

    explained = shell("explain", "app:queue", "user-100").stdout
    checked = shell("check", "renamed:cns", "--queue", "app:queue", code=1).stdout

    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    for shown in (explained, checked):
        lines = "\n".join(line.rstrip() for line in shown.splitlines())
        assert f"```text\n{lines}\n```" in page, lines


def test_where_no_code_is_at_hand_it_says_what_it_cannot_know(dead: Shell) -> None:
    shown = dead("explain", "--url", "sqlite:///work.db", "--queue", "work", "one").stdout

    assert "not known without the code" in shown
    assert "has no job 'nobody'" in dead.complaint("explain", "app:queue", "nobody", code=1)


def test_code_that_fits_is_told_to_fit(dead: Shell) -> None:
    ended = dead("check", "app:cns", "--queue", "app:queue")

    assert (ended.stdout, ended.stderr) == ("", "this code can go on with all of 2 jobs\n")


def test_code_that_cannot_resume_a_job_fails_the_check_before_it_is_deployed(dead: Shell) -> None:
    (dead.folder / "next.py").write_text(RENAMED, encoding="utf-8")

    ended = dead("check", "next:cns", "--queue", "app:queue", "--json", code=1)
    table = dead("check", "next:cns", "--url", "sqlite:///work.db", "--queue", "work", code=1)

    told = json.loads(ended.stdout)
    (problem,) = told["problems"]
    assert (told["jobs"], problem["job"], problem["neuron"]) == (2, "one", "second")
    assert "'second'" in problem["reason"]
    assert table.stderr == "1 of 2 jobs cannot go on with this code\n"
    assert dead.json("explain", "app:queue", "one", "--cns", "next:cns")["runs"][0]["problem"]


def test_a_queue_without_jobs_is_told_of(shell: Shell) -> None:
    """It may be misspelt, and an empty check proves nothing."""
    ended = shell("check", "app:cns", "--queue", "app:queue")

    assert "no job to look at" in ended.stderr


def test_payloads_and_entries_that_no_longer_fit_are_told_of(dead: Shell) -> None:
    (dead.folder / "narrow.py").write_text(APP.replace("id: int", "id: str"), encoding="utf-8")
    entry = APP.replace('("request", "middle"', '("asked", "middle"')
    (dead.folder / "asked.py").write_text(entry, encoding="utf-8")

    options = ("--queue", "app:queue", "--json")
    narrow = json.loads(dead("check", "narrow:cns", *options, code=1).stdout)
    asked = json.loads(dead("check", "asked:cns", *options, code=1).stdout)

    assert {one["job"] for one in narrow["problems"]} == {"one", "two"}
    assert [one["job"] for one in asked["problems"]] == ["two"]
    assert "'request'" in asked["problems"][0]["reason"]


def test_a_graph_is_drawn_in_three_languages(shell: Shell) -> None:
    assert shell("graph", "app:cns").stdout.splitlines()[:2] == [
        "flowchart LR",
        '    n0(["request"])',
    ]
    assert 'n1 -> n2 [label="middle"]' in shell("graph", "app:worker", "-f", "dot").stdout
    shell("graph", "app:cns", "-f", "svg", "-o", "graph.svg")
    assert (shell.folder / "graph.svg").read_text().startswith("<svg ")
    described = json.loads(shell("graph", "app:cns", "-f", "json").stdout)
    assert [one["name"] for one in described["neurons"]] == ["first", "second"]


def test_the_doctor_looks_at_the_broker(shell: Shell) -> None:
    told = shell.json("doctor", "app:queue")

    assert {one["level"] for one in told} == {"ok"}
    assert {one["what"] for one in told} >= {"versions", "broker", "sqlite", "file", "disk"}
    (shell.folder / "work.db").write_bytes(b"no database" * 100)
    assert json.loads(shell("doctor", "app:queue", "--json", code=1).stdout)[1]["level"] == "error"


def test_a_job_is_cloned_and_retried(dead: Shell) -> None:
    (dead.folder / "mended").touch()

    assert dead("jobs", "clone", "app:queue", "one", "--job-id", "copy").stdout == "copy\n"
    dead("jobs", "retry", "app:queue", "one")
    dead("worker", "app:worker", "--until-idle", "--log-level", "error")

    assert dead("jobs", "retry", "app:queue", "one", code=1).stderr.startswith("cnstra: Job 'one'")
    done = [effect[:2] for effect in dead.effects]
    assert done.count(["first", "1"]) == 2  # its own first attempt, and the clone's
    assert done.count(["second", "1"]) == 3


def test_watching_tells_of_each_change_and_fills_a_terminal(shell: Shell) -> None:
    shell.environment |= {"CNSTRA_URL": "sqlite:///work.db", "CNSTRA_QUEUE": "work"}
    shell("enqueue", "request", '{"id": 1}', "--job-id", "one")

    with shell.running("jobs", "watch", "--every", "0.05") as watching:
        assert watching.process.stdout is not None
        assert "1 waiting" in watching.process.stdout.readline()
        shell("enqueue", "request", '{"id": 2}')
        assert "2 waiting" in watching.process.stdout.readline()
        watching.signal(signal.SIGINT)
        assert watching.ends() == 130
    assert watching.log == ""

    shown = shell.glance("jobs", "watch", until="2 waiting")
    assert "\x1b[?1049h" in shown  # a screen of its own


def test_a_queue_that_is_typed_goes_before_one_of_the_environment(dead: Shell) -> None:
    dead.environment |= {"CNSTRA_URL": "sqlite:///work.db", "CNSTRA_QUEUE": "other"}
    assert dead.json("dead", "list") == []

    assert {job["id"] for job in dead.json("dead", "list", "app:queue")} == {"one"}
    assert dead.json("check", "app:cns", "--queue", "app:queue")["jobs"] == 2
    assert dead.json("dead", "redrive", "app:queue", "one") == {"redriven": ["one"]}
    assert dead("enqueue", "app:queue", "request", '{"id": 3}', "--job-id", "a:b").stdout == "a:b\n"

    del dead.environment["CNSTRA_URL"]
    assert dead.json("jobs", "show", "app:queue", "a:b")["state"] == "waiting"
    dead.environment |= {"CNSTRA_URL": "sqlite:///work.db", "CNSTRA_QUEUE": "work"}
    assert dead.json("jobs", "show", "a:b")["state"] == "waiting"
    dead("enqueue", "request", '{"id": 4, "fail": "no"}', "--job-id", "email:42")
    dead("worker", "app:worker", "--until-idle", "--log-level", "error")
    assert dead.json("dead", "redrive", "email:42") == {"redriven": ["email:42"]}


def test_every_option_may_come_from_the_environment(dead: Shell) -> None:
    dead.environment["CNSTRA_JOBS_LIST_LIMIT"] = "1"

    assert [job["id"] for job in dead.json("jobs", "list", "app:queue")] == ["two"]
