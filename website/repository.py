"""The pages read on GitHub and on the site alike: what they link to outside `docs/` comes along."""

import ast
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"\]\(([^)\s#:]+)(#[^)\s]*)?\)")
LANGUAGES = {".py": "python", ".toml": "toml", ".sql": "sql", ".mjs": "javascript"}


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the README as the first page, and a page for each file that pages link to."""
    asked = ["README.md"]
    asked += [f"docs/{file.src_uri}" for file in files.documentation_pages()]
    seen = set(asked)
    while asked:
        path = asked.pop()
        if not path.startswith("docs/"):
            files.append(File.generated(config, page_of(path), content=shown(ROOT / path)))
        fresh = {target for target, _ in linked(path)} - seen
        asked += sorted(fresh)
        seen |= fresh
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links to files lead to their pages."""
    path = file_of(page.file.src_uri)
    return markdown if path is None else relinked(markdown, path)


def relinked(markdown: str, path: str) -> str:
    """The text of the file at `path`, with links as its page on the site needs them."""
    here = posixpath.dirname(page_of(path))

    def to_page(link: re.Match[str]) -> str:
        target = target_of(link[1], path)
        if target is None:
            return link[0]
        return f"]({posixpath.relpath(page_of(target), here or '.')}{link[2] or ''})"

    return LINK.sub(to_page, markdown)


def linked(path: str) -> Iterator[tuple[str, str]]:
    """The files that a Markdown file links to, each with its anchor."""
    if path.endswith(".md"):
        for link, anchor in LINK.findall((ROOT / path).read_text(encoding="utf-8")):
            target = target_of(link, path)
            if target is not None:
                yield target, anchor


def target_of(link: str, path: str) -> str | None:
    """What a link in the file at `path` means, seen from the root; `None` if there is no such."""
    target = posixpath.normpath(posixpath.join(posixpath.dirname(path), link))
    return target if (ROOT / target).exists() else None


def page_of(path: str) -> str:
    """Where on the site the file is that has this path in the repository."""
    if path == "README.md":
        return "index.md"
    return path.removeprefix("docs/") if path.startswith("docs/") else f"source/{path}.md"


def file_of(page: str) -> str | None:
    """The Markdown file in the repository that became this page, if one did."""
    if page == "index.md":
        return "README.md"
    path = page.removeprefix("source/").removesuffix(".md") if "source/" in page else f"docs/{page}"
    return path if path.endswith(".md") and (ROOT / path).exists() else None


def shown(path: Path) -> str:
    """A page that shows this file or folder."""
    if path.suffix == ".md":
        return path.read_text(encoding="utf-8")
    title = f"---\nsearch:\n  exclude: true\n---\n\n# {path.relative_to(ROOT)}\n\n"
    if path.is_dir():
        return title + "\n".join(contents(path))
    text = path.read_text(encoding="utf-8")
    return f"{title}~~~~{LANGUAGES.get(path.suffix, 'text')}\n{text}\n~~~~\n"


def contents(folder: Path) -> Iterator[str]:
    """A line for each file of a folder."""
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name != "__init__.py":
            yield f"- `{path.name}`{purpose(path)}"


def purpose(path: Path) -> str:
    """The first sentence of a module."""
    if path.suffix != ".py":
        return ""
    told = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return ": " + told.partition("\n\n")[0].replace("\n", " ") if told else ""
