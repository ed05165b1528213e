"""Ten at a time: SQS takes batches, and may do part of one."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cnstra.adapters.sqs.place import Place
from cnstra.clock import Clock
from cnstra.errors import BrokerUnavailable

LARGEST = 10
TRIES = 3
PAUSE = 0.1

Entry = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Failure:
    """What SQS says is wrong with one entry, and would be again."""

    code: str
    message: str


async def carry_out(
    place: Place, clock: Clock, action: str, entries: Sequence[Entry]
) -> list[Failure | None]:
    """One batch. For each entry, what is wrong with it.

    What fails for SQS's own reasons is tried again; in the end it is a `BrokerUnavailable`.
    """
    failures: list[Failure | None] = [None] * len(entries)
    left, reason = list(range(len(entries))), ""
    for attempt in range(TRIES):
        if attempt:
            await clock.sleep(PAUSE * 2 ** (attempt - 1))
        asked = [{**entries[index], "Id": str(index)} for index in left]
        answer = await place.call(action, Entries=asked)
        left.clear()
        for failed in answer.get("Failed", ()):
            code, message = str(failed["Code"]), str(failed.get("Message", ""))
            if failed["SenderFault"]:
                failures[int(failed["Id"])] = Failure(code, message)
            else:
                left.append(int(failed["Id"]))
                reason = f"{code}: {message}"
        if not left:
            return failures
    raise BrokerUnavailable(url=place.location.url, reason=f"{action}, {reason}")


class Gathering:
    """Small entries of one action, gathered from all who call while a batch is on its way."""

    def __init__(self, place: Place, clock: Clock, action: str) -> None:
        self._place = place
        self._clock = clock
        self._action = action
        self._waiting: list[tuple[Entry, asyncio.Future[Failure | None]]] = []
        self._sending: asyncio.Task[None] | None = None

    async def add(self, **entry: Any) -> Failure | None:
        """Have it done; what is wrong with the entry, if anything."""
        outcome: asyncio.Future[Failure | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((entry, outcome))
        if self._sending is None:
            self._sending = asyncio.ensure_future(self._send_all())
        return await outcome

    async def _send_all(self) -> None:
        while self._waiting:
            batches = [
                self._waiting[start : start + LARGEST]
                for start in range(0, len(self._waiting), LARGEST)
            ]
            self._waiting = []
            await asyncio.gather(*(self._send(batch) for batch in batches))
        self._sending = None

    async def _send(self, batch: Sequence[tuple[Entry, asyncio.Future[Failure | None]]]) -> None:
        entries = [entry for entry, _ in batch]
        try:
            failures = await carry_out(self._place, self._clock, self._action, entries)
        except Exception as error:
            for _, outcome in batch:
                if not outcome.done():
                    outcome.set_exception(error)
        else:
            for (_, outcome), failure in zip(batch, failures, strict=True):
                if not outcome.done():
                    outcome.set_result(failure)
