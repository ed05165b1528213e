"""How the rows of a history are written into the columns of a database, and read again."""

from collections.abc import Callable
from typing import Any

import msgspec

from cnstra.history.fingerprint import fingerprint
from cnstra.history.records import AttemptRow, Error, Note, Payload, RunRow, TaskRow, WorkerRow
from cnstra.history.store import size_of

RUN = (
    "seq, run, queue, job, state, attempts, created_at, started_at, updated_at, collateral,"
    " payload, payload_size, neuron, error"
)
"""The columns of a run, in the order in which `Columns.run` takes them."""

encode = msgspec.msgpack.Encoder().encode
decode_task = msgspec.msgpack.Decoder(TaskRow).decode
decode_worker = msgspec.msgpack.Decoder(WorkerRow).decode
decode_note = msgspec.msgpack.Decoder(Note).decode
_decode_error = msgspec.msgpack.Decoder(Error).decode


class Columns:
    """A database's own way with text: `to_text` makes any text one that its columns can hold."""

    def __init__(self, to_text: Callable[[str], str], from_text: Callable[[str], str]) -> None:
        self.to_text = to_text
        self.from_text = from_text

    def run_terms(self, attempt: AttemptRow) -> dict[str, Any]:
        """What is written of the run when one of its attempts is."""
        error, payload = attempt.error, attempt.payload
        return {
            "run": self.to_text(attempt.run),
            "queue": self.to_text(attempt.queue),
            "job": self.to_text(attempt.job),
            "state": attempt.outcome,
            "attempts": attempt.number,
            "created_at": attempt.created_at,
            "started_at": attempt.started_at,
            "updated_at": attempt.ended_at or attempt.started_at,
            "collateral": self.to_text(attempt.collateral),
            "payload": None if payload is None else payload.text,
            "payload_size": None if payload is None else payload.size,
            "neuron": self._text(attempt.neuron),
            "fingerprint": None if error is None else fingerprint(error.name, error.message),
            "error": None if error is None else encode(Error(error.name, error.message)),
        }

    def attempt_terms(self, attempt: AttemptRow) -> dict[str, Any]:
        """What is written of an attempt."""
        return {
            "id": attempt.id,
            "run": self.to_text(attempt.run),
            "number": attempt.number,
            "worker": attempt.worker,
            "started_at": attempt.started_at,
            "ended_at": attempt.ended_at,
            "outcome": attempt.outcome,
            "retry_at": attempt.retry_at,
            "neuron": self._text(attempt.neuron),
            "error": None if attempt.error is None else encode(attempt.error),
            "bytes": size_of(attempt),
        }

    def run(self, row: tuple[Any, ...]) -> RunRow:
        """A run, from its columns."""
        seq, run, queue, job, state, attempts, created_at, started_at, updated_at, *rest = row
        collateral, payload, size, neuron, error = rest
        return RunRow(
            seq,
            self.from_text(run),
            self.from_text(queue),
            self.from_text(job),
            state,
            attempts,
            created_at,
            started_at,
            updated_at,
            self.from_text(collateral),
            None if size is None else Payload(payload, size),
            None if neuron is None else self.from_text(neuron),
            None if error is None else _decode_error(error),
        )

    def attempt(self, row: tuple[Any, ...], run: RunRow) -> AttemptRow:
        """An attempt at that run, from its columns."""
        attempt, number, worker, started_at, ended_at, outcome, retry_at, neuron, error = row
        return AttemptRow(
            attempt,
            run.run,
            run.queue,
            run.job,
            number,
            worker,
            run.created_at,
            started_at,
            run.collateral,
            run.payload,
            ended_at,
            outcome,
            None if error is None else _decode_error(error),
            None if neuron is None else self.from_text(neuron),
            retry_at,
        )

    def _text(self, name: str | None) -> str | None:
        return None if name is None else self.to_text(name)
