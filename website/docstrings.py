"""Docstrings as they are read in the code, made into the Markdown that they mean."""

import re
from typing import Any

from griffe import Class, Extension, Function, Object

TERM = re.compile(r"^([a-z_]\w*): (?=\S)", re.MULTILINE)
EXAMPLE = re.compile(r"^(?:(?:>>>|\.\.\.).*(?:\n|$))+", re.MULTILINE)


class Docstrings(Extension):
    """Turns `name: what it means` into a list, and `>>>` into a block of code."""

    def on_instance(self, *, obj: Object, **_: Any) -> None:
        if obj.docstring is not None and isinstance(obj, Class | Function):
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(text: str) -> str:
    return EXAMPLE.sub(as_block, "\n\n".join(map(as_list, text.split("\n\n"))))


def as_list(paragraph: str) -> str:
    """A paragraph of terms as a list; any other as it is."""
    if not TERM.match(paragraph):
        return paragraph
    flat = re.sub(r"\n[ \t]+", " ", paragraph)
    return TERM.sub(r"- `\1`: ", flat)


def as_block(example: re.Match[str]) -> str:
    lines = [line[4:] for line in example[0].rstrip("\n").split("\n")]
    return "\n".join(["```python", *lines, "```", ""])
