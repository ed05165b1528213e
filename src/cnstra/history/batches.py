"""From what workers told to the rows that are written."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cnstra.history.attempts import AttemptEnded, AttemptLog, Begun, Emitted, Ended
from cnstra.history.durations import bin_of
from cnstra.history.payloads import PayloadPolicy
from cnstra.history.records import AttemptRow, Error, Output, TaskRow
from cnstra.history.store import Batch, Tally


class Rows:
    """Makes rows, with what the policy lets through of their payloads."""

    def __init__(self, policy: PayloadPolicy) -> None:
        self._policy = policy

    def of(self, told: Sequence[Ended | AttemptEnded], attempts: Iterable[AttemptLog]) -> Batch:
        """The rows of what was told, and of what runs just now and was not written yet."""
        batch = Batch()
        for one in told:
            if isinstance(one, Ended):
                self._add_task(batch, one)
            else:
                self._add_attempt(batch, one)
        for attempt in attempts:
            self._add_running(batch, attempt)
        return batch

    def _add_task(self, batch: Batch, ended: Ended) -> None:
        attempt, begun = ended.attempt, ended.begun
        attempt.shown.discard(begun.key)
        row = self._task(attempt, begun)
        row.ended_at = attempt.time_of(ended.at)
        row.outcome = ended.outcome
        row.outputs = tuple([self._output(one) for one in ended.outputs])
        row.context = self._policy.kept(begun.neuron, ended.context)
        row.error = _error(ended.error)
        batch.tasks.append(row)
        if begun.outer is None:
            seconds = ended.at - begun.at
            _count(batch, attempt, row.ended_at, begun.neuron, ended.outcome, seconds)

    def _add_attempt(self, batch: Batch, ended: AttemptEnded) -> None:
        attempt = ended.attempt
        row = self._attempt(attempt)
        row.ended_at = attempt.time_of(ended.at)
        row.outcome = ended.outcome
        row.error = _error(ended.error)
        row.neuron = attempt.failed_neuron if ended.error is not None else None
        row.retry_at = None if ended.retry_in is None else row.ended_at + ended.retry_in
        attempt.written = True
        batch.attempts.append(row)
        _count(batch, attempt, row.ended_at, "", ended.outcome, ended.at - attempt.begun_at)

    def _add_running(self, batch: Batch, attempt: AttemptLog) -> None:
        if not attempt.written:
            attempt.written = True
            batch.attempts.append(self._attempt(attempt))
        for begun in list(attempt.running.values()):
            if begun.key not in attempt.shown:
                attempt.shown.add(begun.key)
                batch.tasks.append(self._task(attempt, begun))

    def _attempt(self, attempt: AttemptLog) -> AttemptRow:
        subject = attempt.subject
        return AttemptRow(
            id=attempt.id,
            run=subject.run,
            queue=subject.queue,
            job=subject.job,
            number=subject.number,
            worker=attempt.worker,
            created_at=subject.created_at,
            started_at=attempt.time_of(attempt.begun_at),
            collateral=subject.collateral,
            payload=self._policy.kept(subject.collateral, subject.payload),
        )

    def _task(self, attempt: AttemptLog, begun: Begun) -> TaskRow:
        return TaskRow(
            attempt=attempt.id,
            key=begun.key,
            neuron=begun.neuron,
            collateral=begun.collateral,
            hops=begun.hops,
            started_at=attempt.time_of(begun.at),
            outer=begun.outer,
            input=self._policy.kept(begun.collateral, begun.payload),
            run=attempt.subject.run,
            queue=attempt.subject.queue,
            worker=attempt.worker,
        )

    def _output(self, emitted: Emitted) -> Output:
        payload = self._policy.kept(emitted.collateral, emitted.payload)
        return Output(emitted.collateral, payload, tuple(emitted.keys))


def _count(
    batch: Batch, attempt: AttemptLog, at: float, neuron: str, outcome: str, seconds: float
) -> None:
    tally = Tally(attempt.subject.queue, int(at // 60), neuron, outcome, bin_of(seconds))
    count, total = batch.tallies.get(tally, (0, 0.0))
    batch.tallies[tally] = (count + 1, total + seconds)


def _error(wire: Mapping[str, Any] | None) -> Error | None:
    if wire is None:
        return None
    name, message = wire.get("name") or "Error", wire.get("message") or ""
    return Error(str(name), str(message), str(wire.get("stack") or ""))
