"""How deliveries end: the parameters of `settle`, and what its answers mean."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cnstra.adapters.postgres.columns import to_json, to_key, to_run
from cnstra.durable.store import Ticket
from cnstra.errors import Fenced, LeaseLost
from cnstra.jobs.broker import Ahead
from cnstra.jobs.settlement import (
    Completed,
    DeadLettered,
    Delivery,
    Lost,
    Requeued,
    Retry,
    Settlement,
    WireError,
)

LEASE_LOST = -1


@dataclass(frozen=True, slots=True)
class Ending:
    """A delivery, how it ends, and whether its slot may take the next job."""

    delivery: Delivery
    settlement: Settlement
    ticket: Ticket | None
    ahead: Ahead | None

    @property
    def job_id(self) -> str:
        return self.delivery.job_id

    def refusal(self, verdict: int) -> Exception:
        """Why it was refused."""
        if verdict == LEASE_LOST or self.ticket is None:
            return LeaseLost(job_id=self.job_id)
        return Fenced(run=self.ticket.run, epoch=self.ticket.epoch, found=verdict)


def columns_of(endings: Sequence[Ending]) -> dict[str, Any]:
    """The parameters of `settle` that tell of the endings."""
    tickets = [ending.ticket for ending in endings]
    told = [_told(ending.settlement) for ending in endings]
    return {
        "ids": [to_key(ending.job_id) for ending in endings],
        "tokens": [ending.delivery.token for ending in endings],
        "kinds": [type(ending.settlement).__name__ for ending in endings],
        "delays": [delay for delay, _, _, _ in told],
        "errors": [to_json(error) for _, error, _, _ in told],
        "details": [to_json(detail) for _, _, detail, _ in told],
        "results": [result for _, _, _, result in told],
        "runs": [None if ticket is None else to_run(ticket.run) for ticket in tickets],
        "epochs": [None if ticket is None else ticket.epoch for ticket in tickets],
        "seqs": [None if ticket is None else ticket.seq for ticket in tickets],
        "wants": [ending.ahead is not None for ending in endings],
    }


def _told(
    settlement: Settlement,
) -> tuple[float, WireError | None, Mapping[str, Any] | None, bytes | None]:
    """The delay, the error, what the event says, and the result."""
    match settlement:
        case Completed(result):
            return 0.0, None, None, result
        case DeadLettered(error):
            return 0.0, error, {"error": _headline(error)}, None
        case Retry(delay, _, error):
            return delay, error, {"delay": delay, "error": _headline(error)}, None
        case Requeued(_, delay):
            return delay, None, {"delay": delay}, None
        case Lost():
            raise AssertionError("a lost job has nothing to settle")


def _headline(error: WireError) -> dict[str, Any]:
    """An error without its stack, which is too long to be told again and again."""
    return {part: error.get(part) for part in ("name", "message")}
