"""Editing what a dead job owes."""

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.responses import RedirectResponse, Response

from cnstra.dashboard.acts import note
from cnstra.dashboard.desk import ONLY_SHOWS, Ask, Desk
from cnstra.dashboard.forms import json_of, laid_out
from cnstra.dashboard.original import NotFilledIn, Original
from cnstra.engine.network import Network
from cnstra.engine.payloads import decode_json, encode_json
from cnstra.errors import CnstraError
from cnstra.jobs.editing import edit_context, edit_payload, owed_task, saved_context

ADDRESS = ("id", "task", "context")
CHANGED = "somebody else has changed it meanwhile: open the editor anew"
UNKNOWN = "What is edited is checked against the graph, and this page does not know it."


@dataclass(frozen=True, slots=True)
class Subject:
    """What is edited: the input of the task of that key, or the context value of that neuron.

    what: in words. value: as it is saved. seal: what tells that from any other.
    """

    id: str
    task: str
    context: str
    what: str
    value: bytes
    original: Original
    seal: str

    @property
    def told(self) -> dict[str, str]:
        """What its form tells of it."""
        names = (*ADDRESS, "seal", "what")
        return {name: getattr(self, name) for name in names}


async def show(desk: Desk, ask: Ask) -> Response:
    """The form for the input of a task that a dead job owes, or for a context value."""
    if not desk.write:
        return desk.decline(ask, 403, ONLY_SHOWS)
    if ask.source.network is None:
        return desk.decline(ask, 409, UNKNOWN)
    subject = await _subject(desk, ask, ask.source.network, ask.request.query_params)
    return _form(desk, ask, subject.told, laid_out(subject.original.shown))


async def edit(desk: Desk, ask: Ask, form: Mapping[str, str]) -> Response:
    """Check the value against its type, keep it, and note who has changed it."""
    network, queue, text = ask.source.network, ask.source.queue, form.get("value", "")
    if network is None:
        return desk.decline(ask, 409, UNKNOWN)
    told = {name: form.get(name, "") for name in (*ADDRESS, "seal")} | {"what": "what it owed"}
    try:
        subject = await _subject(desk, ask, network, form)
        told["what"] = subject.what
        if told["seal"] != subject.seal:
            raise NotFilledIn(field=subject.what, reason=CHANGED)
        value = encode_json(subject.original.edited(json_of(text)))
        if subject.task:
            await edit_payload(
                queue, subject.id, subject.task, value, network, before=subject.value
            )
        else:
            await edit_context(
                queue, subject.id, subject.context, value, network, before=subject.value
            )
    except (CnstraError, ValueError) as error:
        return _form(desk, ask, told, text, trouble=str(error))
    await note(ask, subject.id, f"edited {subject.what}")
    return RedirectResponse(ask.url("job", id=subject.id, said="edited"), 303)


async def _subject(desk: Desk, ask: Ask, network: Network, told: Mapping[str, str]) -> Subject:
    """What the address of the form, or the form, tells of. Raises what `owed_task` does."""
    id, task, context = (told.get(name, "") for name in ADDRESS)
    queue, source = ask.source.queue, ask.source
    if task:
        owed = await owed_task(queue, id, task, network)
        name, value, what = owed.collateral, owed.payload, f"the input of {owed.neuron}"
    else:
        name = network.renamed_neurons.get(context, context)
        value, what = await saved_context(queue, id, context, network), f"the context of {name}"
    original = Original(decode_json(value), decode_json(source.struck(name, value)))
    return Subject(id, task, context, what, value, original, desk.gate.seal_of(value))


def _form(
    desk: Desk, ask: Ask, told: Mapping[str, str], value: str, *, trouble: str = ""
) -> Response:
    return desk.render(
        ask,
        "edit.html",
        status=409 if trouble else 200,
        told=told,
        value=value,
        trouble=trouble,
    )
