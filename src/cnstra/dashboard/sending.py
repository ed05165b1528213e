"""Sending a signal: a new one, or that of a job with changes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import UNSET
from starlette.responses import RedirectResponse, Response

from cnstra.dashboard.desk import Ask, Desk
from cnstra.dashboard.forms import Field, fields_of, payload_of, refilled
from cnstra.dashboard.original import NotFilledIn, Original
from cnstra.engine.network import Network
from cnstra.engine.payloads import PayloadCodec, decode_json, encode_json
from cnstra.errors import CnstraError
from cnstra.jobs.broker import JobRecord
from cnstra.jobs.cloning import options_of
from cnstra.jobs.envelope import entry_in

MOST_ATTEMPTS = 100


@dataclass(frozen=True, slots=True)
class Draft:
    """What a form begins with: a collateral, and the job whose signal is to be sent with changes,
    if there is one: its payload as the collateral has it now, and a seal that tells it from others.
    """

    collateral: str
    codec: PayloadCodec[Any]
    job: JobRecord | None = None
    original: Original | None = None
    key: str | None = None
    seal: str = ""

    @property
    def shown(self) -> Any:
        """The payload that the form shows; `UNSET` where it is a new one."""
        return UNSET if self.original is None else self.original.shown

    @property
    def fields(self) -> list[Field]:
        """The form's fields, before anybody touches them."""
        return fields_of(self.codec.schema(), self.shown)

    @property
    def max_attempts(self) -> int:
        """How many attempts it has, unless somebody says another number."""
        return 1 if self.job is None else self.job.max_attempts

    def signal(self, form: Mapping[str, str]) -> dict[str, Any]:
        """The signal as somebody filled it in, in its wire form; its payload is of its type.

        Raises `NotFilledIn` and `InvalidPayload`.
        """
        if form.get("seal", "") != self.seal:
            reason = "there is another job under that id now: open the form anew"
            raise NotFilledIn(field="job", reason=reason)
        edited = payload_of(self.fields, form, self.shown)
        payload = (self.original or Original({}, {})).edited(edited)
        self.codec.accept(encode_json(payload))
        wire = {"collateralName": self.collateral, "payload": payload, "v": self.codec.version}
        return wire if self.key is None else {**wire, "key": self.key}


async def show(desk: Desk, ask: Ask) -> Response:
    """The form for a signal of a collateral; filled in from a job, if one is named."""
    network = ask.source.network
    if not desk.write or network is None or not network.collaterals:
        reason = "Signals can be sent from a page that may write and knows the graph."
        return desk.decline(ask, 403, reason)
    collateral = ask.query("collateral")
    if collateral not in network.collaterals:
        collateral = [*entries_of(network), *network.collaterals][0]
    draft = await _draft(desk, ask, network, collateral, ask.query("from"))
    return _form(desk, ask, network, draft, draft.fields, {})


async def send(desk: Desk, ask: Ask, form: Mapping[str, str]) -> Response:
    """Check the payload, and enqueue it."""
    network, collateral = ask.source.network, form.get("collateral", "")
    if network is None or collateral not in network.collaterals:
        return desk.decline(ask, 409, "There is no such collateral here.")
    draft = await _draft(desk, ask, network, collateral, form.get("from", ""))
    try:
        options = {} if draft.job is None else options_of(draft.job)
        options["max_attempts"] = _attempts(form.get("max_attempts", ""), draft.max_attempts)
        job = await ask.source.queue.enqueue(
            draft.signal(form), job_id=form.get("job_id") or None, **options
        )
    except CnstraError as error:
        fields = refilled(draft.fields, form)
        return _form(desk, ask, network, draft, fields, form, trouble=str(error))
    said = "sent" if job.new else ""
    return RedirectResponse(ask.url("job", id=job.id, said=said), 303)


def entries_of(network: Network) -> list[str]:
    """The collaterals that somebody hears and nobody here emits."""
    emitted = {c.name for n in network.neurons.values() for c in n.collaterals.values()}
    return [name for name, heard in network.listeners.items() if heard and name not in emitted]


async def _draft(desk: Desk, ask: Ask, network: Network, collateral: str, job_id: str) -> Draft:
    """The draft of a new signal of that collateral, or of that of a job, under its name of now.

    Raises `NotFilledIn`, `UndecodableJob`, `UnknownCollateral`, `PayloadTooNew`, `InvalidPayload`.
    """
    if not job_id:
        return Draft(collateral, network.collaterals[collateral].codec)
    job = await ask.source.queue.record(job_id)
    if job is None:
        raise NotFilledIn(field="job", reason="the queue does not hold it any more")
    signal = entry_in(job.id, job.data)
    name = network.name_now(signal.collateral_name)
    network.require(name)
    codec = network.collaterals[name].codec
    payload = codec.upcast(bytes(signal.payload), signal.v)
    original = Original(decode_json(payload), decode_json(ask.source.struck(name, payload)))
    return Draft(name, codec, job, original, signal.key, desk.gate.seal_of(payload))


def _attempts(told: str, otherwise: int) -> int:
    """How many attempts somebody wants; those that a job had may be more than others get."""
    most = int(told[:9]) if told.isdecimal() else otherwise
    return min(max(1, most), max(MOST_ATTEMPTS, otherwise))


def _form(
    desk: Desk,
    ask: Ask,
    network: Network,
    draft: Draft,
    fields: Sequence[Field],
    filled: Mapping[str, str],
    *,
    trouble: str = "",
) -> Response:
    entries = entries_of(network)
    return desk.render(
        ask,
        "send.html",
        status=409 if trouble else 200,
        draft=draft,
        entries=entries,
        others=[name for name in network.collaterals if name not in entries],
        fields=fields,
        most_attempts=max(MOST_ATTEMPTS, draft.max_attempts),
        trouble=trouble,
        filled=filled,
    )
