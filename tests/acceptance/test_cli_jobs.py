"""`cnstra jobs`, `dead`, `pause` and `resume`, as whoever is on call uses them."""

import json
import re
import signal
import threading
from pathlib import Path

import pytest

from tests.acceptance.shell import Shell, eventually


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def bury(shell: Shell, *ids: str, message: str = "boom") -> None:
    """Let jobs of these ids die."""
    for number, job_id in enumerate(ids):
        payload = json.dumps({"id": number, "fail": message})
        shell("enqueue", "app:queue", "request", payload, "--job-id", job_id)
    shell("worker", "app:worker", "--until-idle", "--log-level", "error")


def state(shell: Shell, job_id: str) -> str:
    return shell.json("jobs", "show", "app:queue", job_id)["state"]


@pytest.mark.parametrize(
    "command",
    ["jobs list", "jobs show x", "jobs follow", "jobs cancel x", "jobs remove x", "dead list",
     "jobs watch", "jobs retry x", "jobs clone x", "dead show x", "dead redrive --all", "explain x",
     "check app:cns", "doctor", "pause", "resume"],
)  # fmt: skip
def test_a_file_that_is_not_there_is_told_and_not_made(shell: Shell, command: str) -> None:
    words = command.split()
    where = ("--url", "sqlite:///mistyped.db", "--queue", "q")

    complaint = shell.complaint(*words, *where)

    assert f"There is no file {shell.folder / 'mistyped.db'}" in complaint
    assert not (shell.folder / "mistyped.db").exists()


def test_jobs_are_listed_newest_first(shell: Shell) -> None:
    bury(shell, "one", "two")
    shell("enqueue", "app:queue", "request", '{"id": 3}', "--job-id", "three")

    ids = [job["id"] for job in shell.json("jobs", "list", "app:queue")]
    table = shell("jobs", "list", "app:queue")

    assert ids == ["three", "two", "one"]
    assert [line.split()[0] for line in table.stdout.splitlines()] == ["JOB", *ids]
    assert "1 waiting, 0 delayed, 0 active, 0 completed, 2 dead" in table.stderr


def test_what_the_workers_history_redacts_is_struck_out(shell: Shell) -> None:
    (shell.folder / "discreet.py").write_text(
        "from app import *\nfrom cnstra import History\n"
        "history = History('sqlite:///history.db', redact=['id', 'seen'])\n"
        "worker = Worker(queue, cns, history=history)\n"
    )
    shell("enqueue", "app:queue", "request", '{"id": 4111, "fail": "boom"}', "--job-id", "one")
    shell("worker", "discreet:worker", "--until-idle", "--log-level", "error")

    shown = [
        shell(*command.split(), "discreet:queue", *job).stdout
        for command, *job in (["jobs list"], ["jobs show", "one"], ["explain", "one", "--json"])
    ]

    assert [("4111" in one, "boom" in one) for one in shown] == [(False, True)] * 3
    assert "4111" in shell("jobs", "show", "app:queue", "one").stdout


def test_a_list_can_be_narrowed(shell: Shell) -> None:
    bury(shell, "one", "two")
    shell("enqueue", "app:queue", "request", '{"id": 3}', "--job-id", "three")

    assert [job["id"] for job in shell.json("jobs", "list", "app:queue", "--state", "waiting")] == [
        "three"
    ]
    assert [job["id"] for job in shell.json("dead", "list", "app:queue", "--limit", "1")] == ["two"]
    assert "No such option" not in shell.complaint("jobs", "list", "app:queue", "--state", "sad")


def test_an_empty_queue_lists_nothing(shell: Shell) -> None:
    assert shell.json("jobs", "list", "app:queue") == []
    assert shell("dead", "list", "app:queue").stdout == ""


def test_a_dead_job_shows_all_that_is_known_of_it(shell: Shell) -> None:
    bury(shell, "one")

    job = shell.json("dead", "show", "app:queue", "one")

    assert (job["state"], job["error"]["name"], job["error"]["message"]) == (
        "dead",
        "ValueError",
        "boom",
    )
    assert "app.py" in job["error"]["stack"]
    (owed,) = job["progress"]["owed"]
    assert (owed["neuron"], owed["collateral"]) == ("second", "middle")
    assert owed["payload"] == {"id": 0, "fail": "boom"}
    assert owed["error"]["message"] == "boom"
    assert job["progress"]["context"] == {"first": {"seen": 0}}
    assert job["progress"]["results"] == [{"id": 0, "fail": "boom"}]


def test_people_are_shown_the_same(shell: Shell) -> None:
    bury(shell, "one")

    shown = shell("dead", "show", "app:queue", "one").stdout

    for part in ("ValueError: boom", "in on_middle", "second", "middle", '{"seen": 0}', "Results"):
        assert part in shown


def test_foreign_text_cannot_steer_the_terminal(shell: Shell) -> None:
    bury(shell, "one", message="\x1b[2Jgone")

    for words in (["dead", "list"], ["dead", "show"]):
        shown = shell(*words, "app:queue", *(["one"] if words[1] == "show" else [])).stdout
        assert "\x1b" not in shown
        assert "\\x1b[2Jgone" in shown


