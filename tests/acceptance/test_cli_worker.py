"""`cnstra worker`, as whoever deploys it sees it."""

import os
import re
import signal
import sqlite3
from pathlib import Path

import pytest

from tests.acceptance.shell import Running, Shell, eventually, is_alive

pytestmark = pytest.mark.skipif(
    not Path("/proc/self").exists(),
    reason="finds the worker's processes in /proc, which only Linux has",
)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def processes(worker: Running) -> list[int]:
    return [int(pid) for pid in re.findall(r"Worker \d+ is process (\d+)", worker.log)]


def both_take_jobs(worker: Running) -> list[int]:
    eventually(lambda: worker.log.count("takes jobs") == 2)
    return processes(worker)


@pytest.mark.parametrize("target", ["app:worker", "app:make_worker"])
def test_runs_jobs_until_none_is_left(shell: Shell, target: str) -> None:
    shell("enqueue", "app:queue", "request", '{"id": 1}', "--job-id", "one")

    shell("worker", target, "--until-idle")

    assert shell.json("jobs", "show", "app:queue", "one")["state"] == "completed"


def test_how_many_processes_may_come_from_the_environment(shell: Shell) -> None:
    with shell.running("worker", "app:worker", CNSTRA_WORKER_PROCESSES="2") as worker:
        eventually(lambda: worker.log.count("takes jobs") == 2 or len(processes(worker)) > 2)
        worker.signal(signal.SIGTERM)
        assert worker.ends() == 0

    assert len(processes(worker)) == 2


def test_sigterm_gives_jobs_back_without_using_an_attempt(shell: Shell) -> None:
    shell("enqueue", "app:queue", "request", '{"id": 1, "wait": 2}', "--job-id", "one")
    with shell.running("worker", "app:worker") as worker:
        eventually(lambda: len(shell.effects) == 2)
        worker.signal(signal.SIGTERM)
        assert worker.ends() == 0

    job = shell.json("jobs", "show", "app:queue", "one")
    assert (job["state"], job["attemptsMade"]) == ("waiting", 0)
    assert [task["neuron"] for task in job["progress"]["owed"]] == ["second"]

    shell("worker", "app:worker", "--until-idle")

    assert [effect[0] for effect in shell.effects] == ["first", "second", "second"]
    assert shell.json("jobs", "show", "app:queue", "one")["result"]["results"] == [
        {"id": 1, "wait": 2},
        {"id": 1, "wait": 2},
    ]


def test_two_processes_share_the_work(shell: Shell) -> None:
    lines = "\n".join(f'{{"id": {number}, "wait": 0.4}}' for number in range(6))
    shell("enqueue", "app:queue", "request", "-", given=lines)

    shell("worker", "app:worker", "--processes", "2", "--until-idle")

    assert len({effect[2] for effect in shell.effects}) == 2
    assert len(shell.json("jobs", "list", "app:queue", "--state", "completed")) == 6


def test_a_process_that_dies_is_restarted_with_growing_pauses(shell: Shell) -> None:
    with shell.running("worker", "app:worker", "--processes", "2") as worker:
        victim, other = both_take_jobs(worker)
        second = kill_and_see_the_next(worker, victim, pause="0.5")
        kill_and_see_the_next(worker, second, pause="1")

        assert is_alive(other)
        worker.signal(signal.SIGTERM)
        assert worker.ends() == 0
        assert not any(is_alive(pid) for pid in processes(worker))


def kill_and_see_the_next(worker: Running, victim: int, *, pause: str) -> int:
    """The process that takes the victim's place, once it takes jobs."""
    known = processes(worker)
    os.kill(victim, signal.SIGKILL)
    said = f"process {victim}) was killed by SIGKILL: another starts in {pause} s"
    eventually(lambda: said in worker.log)
    (fresh,) = eventually(lambda: [pid for pid in processes(worker) if pid not in known])
    eventually(lambda: f"{fresh} INFO A worker takes" in worker.log)
    return fresh


def test_no_process_outlives_a_supervisor_that_was_killed(shell: Shell) -> None:
    with shell.running("worker", "app:worker", "--processes", "2") as worker:
        pids = both_take_jobs(worker)
        worker.signal(signal.SIGKILL)

        eventually(lambda: not any(is_alive(pid) for pid in pids))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_does_not_wait_for_the_grace(shell: Shell, number: signal.Signals) -> None:
    shell("enqueue", "app:queue", "request", '{"id": 1, "wait": 60}', "--job-id", "one")
    with shell.running("worker", "app:worker", "--processes", "2", GRACE="50") as worker:
        eventually(lambda: len(shell.effects) == 2)
        both_take_jobs(worker)
        worker.signal(number)
        eventually(lambda: "1 jobs have 50 s" in worker.log)
        worker.signal(number)
        assert worker.ends() == 0

    job = shell.json("jobs", "show", "app:queue", "one")
    assert (job["state"], job["attemptsMade"]) == ("waiting", 0)


@pytest.mark.parametrize("processes", ["1", "3"])
def test_a_worker_that_cannot_start_says_so_once(shell: Shell, processes: str) -> None:
    with sqlite3.connect(shell.folder / "work.db") as database:
        database.execute("CREATE TABLE other (id)")
    database.close()

    ended = shell("worker", "app:worker", "--processes", processes, code=1)

    assert ended.stderr.count("is not a cnstra database") == 1
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("processes", ["1", "3"])
def test_a_worker_that_cannot_be_found_is_a_wrong_use(shell: Shell, processes: str) -> None:
    ended = shell("worker", "app:wroker", "--processes", processes, code=2)

    assert ended.stderr.count("did you mean 'worker'") == 1


def test_the_log_level_is_obeyed(shell: Shell) -> None:
    shell("enqueue", "app:queue", "request", '{"id": 1}')

    assert shell("worker", "app:worker", "--until-idle", "--log-level", "error").stderr == ""
