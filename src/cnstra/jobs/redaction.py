"""What people may see of a job: all but what its worker's history is told to redact."""

from dataclasses import replace
from typing import Any

import msgspec

from cnstra.engine.payloads import encode_json
from cnstra.errors import JobError
from cnstra.history.history import History
from cnstra.jobs.broker import JobRecord
from cnstra.jobs.envelope import signal_in
from cnstra.jobs.explanation import Explanation

LEFT_OUT = b'"(left out)"'
"""Instead of what a redaction raised over, or cannot know the names in."""

RESULT = "result"
"""The name that a redaction is told for a job's result."""


class Redaction:
    """Strikes out of what a broker holds what `history` is told to redact; without one, nothing."""

    def __init__(self, history: History | None) -> None:
        self._history = history if history is not None and history.redacts else None

    def struck(self, name: str, data: bytes) -> bytes:
        """JSON that travelled through `name`, as it may be shown."""
        if self._history is None:
            return data
        shown = self._history.struck(name, data)
        return LEFT_OUT if shown is None else shown

    def record(self, job: JobRecord) -> JobRecord:
        """The job, with its signal and its result as they may be shown."""
        if self._history is None:
            return job
        result = None if job.result is None else self.struck(RESULT, job.result)
        return replace(job, data=self._data(job), result=result)

    def explanation(self, found: Explanation) -> Explanation:
        """The explanation, with the payloads, context values and results of its job."""
        return replace(
            found,
            job=self.record(found.job),
            runs=[
                replace(one, payload=self.struck(one.collateral, one.payload)) for one in found.runs
            ],
            contexts={name: self.struck(name, value) for name, value in found.contexts.items()},
            results=[self.struck(RESULT, one) for one in found.results],
        )

    def _data(self, job: JobRecord) -> bytes:
        try:
            signal: dict[str, Any] = dict(signal_in(job.id, job.data))
        except JobError:
            return LEFT_OUT
        payload = encode_json(signal.get("payload"))
        signal["payload"] = msgspec.Raw(self.struck(signal["collateralName"], payload))
        return encode_json({"signal": signal})
