"""What came of an attempt, in one word, for metrics and spans."""

from typing import Literal

from cnstra.jobs.settlement import (
    Completed,
    DeadLettered,
    Lost,
    Requeued,
    Retry,
    Settlement,
    WireError,
)

Outcome = Literal["completed", "retried", "requeued", "dead", "lost"]
OUTCOMES: tuple[Outcome, ...] = ("completed", "retried", "requeued", "dead", "lost")


def outcome_of(settlement: Settlement) -> tuple[Outcome, WireError | None]:
    """The word, and the error, where there is one."""
    match settlement:
        case Completed():
            return "completed", None
        case Retry(_, _, error):
            return "retried", error
        case Requeued():
            return "requeued", None
        case DeadLettered(error, _):
            return "dead", error
        case Lost():
            return "lost", None
