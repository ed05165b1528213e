"""A payload type may declare its version, and how older ones are brought up to it."""

from dataclasses import dataclass
from typing import Any, NamedTuple, TypedDict

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnstra import CNS, Signal, collateral, neuron, payload
from cnstra.engine.payloads import PayloadCodec, decode_json, encode_json
from cnstra.errors import InvalidOption, InvalidPayload, PayloadTooNew
from cnstra.jobs.envelope import entry_in, job_data


def with_currency(old: dict[str, Any]) -> dict[str, Any]:
    return {**old, "currency": "EUR"}


def in_cents(old: dict[str, Any]) -> dict[str, Any]:
    return {"cents": round(old["amount"] * 100), "currency": old["currency"]}


UPCASTS = {1: with_currency, 2: in_cents}


@payload(version=3, upcasts=UPCASTS)
class Price(TypedDict):
    cents: int
    currency: str


@payload(version=3, upcasts=UPCASTS)
@dataclass
class DataPrice:
    cents: int
    currency: str


@payload(version=3, upcasts=UPCASTS)
class StructPrice(msgspec.Struct):
    cents: int
    currency: str


@payload(version=3, upcasts=UPCASTS)
class TuplePrice(NamedTuple):
    cents: int
    currency: str


TYPES = [Price, DataPrice, StructPrice, TuplePrice]


@pytest.mark.parametrize("type_", TYPES)
@given(amount=st.integers(0, 10**9))
def test_what_each_older_version_encoded_is_decoded(type_: Any, amount: int) -> None:
    codec: PayloadCodec[Any] = PayloadCodec("price", type_)
    forms: dict[int, dict[str, Any]] = {
        1: {"amount": amount},
        2: {"amount": amount, "currency": "EUR"},
        3: {"cents": amount * 100, "currency": "EUR"},
    }

    decoded = [codec.decode(codec.upcast(encode_json(form), v)) for v, form in forms.items()]

    assert decoded == [decoded[2]] * 3
    assert decode_json(codec.encode(decoded[0])) == forms[3]


@pytest.mark.parametrize("type_", TYPES)
def test_a_job_says_its_version_beside_its_payload(type_: Any) -> None:
    price = collateral("price", type_)
    value = {"cents": 7, "currency": "EUR"}

    data = job_data(price.create_signal(value if type_ is Price else type_(**value)), "run")

    assert decode_json(data)["signal"] == {"collateralName": "price", "payload": value, "v": 3}
    assert entry_in("job", data).v == 3


def test_without_a_version_the_wire_is_the_seeds() -> None:
    data = job_data(collateral("plain", int).create_signal(7), "run")

    assert decode_json(data)["signal"] == {"collateralName": "plain", "payload": 7}


def heard_by(type_: Any, signal: object) -> tuple[Any, Signal[Any]]:
    """What a handler is given for that entry signal, and the signal as its run has it."""
    heard: list[Any] = []
    price, out = collateral("price", type_), collateral("out", type_)
    taker = neuron("taker", {"out": out}).dendrite(
        price, lambda value, axon: heard.append(value) or axon.out.create_signal(value)
    )
    cns = CNS([taker])
    (entry,) = cns.signals_of(signal)
    cns.stimulate(entry)
    return heard[0], entry


@pytest.mark.parametrize(
    "signal",
    [
        {"collateralName": "price", "payload": {"amount": 1.5}},
        {"collateralName": "price", "payload": {"amount": 1.5, "currency": "EUR"}, "v": 2},
        {"collateralName": "price", "payload": {"cents": 150, "currency": "EUR"}, "v": 3},
        entry_in("j", encode_json({"collateralName": "price", "payload": {"amount": 1.5}})),
    ],
)
def test_a_signal_of_any_version_enters_as_the_present_one(signal: object) -> None:
    value, entry = heard_by(DataPrice, signal)

    assert value == DataPrice(150, "EUR")
    assert entry.version == 3


def test_a_failed_task_goes_on_as_what_it_was() -> None:
    price = collateral("price", DataPrice)
    failing = neuron("taker").dendrite(price, lambda value: 1 // 0)
    run = CNS([failing]).stimulate(price.create_signal(DataPrice(150, "EUR")))
    (task,) = run.frontier
    heard: list[Any] = []

    CNS([neuron("taker").dendrite(price, heard.append)]).activate([task.to_wire()])

    assert task.to_wire()["input"]["v"] == 3
    assert heard == [DataPrice(150, "EUR")]


def test_what_newer_code_encoded_is_refused_by_name() -> None:
    with pytest.raises(PayloadTooNew, match="'price' is version 4 of Price, and this code knows 3"):
        heard_by(Price, {"collateralName": "price", "payload": {}, "v": 4})
    with pytest.raises(PayloadTooNew, match="is version 2 of dict, and this code knows 1"):
        heard_by(dict, {"collateralName": "price", "payload": {}, "v": 2})


def test_an_upcast_that_fails_or_is_gone_is_told_of() -> None:
    with pytest.raises(InvalidPayload, match="as version 2: KeyError"):
        heard_by(Price, {"collateralName": "price", "payload": {}, "v": 2})

    late = payload(version=3, upcasts={2: in_cents})(type("Late", (DataPrice,), {}))
    with pytest.raises(InvalidPayload, match="no upcast from its version 1 any more"):
        heard_by(late, {"collateralName": "price", "payload": {"amount": 1}})


def test_a_version_is_the_types_own() -> None:
    assert PayloadCodec("n", type("Heir", (DataPrice,), {})).version == 1


@pytest.mark.parametrize(
    ("version", "upcasts"),
    [(0, {}), (3, {1: in_cents}), (2, {0: in_cents, 1: in_cents}), (2, {2: in_cents})],
)
def test_upcasts_leave_no_gap(version: int, upcasts: Any) -> None:
    with pytest.raises(InvalidOption):
        payload(version=version, upcasts=upcasts)
