"""The pages tell the truth: their programs run, their links lead somewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cnstra import errors
from tests.acceptance.run_page import python_blocks

ROOT = Path(__file__).parents[2]
RUN_PAGE = Path(__file__).with_name("run_page.py")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
WITH_PYTHON = [page for page in PAGES if any(python_blocks(page))]

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@pytest.mark.parametrize("page", WITH_PYTHON, ids=lambda page: page.name)
def test_the_programs_of_a_page_run(page: Path, tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-W", "error", str(RUN_PAGE), str(page)],
        cwd=tmp_path, capture_output=True, text=True, timeout=100, env=clean_environment(),
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


def test_the_page_of_errors_has_the_tree() -> None:
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    told = re.findall(r"^(?:\| )?(?: *)`?(\w+)`? \| ", page, re.MULTILINE)
    known = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.CnstraError)
    }

    assert set(told) - {"error"} == known


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
