"""Sending a signal, and editing what a dead job owes."""

from collections.abc import Mapping
from typing import Any

from starlette.responses import RedirectResponse, Response

from cnstra.dashboard.acts import note
from cnstra.dashboard.desk import ONLY_SHOWS, Ask, Desk
from cnstra.dashboard.forms import PREFIX, Field, NotFilledIn, fields_of, filled_with, payload_of
from cnstra.dashboard.lists import entry_of
from cnstra.engine.network import Network
from cnstra.engine.payloads import encode_json
from cnstra.errors import CnstraError
from cnstra.history.payloads import STRUCK_OUT
from cnstra.jobs.editing import edit_context, edit_payload
from cnstra.jobs.explanation import explain

MOST_ATTEMPTS = 100


async def show(desk: Desk, ask: Ask) -> Response:
    """The form for a signal of a collateral; filled in from a job, if one is named."""
    network = ask.source.network
    if not desk.write or network is None:
        reason = "Signals can be sent from a page that may write and knows the graph."
        return desk.decline(ask, 403, reason)
    collateral, filled = ask.query("collateral"), dict[str, str]()
    if ask.query("from"):
        job = await ask.source.queue.record(ask.query("from"))
        if job is not None:
            collateral, payload = entry_of(job, ask.source)
            filled = filled_with(payload) if collateral else {}
    entries = entries_of(network)
    if collateral not in network.collaterals:
        collateral = entries[0] if entries else next(iter(network.collaterals))
    return _form(desk, ask, network, collateral, filled)


async def send(desk: Desk, ask: Ask, form: Mapping[str, str]) -> Response:
    """Check the payload, and enqueue it."""
    network, collateral = ask.source.network, form.get("collateral", "")
    if network is None or collateral not in network.collaterals:
        return desk.decline(ask, 409, "There is no such collateral here.")
    try:
        payload = _checked(network, collateral, form)
        attempts = form.get("max_attempts", "1")
        most = int(attempts) if attempts.isdecimal() else 1
        version = network.collaterals[collateral].codec.version
        signal = {"collateralName": collateral, "payload": payload, "v": version}
        job = await ask.source.queue.enqueue(
            signal,
            max_attempts=min(max(1, most), MOST_ATTEMPTS),
            job_id=form.get("job_id") or None,
        )
    except CnstraError as error:
        return _form(desk, ask, network, collateral, form, trouble=str(error))
    said = "sent" if job.new else ""
    return RedirectResponse(ask.url("job", id=job.id, said=said), 303)


def entries_of(network: Network) -> list[str]:
    """The collaterals that somebody hears and nobody here emits."""
    emitted = {c.name for n in network.neurons.values() for c in n.collaterals.values()}
    return [name for name, heard in network.listeners.items() if heard and name not in emitted]


def _checked(network: Network, collateral: str, form: Mapping[str, str]) -> Any:
    """The payload as JSON that the collateral's type accepts."""
    codec = network.collaterals[collateral].codec
    value = payload_of(_fields(network, collateral, form))
    _refuse_struck_out(str(value))
    return codec.accept(encode_json(value))


def _refuse_struck_out(value: str) -> None:
    """What was struck out for the page must not take the place of the real value."""
    if STRUCK_OUT in value:
        reason = f"{STRUCK_OUT} stands where the page shows nothing: write the value itself"
        raise NotFilledIn(field="payload", reason=reason)


def _fields(network: Network, collateral: str, filled: Mapping[str, str]) -> list[Field]:
    return fields_of(network.collaterals[collateral].codec.schema(), filled)


def _form(
    desk: Desk,
    ask: Ask,
    network: Network,
    collateral: str,
    filled: Mapping[str, str],
    *,
    trouble: str = "",
) -> Response:
    entries = entries_of(network)
    return desk.render(
        ask,
        "send.html",
        status=409 if trouble else 200,
        collateral=collateral,
        entries=entries,
        others=[name for name in network.collaterals if name not in entries],
        fields=_fields(network, collateral, filled),
        trouble=trouble,
        filled=filled,
    )


async def show_edit(desk: Desk, ask: Ask) -> Response:
    """The form for the input of a task that a dead job owes, or for a context value."""
    if not desk.write:
        return desk.decline(ask, 403, ONLY_SHOWS)
    subject, value = await _subject(ask, ask.request.query_params)
    if value is None:
        return desk.decline(ask, 404, "The job does not owe that any more.")
    return _edit_form(desk, ask, subject, filled_with(value)[PREFIX])


async def edit(desk: Desk, ask: Ask, form: Mapping[str, str]) -> Response:
    """Check the value against its type, keep it, and note who has changed it."""
    network, queue, value = ask.source.network, ask.source.queue, form.get("value", "")
    if network is None:
        reason = "What is edited is checked against the graph, and this page does not know it."
        return desk.decline(ask, 409, reason)
    subject, _ = await _subject(ask, form)
    job_id = subject["id"]
    try:
        _refuse_struck_out(value)
        if subject["task"]:
            await edit_payload(queue, job_id, subject["task"], value.encode(), network)
        else:
            await edit_context(queue, job_id, subject["context"], value.encode(), network)
    except (CnstraError, ValueError) as error:
        return _edit_form(desk, ask, subject, value, trouble=str(error))
    await note(ask, job_id, f"edited {subject['what']}")
    return RedirectResponse(ask.url("job", id=job_id, said="edited"), 303)


async def _subject(ask: Ask, told: Mapping[str, str]) -> tuple[dict[str, str], bytes | None]:
    """What is edited, as the fields of the form and in words, and its value if there is one."""
    subject = {name: told.get(name, "") for name in ("id", "task", "context")}
    found = await explain(ask.source.queue, subject["id"], ask.source.network)
    if found is None:
        return {**subject, "what": "a job that is gone"}, None
    task = next((one for one in found.runs if one.key == subject["task"]), None)
    if task is not None:
        shown = ask.source.struck(task.collateral, task.payload)
        return {**subject, "what": f"the input of {task.neuron}"}, shown
    neuron = subject["context"]
    value = found.contexts.get(neuron)
    shown_value = None if value is None else ask.source.struck(neuron, value)
    return {**subject, "what": f"the context of {neuron}"}, shown_value


def _edit_form(
    desk: Desk, ask: Ask, subject: Mapping[str, str], value: str, *, trouble: str = ""
) -> Response:
    return desk.render(
        ask,
        "edit.html",
        status=409 if trouble else 200,
        subject=subject,
        value=value,
        trouble=trouble,
    )
