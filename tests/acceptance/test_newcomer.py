"""The README's path: from its program to a job that failed, and is retried on the page."""

import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.acceptance.run_page import python_blocks
from tests.acceptance.served import dashboard
from tests.acceptance.shell import Shell
from tests.dashboard.site import Chromium, chromium

README = Path(__file__).parents[2] / "README.md"

Record = Callable[[str, object], None]

pytestmark = pytest.mark.timeout(300)


class Stopwatch:
    """Keeps with the test how many seconds each step took, and asserts none."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._began = time.monotonic()

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self._record(name, round(time.monotonic() - began, 1))

    def all(self) -> None:
        self._record("all of it", round(time.monotonic() - self._began, 1))


def commands() -> list[list[str]]:
    """What the README has a newcomer type once the program is saved: the words after `cnstra`."""
    told = re.findall(r"^\$ cnstra (.+)$", README.read_text(encoding="utf-8"), re.MULTILINE)
    return [shlex.split(line) for line in told]


def test_a_failed_job_is_understood_and_retried_on_the_page(
    tmp_path: Path, record_property: Record
) -> None:
    worker, page, enqueue = commands()
    assert (worker[0], page[0], enqueue[0]) == ("worker", "dashboard", "enqueue")
    shell = Shell(tmp_path)
    (tmp_path / "app.py").write_text(next(python_blocks(README))[1], encoding="utf-8")
    watch = Stopwatch(record_property)

    with watch.step("the program runs"):
        ended = subprocess.run(
            [sys.executable, "app.py"], cwd=tmp_path, env=shell.environment,
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert ended.stdout.splitlines()[:3] == ["reserve", "charge", "charge"], ended.stderr

    with ExitStack() as open_shells:
        with watch.step("worker and page start, a browser opens the address"):
            open_shells.enter_context(shell.running(*worker))
            url, token = open_shells.enter_context(dashboard(shell, *page[1:]))
            person = open_shells.enter_context(chromium(url, token))
            person.go("/")
            assert person.texts(".count.is-dead .figure") == ["0"]
        retry_on_the_page(shell, enqueue, person, watch)
        watch.all()
        assert person.complaints() == []


def retry_on_the_page(shell: Shell, enqueue: list[str], person: Chromium, watch: Stopwatch) -> None:
    with watch.step("the job is added, fails, and the page shows it dead"):
        job_id = shell(*enqueue).stdout.strip()
        person.until(lambda: person.texts(".count.is-dead .figure") == ["1"])

    with watch.step("its error is read, and what a retry runs"):
        person.click(".count.is-dead")
        person.until_text(job_id)
        person.follow(job_id)
        person.until_text("It is in the dead letters after 1 attempt")
        assert person.texts(".failure h2") == ["ConnectionError"]
        assert person.texts(".failure .message") == ["the bank does not answer"]
        assert "in on_reserved" in person.texts(".failure .stack")[0]
        (owed,) = person.texts(".owed tbody tr")
        assert owed.startswith("till hears reserved")
        assert person.texts(".chip.done") == ["stock"]

    with watch.step("it is retried, and the page shows it completed"):
        person.press("Retry")
        person.until_text("goes on where it stood")
        person.until_text("It is completed")
        assert person.texts(".job-title .state") == ["completed"]
        assert '"paid": true' in person.texts('[aria-label="result"]')[0]
        assert not person.has(".owed")
