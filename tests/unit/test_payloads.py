"""Payload types: to JSON and back, and checked where they enter from outside."""

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, NamedTuple, TypedDict
from uuid import UUID

import attrs
import msgspec
import pydantic
import pytest

from cnstra import collateral
from cnstra.engine.payloads import PayloadCodec, decode_json, encode_json
from cnstra.errors import InvalidPayload, NotSerializable, UnresolvedType


@dataclass
class Point:
    x: int
    y: float = 0.0


class Item(TypedDict):
    id: int


class Row(msgspec.Struct):
    id: int
    tags: list[str] = []


@attrs.define
class Box:
    width: int


class Pair(NamedTuple):
    left: int
    right: str = "r"


class Model(pydantic.BaseModel):
    id: int
    at: datetime


class Color(Enum):
    RED = "red"


NOW = datetime(2026, 11, 24, tzinfo=UTC)

VALUES: list[tuple[Any, Any, Any]] = [
    (Point, Point(1, 2.5), {"x": 1, "y": 2.5}),
    (Item, {"id": 1}, {"id": 1}),
    (Row, Row(1, ["a"]), {"id": 1, "tags": ["a"]}),
    (Box, Box(3), {"width": 3}),
    (Pair, Pair(1, "two"), {"left": 1, "right": "two"}),
    (Model, Model(id=1, at=NOW), {"id": 1, "at": "2026-11-24T00:00:00Z"}),
    (int, 5, 5),
    (int, 1 << 70, 1 << 70),
    (str, "text", "text"),
    (bytes, b"bytes", "Ynl0ZXM="),
    (list[Point], [Point(1)], [{"x": 1, "y": 0.0}]),
    (dict[str, int], {"a": 1}, {"a": 1}),
    (tuple[int, str], (1, "a"), [1, "a"]),
    (set[int], {1}, [1]),
    (int | None, None, None),
    (datetime, NOW, "2026-11-24T00:00:00Z"),
    (UUID, UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (Decimal, Decimal("1.10"), "1.10"),
    (Color, Color.RED, "red"),
    (Any, {"any": [1, None]}, {"any": [1, None]}),
    (None, None, None),
]


@pytest.mark.parametrize(("type_", "value", "wire"), VALUES, ids=lambda each: str(each)[:30])
def test_a_value_travels_as_json_and_comes_back_as_its_type(
    type_: Any, value: Any, wire: Any
) -> None:
    codec: PayloadCodec[Any] = PayloadCodec("c", type_)

    data = codec.encode(value)

    assert json.loads(data) == wire
    assert codec.decode(data) == value
    assert type(codec.decode(data)) is type(value)
    assert codec.convert(wire) == value
    assert codec.convert(value) == value


def test_a_named_tuple_may_leave_out_what_has_a_default() -> None:
    codec: PayloadCodec[Any] = PayloadCodec("c", Pair)

    assert codec.decode(b'{"left": 1}') == Pair(1, "r")


def test_what_is_already_of_the_type_is_not_rebuilt() -> None:
    point = Point(1)

    assert PayloadCodec("c", Point).convert(point) is point


@pytest.mark.parametrize(
    ("type_", "wrong"),
    [
        (Point, {"x": "one"}),
        (Item, {}),
        (Row, {"id": None}),
        (Box, {"width": "w"}),
        (Pair, {"right": "r"}),
        (Model, {"id": "x"}),
        (int, "5"),
        (list[int], {"a": 1}),
        (Color, "green"),
    ],
)
def test_what_is_not_of_the_type_is_refused_by_the_collaterals_name(type_: Any, wrong: Any) -> None:
    codec: PayloadCodec[Any] = PayloadCodec("orders", type_)

    with pytest.raises(InvalidPayload, match="collateral 'orders' is not of its type"):
        codec.convert(wrong)
    with pytest.raises(InvalidPayload):
        codec.decode(json.dumps(wrong).encode())


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidPayload):
        PayloadCodec("c", Any).decode(data)
    with pytest.raises(ValueError):  # noqa: PT011
        decode_json(data)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("wrap", [lambda n: n, lambda n: {"a": [1, n]}, lambda n: Point(1, n)])
def test_numbers_that_json_has_not_are_refused_and_not_lost(number: float, wrap: Any) -> None:
    with pytest.raises(NotSerializable, match="has no JSON form"):
        PayloadCodec("c", Any).encode(wrap(number))


def test_a_text_that_says_null_is_no_null() -> None:
    codec: PayloadCodec[Any] = PayloadCodec("c", Any)

    assert codec.decode(codec.encode({"a": "null", "b": None})) == {"a": "null", "b": None}


class Blob:
    """Something that has no JSON form."""


def loop_in_itself() -> Any:
    looped: list[Any] = []
    looped.append(looped)
    return looped


@pytest.mark.parametrize(
    "value", [Blob(), {"blob": Blob()}, lambda: None, object(), 1j, loop_in_itself()]
)
def test_what_has_no_json_form_is_refused_with_the_way_out(value: Any) -> None:
    with pytest.raises(NotSerializable, match=r"collateral 'blobs'.*ctx\.cns\.stimulate"):
        PayloadCodec("blobs", Any).encode(value)


def test_a_type_without_a_json_form_is_legal_as_long_as_it_stays_inside() -> None:
    blobs, blob = collateral("blobs", Blob), Blob()

    assert blobs.create_signal(blob).payload is blob
    assert blobs.codec.convert(blob) is blob
    with pytest.raises(NotSerializable):
        blobs.codec.encode(blob)


def test_json_of_ours_goes_both_ways() -> None:
    assert decode_json(encode_json({"a": [1, "b", None]})) == {"a": [1, "b", None]}


@pytest.mark.parametrize(("type_", "wrong"), [(int, True), (int, 1.5), (str, 1), (bool, 1)])
def test_a_builtin_from_outside_is_that_builtin_and_no_subclass(type_: Any, wrong: Any) -> None:
    with pytest.raises(InvalidPayload):
        PayloadCodec("c", type_).convert(wrong)


def test_a_type_that_names_what_is_not_defined_is_refused_at_the_definition() -> None:
    class Unfinished(NamedTuple):
        item: "Nowhere"  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(UnresolvedType, match=r"Unfinished of collateral 'c'.*Nowhere"):
        collateral("c", Unfinished)


def test_a_complaint_names_the_type_in_full() -> None:
    with pytest.raises(InvalidPayload, match=r"not of its type list\[int\]"):
        PayloadCodec("c", list[int]).convert("no")
