"""Changing what a dead job owes, or runs of it, before it is redriven."""

from collections.abc import Callable
from typing import Any

import msgspec

from cnstra.durable.entries import TaskEntry
from cnstra.durable.progress import Progress
from cnstra.engine.network import Network
from cnstra.engine.payloads import PayloadCodec, encode_json
from cnstra.errors import NotEditable
from cnstra.jobs.explanation import OwedTask, context_now, payload_now
from cnstra.jobs.queue import Queue
from cnstra.jobs.revision import Revision, read_revision, write_revision


async def owed_task(queue: Queue, job_id: str, key: str, network: Network) -> OwedTask:
    """The task of that key as `edit_payload` takes it: under the names of now, its input of the
    version that its type has now.

    Raises `NotEditable`, `PayloadTooNew`, and `InvalidPayload` where an upcast fails.
    """
    progress = (await _read(queue, job_id)).progress
    task = _owed(progress, job_id, key)
    neuron = network.renamed_neurons.get(task.neuron, task.neuron)
    return OwedTask(key, neuron, network.name_now(task.collateral), payload_now(task, network))


async def saved_context(queue: Queue, job_id: str, neuron: str, network: Network) -> bytes:
    """The context value that was saved under that name, as `edit_context` takes it: of the version
    that its type has now.

    Raises `NotEditable`, `PayloadTooNew`, and `InvalidPayload` where an upcast fails.
    """
    progress = (await _read(queue, job_id)).progress
    if neuron not in progress.contexts():
        raise NotEditable(job_id=job_id, reason="it has no context value of that neuron any more")
    return context_now(progress, neuron, network)


async def edit_payload(
    queue: Queue,
    job_id: str,
    key: str,
    payload: bytes,
    network: Network,
    *,
    before: bytes | None = None,
) -> None:
    """Give the owed task of that key another input, as JSON of the version that its type has now.
    It is kept as it is given; the task's key stays what it was.

    before: what `owed_task` told of it; refused if that is no longer what it is. Raises
    `InvalidPayload` where it is not of its collateral's type, and `NotEditable`.
    """

    def change(progress: Progress) -> None:
        task = _owed(progress, job_id, key)
        if before is not None:
            _require_same(job_id, before, payload_now(task, network))
        collateral = network.name_now(task.collateral)
        network.require(collateral)
        codec = network.collaterals[collateral].codec
        task.payload = type(task.payload)(_accepted(codec, payload))
        task.version = codec.version
        progress.put(f"t/{key}", encode_json(task))

    await _edit(queue, job_id, change)


async def edit_context(
    queue: Queue,
    job_id: str,
    neuron: str,
    value: bytes,
    network: Network,
    *,
    before: bytes | None = None,
) -> None:
    """Give a neuron another context value, as JSON of the version that its type has now. `neuron`
    is the name under which the value was saved, a former one too.

    before: what `saved_context` told of it; refused if that is no longer what it is. Raises
    `InvalidPayload` where it is not of the neuron's type, and `NotEditable`.
    """
    now = network.renamed_neurons.get(neuron, neuron)
    codec: PayloadCodec[object] = network.context_codecs.get(now) or PayloadCodec(now, object)

    def change(progress: Progress) -> None:
        if before is not None:
            _require_same(job_id, before, context_now(progress, neuron, network))
        progress.put_context(neuron, _accepted(codec, value), codec.version)

    await _edit(queue, job_id, change)


async def leave_out(queue: Queue, job_id: str, key: str) -> None:
    """Let the job owe the task of that key no more: a retry runs the other branches alone, and
    what would have come of this one is in no result.

    Raises `NotEditable`, also where the job owes nothing else.
    """

    def change(progress: Progress) -> None:
        _owed(progress, job_id, key)
        if len(progress.tasks()) == 1:
            reason = "it owes nothing else, and a job that owes nothing is completed: remove it"
            raise NotEditable(job_id=job_id, reason=reason)
        for prefix in ("t/", "e/", "s/"):
            progress.delete(prefix + key)

    await _edit(queue, job_id, change)


async def redrive_branch(queue: Queue, job_id: str, key: str) -> bool:
    """Redrive a dead job for the task of that key, and what comes of it, alone. `False` if somebody
    else redrove it meanwhile.

    Its other tasks are held back over all attempts. Once that branch is done or has failed for
    good, the job is dead again and owes them as before, with the errors that they had; if nothing
    was held back, it is completed. A call that fails half-way leaves a dead job: a plain redrive of
    it runs all its branches. Raises `NotEditable`.
    """

    def change(progress: Progress) -> None:
        _owed(progress, job_id, key)
        progress.hold_back_all_but(key)

    await _edit(queue, job_id, change)
    return await queue.io.call(lambda: queue.broker.redrive(job_id))


def _owed(progress: Progress, job_id: str, key: str) -> TaskEntry:
    task = progress.task(key)
    if task is None:
        raise NotEditable(job_id=job_id, reason="it does not owe that task any more")
    return task


def _require_same(job_id: str, before: bytes, now: bytes) -> None:
    if now != before:
        raise NotEditable(job_id=job_id, reason="somebody else has changed that meanwhile")


def _accepted(codec: PayloadCodec[Any], value: bytes) -> bytes:
    """JSON that the type accepts, every value in it as it is. Raises `InvalidPayload`."""
    codec.accept(value)
    return msgspec.json.format(value, indent=-1)


async def _read(queue: Queue, job_id: str) -> Revision:
    """A dead job, and what has been saved of its run. Raises `NotEditable`."""
    store, broker = queue.require_store("editing a job"), queue.broker
    await queue.open()
    revision = await queue.io.call(lambda: read_revision(broker, store, job_id))
    revision.progress.check()
    return revision


async def _edit(queue: Queue, job_id: str, change: Callable[[Progress], None]) -> None:
    """Change the saved progress of a dead job, whose run nobody holds."""
    store, broker = queue.require_store("editing a job"), queue.broker
    revision = await _read(queue, job_id)
    with revision.progress:
        change(revision.progress)
    await queue.io.call(lambda: write_revision(broker, store, revision))
