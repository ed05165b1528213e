"""`cnstra dashboard`, as whoever starts it sees it."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

import httpx
import pytest

from tests.acceptance.shell import Shell


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@contextmanager
def dashboard(shell: Shell, *words: str) -> Iterator[tuple[str, str]]:
    """The command while it serves: the page's address, and the token."""
    command = [sys.executable, "-m", "cnstra", "dashboard", *words, "--port", "0"]
    with subprocess.Popen(
        command, cwd=shell.folder, env=shell.environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.fullmatch(r"The page is at (http://\S+)/login\?token=(\S+)\n", line)
        assert found, line or process.communicate()[1]
        yield found[1], unquote(found[2])
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        assert "Traceback" not in errors
        assert found[2] not in errors


@pytest.mark.parametrize("target", ["app:worker", "app:queue", "app:make_worker"])
def test_serves_the_page_to_those_who_have_its_address(shell: Shell, target: str) -> None:
    shell("enqueue", "app:queue", "request", '{"id": 1}', "--job-id", "one")

    with dashboard(shell, target) as (url, token), httpx.Client(base_url=url) as client:
        closed = client.get("/jobs")
        client.get("/login", params={"token": token})
        jobs = client.get("/jobs")
        elsewhere = client.get("/jobs", headers={"Host": "evil.example"})

    assert closed.headers["location"] == "/login"
    assert ">one<" in jobs.text
    assert "read only" in jobs.text
    assert elsewhere.status_code == 421


def test_takes_its_token_from_the_environment_and_shows_several_queues(shell: Shell) -> None:
    shell.environment["CNSTRA_DASHBOARD_TOKEN"] = "a token of my own, as I like it"
    words = ("app:worker", "app:queue", "--write")

    with dashboard(shell, *words) as (url, token), httpx.Client(base_url=url) as client:
        client.get("/login", params={"token": token})
        page = client.get("/")

    assert page.text.count('class="queue"') == 2
    assert "/do/pause" in page.text
    assert token == "a token of my own, as I like it"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("app:number",), "name a Queue"),
        (("app:worker", "--token", "short"), "make it 16 characters or more"),
        (("app:worker", "--port", "1", "--host", "192.0.2.1"), "choose another --port"),
    ],
    ids=["wrong kind", "short token", "no such address"],
)
def test_says_what_is_wrong(shell: Shell, words: tuple[str, ...], complaint: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "cnstra", "dashboard", *words], cwd=shell.folder,
        env=shell.environment, text=True, capture_output=True, timeout=100,
    )  # fmt: skip

    assert ended.returncode == 2
    assert complaint in ended.stderr
    assert "Traceback" not in ended.stderr
