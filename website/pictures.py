"""Pictures of our own are put into the page, where they take its colours."""

import re
from html import escape

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

from website.repository import ROOT

PICTURE = re.compile(r"^!\[([^\]]*)\]\((?:docs/)?(images/[\w-]+\.svg)\)$", re.MULTILINE)
OWN_COLOURS = re.compile(r"\s*<style>.*?</style>", re.DOTALL)


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put in each SVG that stands on a line of its own."""
    return PICTURE.sub(inlined, markdown)


def inlined(picture: re.Match[str]) -> str:
    drawing = (ROOT / "docs" / picture[2]).read_text(encoding="utf-8")
    drawing = OWN_COLOURS.sub("", drawing).replace("\n\n", "\n").strip()
    label = escape(picture[1], quote=True)
    return f'<figure class="picture" role="img" aria-label="{label}">\n{drawing}\n</figure>'
