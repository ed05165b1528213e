"""The pages tell the truth: their programs run, their links lead somewhere."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from cnstra import errors
from cnstra.cli.app import app
from tests.acceptance.run_page import python_blocks

ROOT = Path(__file__).parents[2]
RUN_PAGE = Path(__file__).with_name("run_page.py")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
WITH_PYTHON = [page for page in PAGES if any(python_blocks(page))]

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@pytest.mark.parametrize("page", WITH_PYTHON, ids=lambda page: page.name)
def test_the_programs_of_a_page_run(
    page: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    environment = clean_environment()
    if "REDIS_URL" in page.read_text(encoding="utf-8"):
        environment["REDIS_URL"] = request.getfixturevalue("empty_redis").url
    if "POSTGRES_URL" in page.read_text(encoding="utf-8"):
        environment["POSTGRES_URL"] = request.getfixturevalue("postgres_schema")
    if '"sqs://' in page.read_text(encoding="utf-8"):
        environment |= request.getfixturevalue("sqs_server").environment
    if "RABBITMQ_URL" in page.read_text(encoding="utf-8"):
        environment["RABBITMQ_URL"] = request.getfixturevalue("rabbitmq_url")
    if "NATS_URL" in page.read_text(encoding="utf-8"):
        environment["NATS_URL"] = request.getfixturevalue("nats_server").place()
    ended = subprocess.run(
        [sys.executable, "-W", "error", str(RUN_PAGE), str(page)],
        cwd=tmp_path, capture_output=True, text=True, timeout=100, env=environment,
    )  # fmt: skip

    assert ended.returncode == 0, ended.stderr


def test_a_program_that_is_wrong_fails_its_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A page\n\n```python\nx = 1\n```\n\n```python\nassert x == 2\n```\n")

    ended = subprocess.run([sys.executable, RUN_PAGE, page], capture_output=True, text=True)

    assert ended.returncode == 1
    assert f'"{page}", line 8' in ended.stderr


@each_page
def test_no_python_hides_from_being_run(page: Path) -> None:
    fences = re.findall(r"^\s*```+ *(\S*)", page.read_text(encoding="utf-8"), re.MULTILINE)

    assert {fence for fence in fences if fence.lower().startswith("py")} <= {"python"}


@each_page
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    broken = [
        link
        for link in re.findall(r"\]\(([^)\s]+)\)", prose(page))
        if not link.startswith(("http://", "https://", "mailto:")) and not leads(page, link)
    ]

    assert broken == []


def test_every_page_can_be_reached() -> None:
    linked = {
        (page.parent / link.partition("#")[0]).resolve()
        for page in PAGES
        for link in re.findall(r"\]\(([^)\s]+\.md[^)\s]*)\)", prose(page))
    }

    assert [page.name for page in PAGES[1:] if page.resolve() not in linked] == []


@each_page
def test_the_command_lines_of_a_page_are_understood(page: Path) -> None:
    told = re.findall(r"^\$ cnstra (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)

    assert [line for line in told if not is_understood(shlex.split(line))] == []


def test_the_page_of_the_command_line_tells_of_every_command() -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")

    assert [name for name in commands() if f"$ cnstra {name}" not in page] == []


def test_the_quickstart_survives_its_kill(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8")
    (tmp_path / "app.py").write_text(next(iter(python_blocks(ROOT / "docs" / "quickstart.md")))[1])

    with start_app(tmp_path) as first:
        assert first.stdout is not None
        assert [first.stdout.readline() for _ in range(2)] == ["price\n", "render\n"]
        first.kill()
    with start_app(tmp_path) as second:
        lines, _ = second.communicate(timeout=60)

    assert lines.splitlines()[0] == "render"
    assert f"$ python app.py\n{lines}```" in page


def test_the_page_of_errors_has_the_tree() -> None:
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    told = [line.split(" also")[0].rstrip() for line in fenced(page, "text")]

    assert told == tree(errors.CnstraError)


def tree(kind: type[errors.CnstraError], depth: int = 0) -> list[str]:
    """The names of an error and of those below it in `cnstra.errors`, each two spaces deeper."""
    below = [one for one in kind.__subclasses__() if one.__module__ == errors.__name__]
    deeper = [line for one in below for line in tree(one, depth + 1)]
    return ["  " * depth + kind.__name__, *deeper]


def fenced(page: str, language: str) -> list[str]:
    """The lines of the page's one block in that language."""
    (block,) = re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    return block.splitlines()


def start_app(folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "app.py"], cwd=folder, stdout=subprocess.PIPE, text=True
    )  # fmt: skip


def commands(group: Any = None, prefix: str = "") -> dict[str, Any]:
    """Every command, as in "jobs list"."""
    found: dict[str, Any] = {}
    for name, command in (group or get_command(app)).commands.items():
        is_group = hasattr(command, "commands")
        found |= commands(command, f"{name} ") if is_group else {prefix + name: command}
    return found


def is_understood(words: list[str]) -> bool:
    """Whether it is a command that there is, with options that it has."""
    known = commands()
    name = next((name for name in known if words[: len(name.split())] == name.split()), None)
    if name is None:
        return words == ["--help"]
    options = {one for parameter in known[name].params for one in parameter.opts}
    return {word for word in words if word.startswith("--")} <= options


def prose(page: Path) -> str:
    """The page without its blocks of code."""
    return re.sub(r"^\s*```.*?^\s*```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)


def leads(page: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    if not target.exists():
        return False
    return not anchor or (target.suffix == ".md" and anchor in anchors(target))


def anchors(page: Path) -> set[str]:
    """The anchors that a Markdown page gets from its headings."""
    headings = re.findall(r"^#+ +(.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}


def clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("CNSTRA_")}
