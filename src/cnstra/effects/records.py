"""What the ledger writes down of an activation: which it is, and what came of it."""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, cast

import msgspec

from cnstra.engine.context import Context
from cnstra.engine.neurons import collaterals_of
from cnstra.engine.payloads import PayloadCodec
from cnstra.engine.recorder import Emission
from cnstra.engine.signals import Collateral, Signal
from cnstra.errors import DuplicateKey, InvalidOption, NotOnAxon, NotSerializable

_ANY: PayloadCodec[Any] = PayloadCodec("context", Any)
UNSEEN = "-"
"""In place of an input's digest: it has no JSON form, as in an inner run."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One activation, or one effect of it.

    key: its idempotency key. run: the job's run. effect: the name of the effect; `None` for the
    activation itself. input: a digest of the payload, by which a key that means something else by
    now is noticed.
    """

    key: str
    run: str
    neuron: str
    effect: str | None
    input: str

    @staticmethod
    def of(ctx: Context[Any], effect: str | None = None) -> "Entry":
        """The activation of `ctx`, or an effect of it."""
        key = ctx.idempotency_key
        return Entry(
            key=key if effect is None else f"{key}-{effect}",
            run=_outermost(ctx).id,
            neuron=ctx.receiver.neuron_name,
            effect=effect,
            input=_digest(ctx.signal),
        )


class Output(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """An emitted signal, as on the wire."""

    collateral_name: str
    payload: msgspec.Raw
    key: str | None = None


class Outcome(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """What an activation emitted, and what it left in its neuron's context.

    context: the value, in a list of one; an empty list where it was deleted, `None` where the
        activation did not write it.
    """

    outputs: list[Output] = []
    context: list[msgspec.Raw] | None = None

    @staticmethod
    def of(ctx: Context[Any], emissions: Sequence[Emission]) -> "Outcome":
        """Raises what would keep the run from recording it: then nothing may be committed."""
        codecs = _collaterals(ctx)
        outputs = [_output(codecs[one.collateral_name], one) for one, _ in emissions]
        named = [(one.collateral_name, one.key) for one in outputs if one.key is not None]
        for name, key in named:
            if named.count((name, key)) > 1:
                raise DuplicateKey(collateral=name, key=key)
        return Outcome(outputs, _written(ctx))

    @staticmethod
    def from_text(text: str) -> "Outcome":
        return msgspec.json.decode(text, type=Outcome)

    def to_text(self) -> str:
        return msgspec.json.encode(self).decode()

    def replay(self, ctx: Context[Any]) -> list[Signal[Any]]:
        """Do to the run what the activation did."""
        if self.context:
            ctx.set(_ANY.decode(bytes(self.context[0])))
        elif self.context is not None:
            ctx.delete()
        known = _collaterals(ctx)
        return [_signal(ctx, known, one) for one in self.outputs]


def _output(collateral: Collateral[Any], signal: Signal[Any]) -> Output:
    own_key = cast(object, signal.key)
    if own_key is not None and not isinstance(own_key, str):
        remedy = "the key of a signal is a text: str(...) it"
        raise InvalidOption(option="key", value=own_key, remedy=remedy)
    data = collateral.codec.encode(signal.payload)
    collateral.codec.decode(data)  # what cannot be read again must not be committed
    return Output(signal.collateral_name, msgspec.Raw(data), signal.key)


def _signal(ctx: Context[Any], known: Mapping[str, Collateral[Any]], output: Output) -> Signal[Any]:
    collateral = known.get(output.collateral_name)
    if collateral is None:
        axon = ", ".join(ctx.receiver.collateral_names) or "empty"
        name = output.collateral_name
        raise NotOnAxon(neuron=ctx.receiver.neuron_name, collateral=name, axon=axon)
    payload = collateral.codec.decode(bytes(output.payload))
    return collateral.create_signal(payload, key=output.key)


def _collaterals(ctx: Context[Any]) -> Mapping[str, Collateral[Any]]:
    """What is on the neuron's axon, by the names that they have and had."""
    found = collaterals_of(ctx.receiver.axon, ctx.receiver.neuron_name).values()
    former = {name: one for one in found for name in one.former_names}
    return former | {one.name: one for one in found}


def _written(ctx: Context[Any]) -> list[msgspec.Raw] | None:
    if ctx.rare is None or not ctx.rare.wrote:
        return None
    value: object = ctx.get(_MISSING)
    if value is _MISSING:
        return []
    try:
        return [msgspec.Raw(_ANY.encode(value))]
    except NotSerializable:
        return None  # the run leaves it out of its snapshots too, and says so in the log


_MISSING: Any = object()


def _outermost(ctx: Context[Any]) -> Any:
    run = ctx.run
    while run.outer is not None:
        run = run.outer.run
    return run


def _digest(signal: Signal[Any]) -> str:
    try:
        return blake2b(_encode_in_order(signal.payload), digest_size=16).hexdigest()
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError):
        return UNSEEN


def _dumped(value: Any) -> object:
    dump = getattr(value, "model_dump", None)
    if dump is None:
        raise TypeError(f"{type(value).__name__} has no JSON form")
    return dump()


_encode_in_order = msgspec.json.Encoder(enc_hook=_dumped, order="deterministic").encode
"""A set's order is another in each process, and must not look like another input."""
