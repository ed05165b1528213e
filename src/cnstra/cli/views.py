"""A job as people see it, and as programs do."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from rich.console import Console
from rich.table import Table

from cnstra.cli.output import (
    LONGEST_ERROR,
    LONGEST_ERROR_IN_A_TABLE,
    brief,
    console,
    cut,
    moment,
    on_one_line,
    one_line,
    plain,
    table,
    when,
    write_json,
)
from cnstra.durable.progress import Progress
from cnstra.engine.payloads import decode_json
from cnstra.engine.tasks import NEVER_STARTED
from cnstra.errors import JobError, StoreError
from cnstra.jobs.broker import JobRecord
from cnstra.jobs.envelope import signal_in
from cnstra.jobs.redaction import RESULT, Redaction

STATE_STYLES = {"completed": "green", "dead": "red", "active": "yellow", "delayed": "cyan"}


def job_as_json(record: JobRecord, redaction: Redaction) -> dict[str, Any]:
    """What the broker holds of the job. `signal` is null where its data is no signal."""
    record = redaction.record(record)
    result = None if record.result is None else decode_json(record.result)
    return {
        "id": record.id,
        "state": record.state,
        "signal": _signal(record),
        "attemptsMade": record.attempts_made,
        "maxAttempts": record.max_attempts,
        "backoff": None if record.backoff is None else dict(record.backoff),
        "priority": record.priority,
        "createdAt": when(record.created_at),
        "runAt": when(record.run_at),
        "finishedAt": when(record.finished_at),
        "result": result,
        "error": None if record.error is None else dict(record.error),
        "run": record.run,
        **({} if _signal(record) else {"data": record.data.decode(errors="replace")}),
    }


def progress_as_json(progress: Progress | None, redaction: Redaction) -> dict[str, Any] | None:
    """What is saved of the job's run. `unreadable` says why nothing of it can be shown."""
    struck = redaction.struck
    if progress is None or not progress.entries:
        return None
    try:
        progress.check()
        return {
            "owed": [
                {
                    "neuron": task.neuron,
                    "collateral": task.collateral,
                    "payload": decode_json(struck(task.collateral, bytes(task.payload))),
                    "error": _task_error(progress, key),
                }
                for key, task in progress.tasks()
            ],
            "context": {
                name: decode_json(struck(name, value))
                for name, value in progress.contexts().items()
            },
            "results": [
                decode_json(struck(RESULT, bytes(one.payload))) for one in progress.results()
            ],
        }
    except (StoreError, ValueError) as error:
        return {"unreadable": one_line(error)}


def show_list(records: Sequence[JobRecord], redaction: Redaction, as_json: bool) -> None:
    """Several jobs: a table, or a JSON array."""
    if as_json:
        write_json([job_as_json(record, redaction) for record in records])
    elif records:
        console().print(list_of(records, redaction))


def list_of(records: Sequence[JobRecord], redaction: Redaction) -> Table:
    """Several jobs as a table."""
    columns = ["JOB", "STATE", "ATTEMPTS", "CREATED", "SIGNAL", "ERROR"]
    return table(columns, (_row(redaction.record(record)) for record in records), firm=4)


def show_job(
    record: JobRecord, progress: Progress | None, redaction: Redaction, as_json: bool
) -> None:
    """One job, with all that is saved of it."""
    job, saved = job_as_json(record, redaction), progress_as_json(progress, redaction)
    if as_json:
        write_json({**job, "progress": saved})
        return
    screen = console()
    screen.print(_facts(record, job))
    if job["error"]:
        _heading(screen, "Error")
        text = job["error"].get("stack") or _error(job["error"])
        screen.print(plain(cut(str(text), LONGEST_ERROR)), soft_wrap=True)
    if saved is not None:
        _show_progress(screen, saved)


def _facts(record: JobRecord, job: dict[str, Any]) -> Table:
    signal = job["signal"]
    facts = [
        ("Job", record.id),
        ("State", plain(record.state, STATE_STYLES.get(record.state, ""))),
        ("Signal", _brief_signal(signal) if signal else cut(job["data"])),
        ("Attempts", f"{record.attempts_made} of {record.max_attempts} have failed"),
        ("Priority", record.priority or None),
        ("Created", job["createdAt"]),
        ("Due", job["runAt"]),
        ("Finished", job["finishedAt"]),
        ("Result", None if record.result is None else brief(job["result"])),
    ]
    made = table(["", ""], ((name, value) for name, value in facts if value is not None))
    made.show_header = False
    return made


def _show_progress(screen: Console, saved: dict[str, Any]) -> None:
    if "unreadable" in saved:
        _heading(screen, "Progress")
        screen.print(plain(saved["unreadable"]), soft_wrap=True)
        return
    if saved["owed"]:
        _heading(screen, "Owed")
        columns = ["NEURON", "COLLATERAL", "PAYLOAD", "ERROR"]
        screen.print(table(columns, (_owed_row(task) for task in saved["owed"])))
    if saved["context"]:
        _heading(screen, "Context")
        screen.print(table(["NEURON", "VALUE"], _briefs(saved["context"].items())))
    if saved["results"]:
        _heading(screen, "Results so far")
        for one in saved["results"]:
            screen.print(plain(brief(one)))


def _heading(screen: Console, text: str) -> None:
    screen.print()
    screen.print(text, style="bold")


def _row(record: JobRecord) -> list[Any]:
    signal = _signal(record)
    return [
        record.id,
        plain(record.state, STATE_STYLES.get(record.state, "")),
        f"{record.attempts_made}/{record.max_attempts}",
        moment(record.created_at),
        on_one_line(_brief_signal(signal) if signal else "(not a signal)"),
        on_one_line(cut(_error(record.error), LONGEST_ERROR_IN_A_TABLE) if record.error else ""),
    ]


def _owed_row(task: dict[str, Any]) -> list[Any]:
    error = task["error"]
    why = cut(_error(error), LONGEST_ERROR_IN_A_TABLE) if error else "not started"
    return [task["neuron"], task["collateral"], brief(task["payload"]), why]


def _briefs(items: Iterable[tuple[str, Any]]) -> Iterable[tuple[str, str]]:
    return ((name, brief(value)) for name, value in items)


def _error(error: Any) -> str:
    return cut(one_line(f"{error.get('name', 'Error')}: {error.get('message', '')}"), LONGEST_ERROR)


def _brief_signal(signal: dict[str, Any]) -> str:
    return f"{cut(signal['collateralName'])} {brief(signal.get('payload'))}"


def _signal(record: JobRecord) -> dict[str, Any] | None:
    with suppress(JobError):
        return dict(signal_in(record.id, record.data))
    return None


def _task_error(progress: Progress, key: str) -> dict[str, Any] | None:
    error = progress.error(key)
    if error is None or error.message == NEVER_STARTED:
        return None
    return {
        "name": error.name,
        "message": error.message,
        "stack": error.stack,
        "aborted": error.aborted,
    }
