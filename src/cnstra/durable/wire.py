"""A run's progress on the wire (a job's `progress`, an envelope): one JSON object in the seed's
shape, with what only we know in its `cnstra` part.
"""

from collections.abc import Mapping
from typing import Any, cast

import msgspec

from cnstra.durable.entries import META, VERSION, ErrorEntry, RunMeta, TaskEntry, encoded
from cnstra.durable.lineage import child, emission_key, path_text, root
from cnstra.durable.progress import Progress
from cnstra.engine.payloads import decode_json, encode_json
from cnstra.engine.tasks import NEVER_STARTED
from cnstra.engine.versions import UNVERSIONED
from cnstra.errors import ProgressTooNew, ProgressUnreadable


def to_wire(progress: Progress) -> bytes:
    """The progress as one JSON object in the seed's shape."""
    stimulation_id, tasks = progress.stimulation_id, progress.tasks()
    return encode_json(
        {
            "context": {name: msgspec.Raw(value) for name, value in progress.contexts().items()},
            "failedTasks": [
                _failed_task_to_wire(stimulation_id, task, progress.error(key))
                for key, task in tasks
            ],
            "cnstra": {
                "v": VERSION,
                "run": progress.run,
                "keys": [key for key, _ in tasks],
                "entries": {
                    key: msgspec.Raw(encoded(entry))
                    for key, entry in progress.entries.items()
                    if key[:2] not in ("c/", "e/")
                },
            },
        }
    )


def from_wire(run: str, wire: bytes) -> Progress | None:
    """The progress that `to_wire` wrote, or that a worker of the seed's listing saved.

    `None` for what is no progress at all: a number, a text, somebody else's object; one of another
    writer that owes nothing, as a run that is not over owes something. Raises `ProgressTooNew`, and
    `ProgressUnreadable` for one that is broken.
    """
    try:
        fields = decode_json(wire)
    except ValueError as error:
        raise ProgressUnreadable(run=run, reason=error) from error
    if not isinstance(fields, dict):
        return None
    known = cast(dict[str, Any], fields)
    tasks: Any = known.get("failedTasks", known.get("tasks"))
    ours: Any = known.get("cnstra")
    if not isinstance(tasks, list) or (ours is None and not tasks):
        return None
    try:
        entries = _foreign_entries(run, known) if ours is None else _our_entries(run, known)
        context: dict[str, Any] = known.get("context") or {}
        entries |= {f"c/{name}": encode_json(value) for name, value in context.items()}
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ProgressUnreadable(run=run, reason=reason) from error
    return Progress(run, entries)


def _our_entries(run: str, known: Mapping[str, Any]) -> dict[str, bytes]:
    """The entries in our own part, and the errors in the seed's."""
    ours = known["cnstra"]
    if ours["v"] > VERSION:
        raise ProgressTooNew(run=run, version=ours["v"], known=VERSION)
    entries = {key: encode_json(value) for key, value in ours["entries"].items()}
    for key, task in zip(ours["keys"], known["failedTasks"], strict=True):
        if task["error"]["message"] != NEVER_STARTED:
            entries[f"e/{key}"] = _error_entry(task)
    return entries


def _failed_task_to_wire(
    stimulation_id: str, task: TaskEntry, error: ErrorEntry | None
) -> dict[str, Any]:
    why = error or ErrorEntry(NEVER_STARTED, "Error", aborted=True)
    return {
        "task": {
            "stimulationId": stimulation_id,
            "neuronId": task.neuron,
            "dendriteCollateralName": task.collateral,
            "input": {
                "collateralName": task.collateral,
                "payload": task.payload,
                **({} if task.version == UNVERSIONED else {"v": task.version}),
            },
        },
        "error": {"message": why.message, "name": why.name, "stack": why.stack},
        "aborted": why.aborted,
    }


def _error_entry(failed: Mapping[str, Any]) -> bytes:
    found: Any = failed.get("error") or {}
    error = cast(Mapping[str, Any], found if isinstance(found, dict) else {"message": found})
    return encode_json(
        ErrorEntry(
            str(error.get("message", "")),
            str(error.get("name", "Error")),
            str(error.get("stack") or ""),
            bool(failed.get("aborted")),
        )
    )


def _foreign_entries(run: str, known: Mapping[str, Any]) -> dict[str, bytes]:
    """The entries of a progress without our part: tasks get keys by their place in it."""
    entries: dict[str, bytes] = {}
    stimulation_id = ""
    # The seed's form does not say where a task stands in its run. Its key must be no other task's,
    # now or on a later attempt, so it comes from the whole of what was saved.
    origin = root(f"{run}/{encode_json(known).hex()}")
    for number, one in enumerate(known.get("failedTasks") or known["tasks"]):
        task: dict[str, Any] = one.get("task", one)
        neuron = task.get("neuronId") or task["neuronName"]
        collateral = task["dendriteCollateralName"]
        stimulation_id = stimulation_id or task.get("stimulationId") or ""
        heard: dict[str, Any] = task.get("input") or {}
        payload = heard.get("payload")
        lineage = child(
            origin, emission_key(origin, collateral, number, None), neuron, number, number
        )
        entry = TaskEntry(
            neuron,
            collateral,
            msgspec.Raw(encode_json(payload)),
            number,
            path_text(lineage.path),
            version=heard.get("v", UNVERSIONED),
        )
        entries[f"t/{lineage.text}"] = encode_json(entry)
        if "error" in one:
            entries[f"e/{lineage.text}"] = _error_entry(one)
    entries[META] = encode_json(RunMeta(stimulation_id=stimulation_id or run))
    return entries