def test_on_a_narrow_terminal_each_job_has_one_line_and_shows_when_it_came(shell: Shell) -> None:
    bury(shell, "one", "two", message="no " * 30)
    shell.columns = 60

    lines = shell.on_a_terminal("jobs", "list", "app:queue").splitlines()

    assert [line.split()[0] for line in lines[1:3]] == ["two", "one"]
    assert all(re.search(r"1/1 +\d\d:\d\d:\d\d .*…", line) for line in lines[1:3])


def test_colours_show_on_a_terminal_only(shell: Shell) -> None:
    bury(shell, "one")

    assert "\x1b[31mdead" in shell.on_a_terminal("jobs", "list", "app:queue")
    assert "\x1b" not in shell("jobs", "list", "app:queue").stdout
    assert json.loads(shell.on_a_terminal("jobs", "list", "app:queue", "--json"))


def test_a_redriven_job_goes_on_where_it_stood(shell: Shell) -> None:
    bury(shell, "one", "two")
    (shell.folder / "mended").touch()

    assert shell("dead", "redrive", "app:queue", "one").stdout == "one\n"
    shell("worker", "app:worker", "--until-idle")

    assert (state(shell, "one"), state(shell, "two")) == ("completed", "dead")
    assert [effect[:2] for effect in shell.effects].count(["first", "0"]) == 1


def test_one_branch_of_a_job_is_redriven_by_its_key(shell: Shell) -> None:
    bury(shell, "one")
    (shell.folder / "mended").touch()
    (owed,) = shell.json("explain", "app:queue", "one")["runs"]
    redrive = ("dead", "redrive", "app:queue")

    assert "does not owe that task" in shell.complaint(*redrive, "one", "--branch", "ab", code=1)
    assert "not both" in shell.complaint(*redrive, "--all", "--branch", owed["key"])
    assert shell(*redrive, "one", "--branch", owed["key"]).stdout == "one\n"
    shell("worker", "app:worker", "--until-idle")

    assert state(shell, "one") == "completed"


def test_all_dead_jobs_are_redriven_at_once(shell: Shell) -> None:
    bury(shell, "one", "two", "three")

    assert set(shell.json("dead", "redrive", "app:queue", "--all")["redriven"]) == {
        "one",
        "two",
        "three",
    }
    assert shell("dead", "redrive", "app:queue", "--all").stdout == "0\n"
    assert len(shell.json("jobs", "list", "app:queue", "--state", "waiting")) == 3


def test_a_paused_queue_hands_out_nothing(shell: Shell) -> None:
    shell("enqueue", "app:queue", "request", '{"id": 1}', "--job-id", "one")

    shell("pause", "app:queue")
    shell("worker", "app:worker", "--until-idle")
    assert state(shell, "one") == "waiting"
    assert "paused" in shell("jobs", "list", "app:queue").stderr

    shell("resume", "--url", "sqlite:///work.db", "--queue", "work")
    shell("worker", "app:worker", "--until-idle")
    assert state(shell, "one") == "completed"


def test_a_cancelled_job_is_dead_and_can_be_removed(shell: Shell) -> None:
    shell("enqueue", "app:queue", "request", '{"id": 1}', "--job-id", "one")

    shell("jobs", "cancel", "app:queue", "one")
    assert shell.json("dead", "show", "app:queue", "one")["error"]["name"] == "JobCancelled"
    shell("jobs", "remove", "app:queue", "one")

    assert shell.json("jobs", "list", "app:queue") == []


def test_what_cannot_be_done_says_why(shell: Shell) -> None:
    shell("enqueue", "app:queue", "request", '{"id": 1}', "--job-id", "one")
    shell("worker", "app:worker", "--until-idle")

    assert "'one' is completed" in shell.complaint("jobs", "cancel", "app:queue", "one", code=1)
    assert "'one' is completed" in shell.complaint("dead", "redrive", "app:queue", "one", code=1)
    for words in (["jobs", "show"], ["jobs", "cancel"], ["jobs", "remove"], ["dead", "redrive"]):
        assert "has no job 'two'" in shell.complaint(*words, "app:queue", "two", code=1)
    assert "--all" in shell.complaint("dead", "redrive", "app:queue")
    assert "--all" in shell.complaint("dead", "redrive", "app:queue", "one", "--all")


def test_following_shows_what_happens_while_it_happens(shell: Shell) -> None:
    with shell.running("jobs", "follow", "app:queue", "--json") as following:
        seen: list[dict[str, str]] = []
        assert following.process.stdout is not None
        reader = threading.Thread(
            target=lambda: seen.extend(map(json.loads, following.process.stdout or ()))
        )
        reader.start()
        eventually(lambda: shell("enqueue", "app:queue", "request", '{"id": 1}') and seen)
        shell("enqueue", "app:queue", "request", '{"id": 1}', "--job-id", "last")
        shell("worker", "app:worker", "--until-idle")
        eventually(lambda: [one["kind"] for one in seen if one["job"] == "last"][2:])
        following.signal(signal.SIGINT)
        assert following.ends() == 130
        reader.join()

    kinds = [one["kind"] for one in seen if one["job"] == "last"]
    assert kinds == ["enqueued", "started", "completed"]
    assert following.log == ""
