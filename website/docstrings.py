"""Docstrings as they are read in the code, made into the Markdown that they mean; which members are
for users; and what a class of fields is made with.
"""

import re
from typing import Any

from griffe import (
    Attribute,
    Class,
    Extension,
    Function,
    Object,
    Parameter,
    ParameterKind,
    Parameters,
)

TERM = re.compile(r"^([a-z_]\w*): (?=\S)", re.MULTILINE)
FIELDS = re.compile(r"^(?:msgspec\.)?Struct$|^NamedTuple$")
BETWEEN_FLOORS = {
    "cnstra.engine.abort.AbortSignal": ("abort",),
    "cnstra.engine.cns.CNS": ("inside", "recorded_run", "signals_of", "emissions_of"),
    "cnstra.engine.context.Context": (
        "needed", "observed_signal", "observed_abort", "stop", "undo", "hand_undos_to", "release",
    ),
    "cnstra.engine.stimulation.Stimulation": (
        "begin", "go_on", "spawn", "observed_signal", "key_of", "inner_stimulator",
    ),
}  # fmt: skip
"""What our own floors call of each other, and nobody else."""
EXAMPLE = re.compile(r"^(?:(?:>>>|\.\.\.).*(?:\n|$))+", re.MULTILINE)


class Docstrings(Extension):
    """Turns `name: what it means` into a list, and `>>>` into a block of code."""

    def on_instance(self, *, obj: Object, **_: Any) -> None:
        if obj.docstring is not None and isinstance(obj, Class | Function):
            obj.docstring.value = as_markdown(obj.docstring.value)

    def on_class_members(self, *, cls: Class, **_: Any) -> None:
        """Leave out what is not for users. Show a struct's or a named tuple's fields in its
        signature, as those of a dataclass.
        """
        for name in BETWEEN_FLOORS.get(cls.path, ()):
            cls.del_member(name)
        if "__init__" not in cls.members and any(FIELDS.match(str(base)) for base in cls.bases):
            cls.set_member("__init__", Function("__init__", parameters=fields_of(cls)))


def fields_of(cls: Class) -> Parameters:
    kind = ParameterKind.positional_or_keyword
    fields = [one for one in cls.attributes.values() if one.annotation is not None]
    return Parameters(
        Parameter("self", kind=kind),
        *(
            Parameter(one.name, annotation=one.annotation, kind=kind, default=default_of(one))
            for one in fields
            if "property" not in one.labels
        ),
    )


def default_of(field: Attribute) -> str | None:
    return None if field.value is None else str(field.value)


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
