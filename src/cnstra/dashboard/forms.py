"""A form from a payload's type, and the payload from what was filled in."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

from msgspec import UNSET

from cnstra.dashboard.original import NotFilledIn
from cnstra.engine.payloads import decode_json

Control = Literal["text", "long", "number", "flag", "answer", "choice", "json"]

PREFIX = "field:"

LONGEST_LINE = 80
"""How many characters of a text stand on one line."""

UNFIT = re.compile(r"[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What a text field would lose, or show at another place: controls, and marks that turn text
around. A text that has any is shown as JSON."""

NO_LETTER = re.compile(r"[^ -~\n]")


@dataclass(frozen=True, slots=True)
class Field:
    """A control of the form. `name` is empty where it stands for the whole payload.

    value: what is in it when it is shown. was: the value that this stands for, `UNSET` where there
    is none; in a form that is filled in from something. empty: what it stands for when nothing is
    in it: null, no value at all (`UNSET`), or an empty text.
    """

    name: str
    control: Control
    hint: str
    empty: Any
    choices: tuple[str, ...] = ()
    step: str = "any"
    value: str = ""
    was: Any = UNSET
    is_filled: bool = False

    @property
    def key(self) -> str:
        """Its name in the form."""
        return PREFIX + self.name

    @property
    def is_required(self) -> bool:
        """Whether something has to be in it."""
        return isinstance(self.empty, str)

    @property
    def may_be_none(self) -> bool:
        """Whether none of the choices may be taken, or none is yet."""
        return not self.is_required or (self.is_filled and self.value not in self.choices)

    def text(self, form: Mapping[str, str]) -> str:
        """What stands in it, in a form that was sent. A browser ends lines in a way of its own, and
        sends nothing of a box that is not ticked.
        """
        told = form.get(self.key, "" if self.control == "flag" else self.value)
        return told.replace("\r\n", "\n")

    def given(self, text: str) -> Any:
        """The value that the text stands for, `UNSET` for none: what it was, if nobody touched it.

        Raises `NotFilledIn`.
        """
        if self.is_filled and text == self.value:
            return self.was
        if self.control == "flag":
            return text != ""
        if not text and not self.is_required:
            return self.empty
        match self.control:
            case "answer":
                return text == "true"
            case "number" | "json":
                return json_of(text, self.name)
            case _:
                return text


def fields_of(schema: Mapping[str, Any] | None, shown: Any = UNSET) -> list[Field]:
    """The controls for payloads of that JSON schema, one for JSON where there is none: filled in
    from a payload that is shown, or with the defaults of the type.
    """
    definitions: Mapping[str, Any] = (schema or {}).get("$defs") or {}
    whole = _resolved(schema or {}, definitions)
    properties = cast(dict[str, Any], whole.get("properties") or {})
    is_filled = shown is not UNSET
    is_apart = all(name and name.isprintable() for name in properties)
    if not properties or not is_apart or not (isinstance(shown, dict) or shown is UNSET):
        return [_filled(_field("", whole, True, definitions, is_filled), shown)]
    required: list[str] = whole.get("required") or []
    values = _defaults(properties) if shown is UNSET else cast(dict[str, Any], shown)
    return [
        _filled(
            _field(name, one, name in required, definitions, is_filled), values.get(name, UNSET)
        )
        for name, one in properties.items()
    ]


def refilled(fields: Sequence[Field], form: Mapping[str, str]) -> list[Field]:
    """The same with what stood in a form that was sent."""
    return [replace(one, value=one.text(form)) for one in fields]


def payload_of(fields: Sequence[Field], form: Mapping[str, str], shown: Any = UNSET) -> Any:
    """What a form makes of the payload that was shown, or anew; not yet checked against the type.

    Raises `NotFilledIn`.
    """
    if not fields[0].name:
        return fields[0].given(fields[0].text(form))
    payload: dict[str, Any] = {} if shown is UNSET else dict(shown)
    for one in fields:
        value = one.given(one.text(form))
        if value is UNSET:
            payload.pop(one.name, None)
        else:
            payload[one.name] = value
    return payload


def laid_out(value: Any) -> str:
    """JSON for an editor: what would not be seen is spelt out, and means the same."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return NO_LETTER.sub(lambda one: _spelt(one[0]), text)


def json_of(text: str, name: str = "") -> Any:
    """What JSON that somebody wrote stands for. Raises `NotFilledIn`."""
    try:
        return decode_json(text)
    except ValueError as error:
        raise NotFilledIn(field=name or "payload", reason=error) from error


def _defaults(properties: Mapping[str, Any]) -> dict[str, Any]:
    """The values that the type has for what is not given; null needs nothing to stand for it."""
    defaults = {name: one.get("default") for name, one in properties.items()}
    return {name: one for name, one in defaults.items() if one is not None}


def _field(
    name: str,
    schema: Mapping[str, Any],
    is_required: bool,
    definitions: Mapping[str, Any],
    is_filled: bool,
) -> Field:
    options = [_resolved(one, definitions) for one in schema.get("anyOf") or [schema]]
    given = [one for one in options if one.get("type") != "null"]
    one: Mapping[str, Any] = given[0] if len(given) == 1 else {}
    is_nullable = len(given) < len(options)
    empty: Any = "" if is_required else UNSET
    if is_nullable and (is_required or is_filled):
        empty = None

    def field(control: Control, hint: str, **more: Any) -> Field:
        return Field(name, control, hint, empty, is_filled=is_filled, **more)

    choices = cast(list[Any], one.get("enum") or [])
    if choices and all(isinstance(choice, str) and not UNFIT.search(choice) for choice in choices):
        return field("choice", "one of these", choices=tuple(choices))
    match one.get("type"):
        case "boolean":
            return field("answer" if is_nullable or not is_required else "flag", "yes or no")
        case "integer":
            return field("number", "whole number", step="1")
        case "number":
            return field("number", "number")
        case "string":
            return field("text", str(one.get("format") or "text"))
        case _:
            return field("json", "JSON")


def _filled(field: Field, value: Any) -> Field:
    """The field with a value in it; as JSON, where its control would not give back the same."""
    if field.control != "json" and value not in (UNSET, None) and not _fits(field, value):
        field = replace(field, control="json", hint="JSON")
    text = _text(field.control, value)
    control = field.control
    if control == "text" and ("\n" in text or len(text) > LONGEST_LINE):
        control = "long"
    return replace(field, control=control, value=text, was=value if field.is_filled else UNSET)


def _fits(field: Field, value: Any) -> bool:
    match field.control:
        case "flag" | "answer":
            return isinstance(value, bool)
        case "number":
            return type(value) in (int, float)
        case "choice":
            return value in field.choices
        case _:
            return isinstance(value, str) and not UNFIT.search(value)


def _text(control: Control, value: Any) -> str:
    """What stands in a control for a value."""
    if value is UNSET or (value is None and control != "json"):
        return ""
    if control == "flag":
        return "true" if value else ""
    if control == "json":
        return laid_out(value)
    return value if isinstance(value, str) else json.dumps(value)


def _spelt(one: str) -> str:
    return one if one.isprintable() else json.dumps(one)[1:-1]


def _resolved(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema that a reference means."""
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    return cast(Mapping[str, Any], definitions.get(name, schema)) if name else schema
