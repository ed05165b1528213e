"""Payload types: to JSON and back, and checked where they enter from outside."""

import math
from typing import Any, Generic, TypeVar, cast, get_type_hints

import msgspec

from cnstra.engine.versions import Versions, versions_of
from cnstra.errors import InvalidPayload, NotSerializable, PayloadTooNew, UnresolvedType, text_of

T = TypeVar("T")

_OF_JSON = {bool, int, float, str, bytes, dict, list, tuple, set, frozenset}
"""Types whose values are looked through: `True` is an `int` for Python, and no number for us."""


NOT_JSON = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding raises of what is not the JSON that it should be; too deep counts, too."""


class PayloadCodec(Generic[T]):
    """How the values of one type travel: as whatever JSON `msgspec` makes of it.

    Dataclasses, TypedDicts, Structs, attrs classes, builtins and pydantic models are understood; a
    NamedTuple travels as an object. Any other type is legal too, as long as its values stay inside
    the process.

    version: of what it encodes; 1 where the type declares none.
    """

    __slots__ = ("_decoder", "_tuple", "_versions", "_wire_type", "name", "type", "version")

    def __init__(self, name: str, type_: Any) -> None:
        self.name = name
        self.type: Any = type_
        self._tuple: Any = type_ if is_named_tuple(type_) else None
        self._wire_type: Any = type_
        self._versions: Versions = versions_of(type_)
        self.version = self._versions.current
        try:
            self._wire_type = _object_of(type_) if self._tuple else type_
            self._decoder: msgspec.json.Decoder[Any] | None = msgspec.json.Decoder(
                self._wire_type, dec_hook=_decode_foreign
            )
        except (TypeError, NotImplementedError):
            self._decoder = None
        except NameError as error:
            raise UnresolvedType(collateral=name, type=_name_of(type_), reason=error) from error

    @property
    def type_name(self) -> str:
        """What people call the type."""
        return _name_of(self.type)

    def upcast(self, data: bytes, version: int) -> bytes:
        """JSON that was encoded as that version, as JSON of the present one.

        Raises `PayloadTooNew`, and `InvalidPayload` where an upcast fails or is not there any more.
        """
        now = self.version
        if version > now:
            raise PayloadTooNew(
                collateral=self.name, type=_name_of(self.type), version=version, known=now
            )
        if version == now:
            return bytes(data)
        try:
            return _encode(self._versions.upcast(decode_json(data), version))
        except Exception as error:
            reason = f"as version {version}: {text_of(error, repr)}"
            raise InvalidPayload(
                collateral=self.name, type=_name_of(self.type), reason=reason
            ) from error

    def encode(self, payload: T) -> bytes:
        """The payload as JSON. Raises `NotSerializable`, naming the collateral and the way out."""
        try:
            data = _encode(payload if type(payload) in _OF_JSON else _as_object(payload))
            if b"null" in data:
                _refuse_non_finite(payload)
        except Exception as error:
            raise NotSerializable(collateral=self.name, reason=_reason(error)) from error
        return data

    def decode(self, data: bytes) -> T:
        """The payload that `encode` wrote. Raises `InvalidPayload` where it is not of the type."""
        if self._decoder is None:
            raise NotSerializable(
                collateral=self.name, reason=f"{_name_of(self.type)} has no JSON form"
            )
        try:
            value = self._decoder.decode(data)
            if self._tuple is not None:
                value = self._tuple(*msgspec.structs.astuple(value))
            return cast(T, value)
        except Exception as error:
            raise InvalidPayload(
                collateral=self.name, type=_name_of(self.type), reason=_reason(error)
            ) from error

    def schema(self) -> dict[str, Any] | None:
        """The JSON schema of the payloads; `None` for a type that has none."""
        try:
            return msgspec.json.schema(self._wire_type, schema_hook=_schema_of_foreign)
        except (TypeError, NotImplementedError, RuntimeError):
            return None

    def accept(self, data: bytes) -> T:
        """A value that came from outside as JSON, as the type. Raises `InvalidPayload`."""
        return self.convert(decode_json(data)) if self._decoder is None else self.decode(data)

    def convert(self, value: object) -> T:
        """A value that came from outside as builtins, as the type. Raises `InvalidPayload`."""
        if self._decoder is None or self.type is Any or _is_instance(value, self.type):
            return cast(T, value)
        try:
            data = _encode(_as_object(value))
        except Exception as error:
            raise InvalidPayload(
                collateral=self.name, type=_name_of(self.type), reason=_reason(error)
            ) from error
        return self.decode(data)


def to_builtins(value: object) -> object:
    """The value as what `json.dumps` takes; itself, where it has no JSON form."""
    try:
        return msgspec.to_builtins(_as_object(value), enc_hook=_encode_foreign)
    except Exception:
        return value


def _reason(error: Exception) -> object:
    """What is wrong with a payload. An error of its own code says what it is, too."""
    return error if isinstance(error, _OF_US) else text_of(error, repr)


_OF_US = (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError)
"""What `msgspec` and we raise of a payload."""


def encode_json(value: object) -> bytes:
    """Any JSON value of ours as bytes."""
    return msgspec.json.encode(value)


def decode_json(data: bytes | str) -> Any:
    """JSON as builtins. Raises `ValueError` on anything that is not JSON."""
    try:
        return msgspec.json.decode(data)
    except NOT_JSON as error:
        raise ValueError(str(error)) from error


def is_named_tuple(type_: Any) -> bool:
    """Whether it is the class of a NamedTuple."""
    return hasattr(type_, "_fields") and isinstance(type_, type) and issubclass(type_, tuple)


def _object_of(tuple_type: Any) -> Any:
    hints, defaults = get_type_hints(tuple_type), tuple_type._field_defaults
    fields = [
        (name, hints.get(name, Any), defaults[name])
        if name in defaults
        else (name, hints.get(name, Any))
        for name in tuple_type._fields
    ]
    return msgspec.defstruct(tuple_type.__name__, fields)


def _as_object(value: object) -> object:
    return cast(Any, value)._asdict() if is_named_tuple(type(value)) else value


def _is_instance(value: object, type_: object) -> bool:
    """Whether `value` is already what handlers expect, so that it need not be rebuilt."""
    if not isinstance(type_, type) or type_ in _OF_JSON or _is_typed_dict(type_):
        return False
    return isinstance(value, cast(Any, type_))


def _is_typed_dict(type_: Any) -> bool:
    return hasattr(type_, "__total__") and isinstance(type_, type) and issubclass(type_, dict)


def _encode_foreign(value: object) -> object:
    dump = getattr(value, "model_dump", None)
    if dump is not None:
        return dump(mode="json")
    raise TypeError(f"{_name_of(type(value))} has no JSON form")


_encode = msgspec.json.Encoder(enc_hook=_encode_foreign).encode


def _decode_foreign(type_: Any, value: object) -> object:
    validate = getattr(type_, "model_validate", None)
    if validate is not None:
        return validate(value)
    raise TypeError(f"{_name_of(type_)} has no JSON form")


def _schema_of_foreign(type_: Any) -> dict[str, Any]:
    describe = getattr(type_, "model_json_schema", None)
    if describe is not None:
        return cast(dict[str, Any], describe())
    raise NotImplementedError(f"{_name_of(type_)} has no JSON schema")


def _refuse_non_finite(value: object) -> None:
    """JSON has no NaN and no infinity; msgspec would write null, and the value would be lost."""
    stack = [msgspec.to_builtins(value, enc_hook=_encode_foreign)]
    while stack:
        item = stack.pop()
        if isinstance(item, float) and not math.isfinite(item):
            raise ValueError(f"{item} has no JSON form")
        if isinstance(item, dict):
            stack.extend(cast(dict[object, object], item).values())
        elif isinstance(item, list | tuple):
            stack.extend(cast(list[object], item))


def _name_of(type_: object) -> str:
    return type_.__name__ if isinstance(type_, type) else str(type_)
