"""A form from a payload's type, and the payload from what was filled in."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from cnstra.engine.payloads import decode_json
from cnstra.errors import CnstraError

Control = Literal["text", "long", "number", "flag", "choice", "json"]

PREFIX = "field:"


class NotFilledIn(CnstraError):
    """{field}: {reason}."""


@dataclass(frozen=True, slots=True)
class Field:
    """A control of the form. `name` is empty where it stands for the whole payload."""

    name: str
    control: Control
    is_required: bool
    hint: str
    choices: tuple[str, ...] = ()
    step: str = "any"
    value: str = ""

    @property
    def key(self) -> str:
        """Its name in the form."""
        return PREFIX + self.name


def fields_of(schema: Mapping[str, Any] | None, filled: Mapping[str, str]) -> list[Field]:
    """The controls for payloads of that JSON schema; one for JSON where there is none."""
    if schema is None:
        return [_field("", {}, True, {}, filled)]
    definitions: Mapping[str, Any] = schema.get("$defs") or {}
    whole = _resolved(schema, definitions)
    if whole.get("type") != "object" or not whole.get("properties"):
        return [_field("", whole, True, definitions, filled)]
    required: list[str] = whole.get("required") or []
    properties = cast(dict[str, Any], whole["properties"])
    return [
        _field(name, one, name in required, definitions, filled) for name, one in properties.items()
    ]


def payload_of(fields: list[Field]) -> Any:
    """What the filled-in fields make, not yet checked against the type. Raises `NotFilledIn`."""
    if len(fields) == 1 and not fields[0].name:
        return _value(fields[0])
    return {
        one.name: _value(one)
        for one in fields
        if one.value != "" or one.is_required or one.control == "flag"
    }


def filled_with(payload: bytes | None) -> dict[str, str]:
    """The contents of a form, from a payload that there is already."""
    if payload is None:
        return {}
    value = decode_json(payload)
    filled = {PREFIX: json.dumps(value, indent=2, ensure_ascii=False)}
    if isinstance(value, dict):
        for name, one in cast(dict[str, Any], value).items():
            text = one if isinstance(one, str) else json.dumps(one, ensure_ascii=False)
            filled[PREFIX + name] = text
    return filled


def _field(
    name: str,
    schema: Mapping[str, Any],
    is_required: bool,
    definitions: Mapping[str, Any],
    filled: Mapping[str, str],
) -> Field:
    options = [_resolved(one, definitions) for one in schema.get("anyOf") or [schema]]
    given = [one for one in options if one.get("type") != "null"]
    one: Mapping[str, Any] = given[0] if len(given) == 1 else {}
    is_optional = not is_required or len(given) < len(options)
    value = filled.get(PREFIX + name, "")
    if "default" in schema and not filled and schema["default"] is not None:
        default = schema["default"]
        value = default if isinstance(default, str) else json.dumps(default)
    required = is_required and not is_optional
    choices = cast(list[Any], one.get("enum") or [])
    if choices and all(isinstance(choice, str) for choice in choices):
        return Field(name, "choice", required, "one of these", tuple(choices), value=value)
    match one.get("type"):
        case "boolean":
            return Field(name, "flag", False, "yes or no", value=value)
        case "integer":
            return Field(name, "number", required, "whole number", step="1", value=value)
        case "number":
            return Field(name, "number", required, "number", value=value)
        case "string":
            return Field(name, "text", required, str(one.get("format") or "text"), value=value)
        case _:
            return Field(name, "json", required, "JSON", value=value)


def _resolved(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema that a reference means."""
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    return cast(Mapping[str, Any], definitions.get(name, schema)) if name else schema


def _value(one: Field) -> Any:
    match one.control:
        case "flag":
            return one.value in ("on", "true")
        case "text" | "choice" | "long":
            return one.value
        case "number" | "json":
            try:
                return decode_json(one.value)
            except ValueError as error:
                raise NotFilledIn(field=one.name or "payload", reason=error) from error
