"""The job data: `{"signal": {"collateralName", "payload"}, "cnstra": {"run"}}`."""

from collections.abc import Mapping
from typing import Any, cast

import msgspec

from cnstra.engine.payloads import NOT_JSON, PayloadCodec, decode_json, encode_json
from cnstra.engine.signals import EncodedSignal, Signal, signal_from_wire
from cnstra.engine.versions import UNVERSIONED
from cnstra.errors import InvalidSignal, UndecodableJob


def job_data(signal: Signal[Any] | Mapping[str, Any], run: str, trace: str | None = None) -> bytes:
    """The job data of a signal, or of its wire form; `trace` is the W3C `traceparent` to carry.

    Raises `InvalidSignal` or `NotSerializable`.
    """
    found = signal_from_wire(signal)
    codec: PayloadCodec[Any] = PayloadCodec(found.collateral_name, Any)
    wire: dict[str, Any] = {
        "collateralName": found.collateral_name,
        "payload": msgspec.Raw(codec.encode(found.payload)),
    }
    if found.key is not None:
        wire["key"] = found.key
    if found.version != UNVERSIONED:
        wire["v"] = found.version
    ours = {"run": run} if trace is None else {"run": run, "trace": trace}
    return encode_json({"signal": wire, "cnstra": ours})


def signal_in(job_id: str, data: bytes) -> Mapping[str, Any]:
    """The wire form of the signal in the job data, in either shape. Raises `UndecodableJob`."""
    try:
        found: Any = decode_json(data)
        if not isinstance(found, dict):
            raise InvalidSignal(signal=repr(found)[:200])
        fields = cast(dict[str, Any], found)
        wire = fields.get("signal", fields)
        signal_from_wire(wire)
    except (ValueError, InvalidSignal) as error:
        raise UndecodableJob(job_id=job_id, reason=error) from error
    return cast(Mapping[str, Any], wire)


def entry_in(job_id: str, data: bytes) -> EncodedSignal:
    """The signal in the job data, in either shape, its payload untouched.

    Raises `UndecodableJob`.
    """
    try:
        entry = _decode_job(data).signal
        if entry.collateral_name:
            return entry
    except NOT_JSON:
        pass  # the other shape, or none
    wire = signal_in(job_id, data)
    payload = msgspec.Raw(encode_json(wire.get("payload")))
    version = wire.get("v", UNVERSIONED)
    return EncodedSignal(wire["collateralName"], payload, wire.get("key"), version)


class _Job(msgspec.Struct):
    signal: EncodedSignal


_decode_job = msgspec.json.Decoder(_Job).decode


def run_in(data: bytes) -> str | None:
    """The run id in the job data, if `enqueue` put one there."""
    try:
        run: Any = decode_json(data)["cnstra"]["run"]
    except (ValueError, KeyError, TypeError):
        return None
    return run if isinstance(run, str) and run else None
