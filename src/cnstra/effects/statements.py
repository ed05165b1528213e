"""The SQL of the ledger: one statement a file, in the folder `sql`, each read once.

What Postgres and SQLite both understand, with parameters by name.
"""

import re
from collections.abc import Callable, Generator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple, TypeVar

R = TypeVar("R")

_FOLDER = files("cnstra.effects") / "sql"
_PARAMETER = re.compile(r":(\w+)")


class Statement(NamedTuple):
    """A statement by its name, and its parameters."""

    name: str
    parameters: Mapping[str, object] = {}


Rows = Sequence[tuple[Any, ...]]

Call = Callable[[], Any]
"""A call of the user's code. What it returns is awaited, where whoever makes it can."""

Steps = Generator[Statement | Call, Any, R]
"""What is to be done in one transaction: it asks statement by statement, and is told the rows. So
the same steps serve databases that block and databases that are awaited."""


@cache
def text(name: str) -> str:
    """The text of `sql/<name>.sql`, parameters as `:name`; of `tables#1`, the second statement."""
    name, _, number = name.partition("#")
    whole = (_FOLDER / f"{name}.sql").read_text(encoding="utf-8").strip()
    return _parts(whole)[int(number)] if number else whole


@cache
def text_for_psycopg(name: str) -> str:
    """The same, its parameters as psycopg wants them."""
    return _PARAMETER.sub(r"%(\1)s", text(name))


def ddl() -> list[str]:
    """The statements that make the ledger's tables, for whoever runs migrations of their own."""
    return _parts(text("tables"))


def ask(name: str, **parameters: object) -> Steps[Rows]:
    """One statement, as steps."""
    rows: Rows = yield Statement(name, parameters)
    return rows


def _parts(script: str) -> list[str]:
    return [part.rstrip(";") for part in script.split(";\n")]
