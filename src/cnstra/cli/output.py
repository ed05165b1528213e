"""What is printed: tables and colours for people, JSON for programs."""

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDE = 10_000
"""The width of what is no terminal: nothing is cut off for the next program."""

LONGEST_CELL = 120
LONGEST_ERROR = 8_000
LONGEST_ERROR_IN_A_TABLE = 600
"""Characters. Each row of a table is as wide as its widest; `jobs show` tells the rest."""


def console(*, stderr: bool = False) -> Console:
    """The standard output, or error, as it is now: colours and cut lines only on a terminal."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else WIDE
    return Console(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)


def write_json(value: object) -> None:
    """One JSON document."""
    print(json.dumps(value, indent=2))


def write_json_line(value: object) -> None:
    """One JSON document on one line, at once."""
    print(json.dumps(value), flush=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], firm: int = 0) -> Table:
    """A plain table. firm: how many columns stay as wide as they are while others can give way."""
    made = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for column in made.columns[:firm]:
        column.no_wrap = True
    for row in rows:
        made.add_row(*(one if isinstance(one, Text) else plain(one) for one in row))
    return made


def plain(value: object, style: str = "") -> Text:
    """Foreign text, made harmless for a terminal."""
    text = str(value)
    shown = "".join(
        one if one.isprintable() or one == "\n" else one.encode("unicode_escape").decode()
        for one in text
    )
    return Text(shown, style=style)


def brief(value: object) -> str:
    """A JSON value on one line, cut where it is long."""
    return cut(json.dumps(value, ensure_ascii=False))


def cut(text: str, longest: int = LONGEST_CELL) -> str:
    """The text, or its beginning where it is long."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def when(seconds: float | None) -> str | None:
    """A time as ISO 8601, in this machine's time zone; a number of seconds beyond all calendars."""
    if seconds is None:
        return None
    try:
        return datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError, TypeError):
        return f"{seconds} s"


def moment(seconds: float | None) -> str | None:
    """A time for a table: short on a terminal, the date left out if it is today's."""
    told = when(seconds)
    if told is None or "T" not in told or not sys.stdout.isatty():
        return told
    day, _, rest = told.partition("T")
    today = datetime.now().astimezone().date().isoformat()
    return rest[:8] if day == today else f"{day[5:]} {rest[:5]}"


def on_one_line(text: str) -> Text:
    """Foreign text that gives way first where a terminal is narrow."""
    shown = plain(text)
    shown.no_wrap, shown.overflow = True, "ellipsis"
    return shown


def one_line(error: Any) -> str:
    """The message of an error, on one line."""
    return " ".join(str(error).split())
