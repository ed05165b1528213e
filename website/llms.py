"""`llms.txt`: the pages for those who read by machine. `python -m website.llms` writes it anew."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Union

from mkdocs.config import load_config  # pyright: ignore[reportUnknownVariableType]
from mkdocs.config.defaults import MkDocsConfig

from website.repository import ROOT

LIST = ROOT / "docs" / "llms.txt"
Entry = Union[str, Mapping[str, "Entry"], Sequence["Entry"]]  # noqa: UP007
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
SENTENCE = re.compile(r"(.+?[.?!])(?:\s|$)", re.DOTALL)


def on_post_build(*, config: MkDocsConfig) -> None:
    """Put the sources of the pages beside them, and all of them into one file."""
    site = Path(config.site_dir)
    texts = [(ROOT / "README.md").read_text(encoding="utf-8")]
    for _, pages in sections(navigation(config)):
        for page in pages:
            texts.append((ROOT / "docs" / page).read_text(encoding="utf-8"))
            (site / page).write_text(texts[-1], encoding="utf-8")
    (site / "llms-full.txt").write_text("\n\n".join(texts), encoding="utf-8")


def listed(config: MkDocsConfig) -> str:
    """The text of `llms.txt`."""
    lines = [f"# {config.site_name}", "", f"> {config.site_description}"]
    for title, pages in sections(navigation(config)):
        lines += ["", f"## {title}", ""]
        lines += [f"- [{heading(page)}]({page}): {gist(page)}" for page in pages]
    return "\n".join(lines) + "\n"


def navigation(config: MkDocsConfig) -> list[Mapping[str, Entry]]:
    """What `mkdocs.yml` says of it; mkdocs itself gives it no type."""
    return list(config["nav"])  # pyright: ignore[reportUnknownArgumentType]


def sections(nav: Sequence[Mapping[str, Entry]]) -> Iterator[tuple[str, list[str]]]:
    """Each section that has pages written by hand, and those."""
    for entry in nav:
        for title, inside in entry.items():
            pages = [page for page in leaves(inside) if (ROOT / "docs" / page).exists()]
            if pages:
                yield title, pages


def leaves(entry: Entry) -> list[str]:
    """The pages below an entry of the navigation, in its order."""
    if isinstance(entry, str):
        return [entry]
    inside = entry.values() if isinstance(entry, Mapping) else entry
    return [page for one in inside for page in leaves(one)]


def heading(page: str) -> str:
    return text_of(page).partition("\n")[0].removeprefix("# ")


def gist(page: str) -> str:
    """The first sentence of a page, without its links."""
    paragraphs = FENCED.sub("", text_of(page)).split("\n\n")[1:]
    prose = next(one for one in map(str.strip, paragraphs) if one and one[0] not in "#!|-")
    sentence = SENTENCE.match(prose)
    told = " ".join((sentence[1] if sentence else prose).split())
    return re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", told)


def text_of(page: str) -> str:
    return (ROOT / "docs" / page).read_text(encoding="utf-8")


def main() -> None:
    LIST.write_text(listed(load_config(str(ROOT / "mkdocs.yml"))), encoding="utf-8")


if __name__ == "__main__":
    main()
