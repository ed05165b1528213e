"""`cnstra dashboard`, as whoever starts it sees it."""

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.acceptance.served import dashboard
from tests.acceptance.shell import Shell


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@pytest.mark.parametrize("target", ["app:worker", "app:queue", "app:make_worker"])
def test_serves_the_page_to_those_who_have_its_address(shell: Shell, target: str) -> None:
    shell("enqueue", "app:queue", "request", '{"id": 1}', "--job-id", "one")

    with dashboard(shell, target) as (url, token), httpx.Client(base_url=url) as client:
        closed = client.get("/jobs")
        client.get("/login", params={"token": token})
        jobs = client.get("/jobs")
        elsewhere = client.get("/jobs", headers={"Host": "evil.example"})

    assert closed.headers["location"] == "/login?next=%2Fjobs"
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
