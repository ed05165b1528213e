"""The pages make a site: complete, without a warning, and without a word to anybody's server."""

import html
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from mkdocs.config import load_config

from tests.acceptance.test_docs import ROOT
from tests.dashboard.site import chromium
from website.docstrings import as_markdown
from website.llms import LIST, leaves, listed
from website.reference import MODULES
from website.repository import relinked

LOADED = re.compile(
    r"<(?:script|link|img|iframe|source|object)\b[^>]*?(?:src|href)=\"?(https?:[^\"> ]+)"
)

LED_TO = re.compile(r"(?:@import\s+|url\()[\"']?((?:https?:)?//[^\"')]+)")
IMPORT = re.compile(r"^(?:from|import) (cnstra[\w.]*)", re.MULTILINE)

pytestmark = pytest.mark.timeout(300)  # a build alone takes seconds, beside everything else minutes


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT, capture_output=True, text=True, timeout=250,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    return folder


def test_the_site_builds_without_a_warning_and_loads_nothing(site: Path) -> None:
    pages = {page: page.read_text(encoding="utf-8") for page in site.rglob("*.html")}
    assert {
        str(page): LOADED.findall(text) for page, text in pages.items() if LOADED.findall(text)
    } == {}
    assert '<svg xmlns="http://www.w3.org/2000/svg"' in pages[site / "concepts.html"]
    styles = {style: style.read_text(encoding="utf-8") for style in site.rglob("*.css")}
    assert {str(style): LED_TO.findall(text) for style, text in styles.items()} == {
        str(style): [] for style in styles
    }
    assert 'id="cnstra.Queue.enqueue"' in pages[site / "reference" / "cnstra.html"]
    assert "Queue(name:str,url:str,*,store:" in unmarked(pages[site / "reference" / "cnstra.html"])
    assert 'id="cnstra.Context.once"' in pages[site / "reference" / "cnstra.html"]
    assert 'id="cnstra.Context.hand_undos_to"' not in pages[site / "reference" / "cnstra.html"]
    records = pages[site / "reference" / "cnstra.history.records.html"]
    assert "Error(name:str,message:str,stack:str='')" in unmarked(records)
    assert (site / "llms-full.txt").read_text(encoding="utf-8").count("# Glossary") == 1


def test_the_search_answers_from_a_disk(site: Path) -> None:
    with chromium(site.as_uri()) as person:
        person.driver.get(f"{site.as_uri()}/index.html")
        person.click(".md-search__input")
        person.type("dead letters")
        found = ".md-search-result__item h1"
        person.until(lambda: "Retries and crashes" in person.texts(found))


def unmarked(page: str) -> str:
    """Its text alone, without spaces."""
    return "".join(html.unescape(re.sub(r"<[^>]+>", "", page)).split())


def test_every_module_that_the_pages_import_is_in_the_reference() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").glob("*.py")]
    imported = {name for page in pages for name in IMPORT.findall(page.read_text(encoding="utf-8"))}

    assert imported - set(MODULES) == set()


def test_every_page_has_its_place_in_the_navigation() -> None:
    told = set(leaves(load_config(str(ROOT / "mkdocs.yml")).nav))
    pages = {page.name for page in (ROOT / "docs").glob("*.md")}

    assert pages - told == set(), "give it a place under nav: in mkdocs.yml"


def test_the_list_for_machines_is_that_of_the_navigation() -> None:
    now = listed(load_config(str(ROOT / "mkdocs.yml")))

    assert LIST.read_text(encoding="utf-8") == now, "python -m website.llms writes it anew"


@pytest.mark.parametrize(
    ("link", "path", "leads"),
    [
        ("docs/sqlite.md#the-url", "README.md", "sqlite.md#the-url"),
        ("examples/basic_worker.py", "README.md", "source/examples/basic_worker.py.md"),
        ("../README.md", "docs/sqlite.md", "index.md"),
        ("../tests/rules", "docs/evidence.md", "source/tests/rules.md"),
        ("docs/sqlite.md", "CONTRIBUTING.md", "../sqlite.md"),
        ("https://example.org", "README.md", "https://example.org"),
    ],
)
def test_a_link_of_the_repository_leads_to_a_page(link: str, path: str, leads: str) -> None:
    assert relinked(f"[it]({link})", path) == f"[it]({leads})"


def test_a_docstring_becomes_what_it_means() -> None:
    told = as_markdown("Waits.\n\ntimeout: seconds,\n    or none.\nname: of it.\n\n>>> wait(1)\n1")

    assert told == (
        "Waits.\n\n- `timeout`: seconds, or none.\n- `name`: of it.\n\n```python\nwait(1)\n```\n1"
    )
