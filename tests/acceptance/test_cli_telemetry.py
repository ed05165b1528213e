"""`cnstra worker --log json --metrics`, and `cnstra mcp`, as a user runs them."""

import json
import re
import signal
import sys
import urllib.request
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters

from tests.acceptance.shell import Shell, eventually


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def bury(shell: Shell) -> None:
    shell("enqueue", "app:queue", "request", '{"id": 1, "fail": "boom"}', "--job-id", "one")
    shell("worker", "app:worker", "--until-idle", "--log-level", "error")


def test_lines_of_json_say_what_happens_next(shell: Shell) -> None:
    words = ["--job-id", "one", "--max-attempts", "2", "--backoff", "0.01"]
    shell("enqueue", "app:queue", "request", '{"id": 1, "fail": "boom"}', *words)

    ended = shell("worker", "app:worker", "--until-idle", "--log", "json")

    told = [json.loads(line) for line in ended.stderr.splitlines()]
    assert [one["message"] for one in told if one.get("job") == "one"] == [
        "Job 'one' failed, attempt 1 of 2 (boom): it runs again in 0.01 s from 'second'.",
        "Job 'one' is dead-lettered, attempt 2 of 2 (boom): redrive it to go on from 'second'.",
    ]
    levels = [one["level"] for one in told if one.get("job") == "one"]
    assert levels == ["info", "warning"]


def test_prometheus_is_told_while_the_worker_works(shell: Shell) -> None:
    bury(shell)
    with shell.running("worker", "app:worker", "--metrics", "127.0.0.1:0") as working:
        (port,) = eventually(lambda: re.findall(r"127\.0\.0\.1:(\d+)/metrics", working.log))
        shell("enqueue", "app:queue", "request", '{"id": 2}', "--job-id", "two")
        address = f"http://127.0.0.1:{port}/metrics"

        def page() -> str:
            with urllib.request.urlopen(address, timeout=20) as answer:
                return str(answer.read().decode())

        done = 'cnstra_attempts_total{queue="work",outcome="completed"} 1\n'
        eventually(lambda: done in page())
        told = page()
        working.signal(signal.SIGTERM)
        assert working.ends() == 0

    assert 'cnstra_queue_jobs{queue="work",state="dead"} 1\n' in told
    assert 'cnstra_attempt_seconds_bucket{queue="work",le="+Inf"} 1\n' in told
    assert 'cnstra_jobs_active{queue="work"} 0\n' in told


def test_a_port_is_one_workers(shell: Shell) -> None:
    complaint = shell.complaint("worker", "app:worker", "--processes", "2", "--metrics", ":9464")

    assert "a port of its own" in complaint
    assert "HOST:PORT" in shell.complaint("worker", "app:worker", "--metrics", "here")


@pytest.mark.parametrize("write", [False, True])
async def test_an_assistant_may_look_and_act_only_where_it_is_let(
    shell: Shell, write: bool
) -> None:
    bury(shell)
    words = ["-m", "cnstra", "mcp", "app:worker", *(["--write"] if write else [])]
    place = StdioServerParameters(command=sys.executable, args=words, cwd=shell.folder)

    async with Client(place) as client:
        tools = {one.name for one in (await client.list_tools()).tools}
        assert tools == {"graph", "jobs", "run", "explain", "dead", *(["redrive"] if write else [])}
        if write:
            told = (await client.call_tool("redrive", {"job_id": "one"})).structured_content
            assert told == {"redriven": True}
            return
        answers = {
            name: (await client.call_tool(name, given)).structured_content
            for name, given in [
                ("graph", {}),
                ("jobs", {"state": "dead"}),
                ("run", {"job_id": "one"}),
                ("explain", {"job_id": "one"}),
                ("dead", {}),
            ]
        }

    assert [one["name"] for one in answers["graph"]["neurons"]] == ["first", "second"]
    assert [one["id"] for one in answers["jobs"]["jobs"]] == ["one"]
    assert answers["run"]["progress"]["owed"][0]["neuron"] == "second"
    assert answers["explain"]["skips"] == ["first"]
    assert answers["dead"]["errors"] == {"ValueError": 1}
