"""From figures to HTML. Nothing that came from outside reaches a page unescaped."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from cnstra.engine.payloads import decode_json
from cnstra.history.durations import SMALLEST
from cnstra.history.records import Payload

LONGEST = 20_000
"""How many characters of one value a page shows."""

TOKEN = re.compile(
    r"""(?P<name>"(?:\\.|[^"\\])*"(?=:))|(?P<text>"(?:\\.|[^"\\])*")|(?P<figure>\b(?:[\d.eE+-]+|true|false|null)\b)"""
)
"""A word of JSON that was laid out."""


class Exact(str):
    """Text that a browser is to give back: it is escaped, and else left as it is."""

    __slots__ = ()


def environment() -> Environment:
    """The templates. Every value is escaped, and made visible where it would not be, save what is
    `Exact`: addresses, and what stands in forms.
    """
    made = Environment(
        loader=PackageLoader("cnstra.dashboard"),
        autoescape=True,
        finalize=visible,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "duration": duration,
        "estimate": estimate,
        "number": number,
        "moment": moment,
        "iso": iso,
        "json": coloured,
        "brief": brief,
        "exact": Exact,
        "lines": lines,
    }
    return made


def visible(value: object) -> object:
    """Text with what cannot be seen spelt out: controls, and marks that turn text around."""
    if isinstance(value, Markup | Exact) or not isinstance(value, str):
        return value
    if len(value) > LONGEST:
        value = f"{value[:LONGEST]}… and {len(value) - LONGEST:,} characters more"
    if value.isprintable():
        return value
    return "".join(
        one if one.isprintable() or one in "\n\t" else one.encode("unicode_escape").decode()
        for one in value
    )


def lines(text: str) -> Exact:
    """The content of a `<textarea>`: browsers take the end of a line right behind its tag away."""
    return Exact(f"\n{text}" if text.startswith("\n") else text)


def duration(seconds: float | None) -> str:
    """A span of time for people: two or three digits, and a unit."""
    if seconds is None:
        return "–"
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms" if seconds < 0.0995 else f"{seconds * 1000:.0f} ms"
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


def estimate(seconds: float | None) -> str:
    """A span of time that is known to a tenth or so."""
    if seconds is not None and seconds <= SMALLEST:
        return f"< {duration(SMALLEST)}"
    return duration(None if seconds is None else float(f"{seconds:.2g}"))


def number(value: float | None) -> str:
    """A count, with narrow spaces between thousands."""
    if value is None:
        return "–"
    if isinstance(value, float) and value < 100 and not value.is_integer():
        return f"{value:.2g}" if value < 10 else f"{value:.0f}"
    return f"{value:,.0f}".replace(",", "\u202f")


def moment(seconds: float) -> str:
    """A time of day in UTC, for those whose browser does not turn it into theirs."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def iso(seconds: float) -> str:
    """A time as HTML wants it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def pretty(value: Any) -> str:
    """JSON, laid out: of bytes, of what a history kept, or of builtins. What is no JSON stays."""
    if isinstance(value, Payload):
        if value.text is None:
            return f"({value.size:,} bytes, not kept)"
        if value.is_cut:
            return f"{value.text}… ({value.size:,} bytes, cut)"
        value = value.text
    if isinstance(value, bytes | str):
        try:
            value = decode_json(value)
        except ValueError:
            return value.decode(errors="replace") if isinstance(value, bytes) else value
    return json.dumps(value, indent=2, ensure_ascii=False)


def coloured(value: Any) -> Markup:
    """The same, each word in the colour of its kind."""
    text = str(visible(pretty(value)))
    parts, done = list[Markup](), 0
    for token in TOKEN.finditer(text):
        parts.append(escape(text[done : token.start()]))
        parts.append(Markup('<span class="{}">{}</span>').format(token.lastgroup, token[0]))
        done = token.end()
    return Markup("").join([*parts, escape(text[done:])])


def brief(value: Any, longest: int = 80) -> str:
    """JSON on one line, cut where it is long."""
    if isinstance(value, Payload):
        value = value.text if value.text is not None else ""
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def errors_of(wire: Mapping[str, Any] | None) -> tuple[str, str, str] | None:
    """Name, message and stack of an error as a broker keeps it."""
    if wire is None:
        return None
    name, message = wire.get("name") or "Error", wire.get("message") or ""
    return str(name), str(message), str(wire.get("stack") or "")
