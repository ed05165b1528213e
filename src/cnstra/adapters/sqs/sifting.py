"""Looking through dead letters. SQS shows a message only by handing it out."""

import asyncio
from operator import attrgetter

from cnstra.adapters.sqs.batches import LARGEST, Gathering
from cnstra.adapters.sqs.letters import SYSTEM, held_of, incoming_of
from cnstra.adapters.sqs.place import Place
from cnstra.clock import Clock
from cnstra.jobs.transport import Incoming, Judge

LEASE = 120
"""Seconds for which a dead letter is away while it is looked at, should we die meanwhile."""
WAIT = 1
"""Seconds of a long poll: it asks all of SQS's servers, where a short one asks a few."""


async def sift(dead: Place, clock: Clock, judge: Judge, limit: int | None) -> None:
    """Show `judge` each dead letter, remove those it says, and make the others visible again.

    SQS hands them out roughly in order; a batch of ten is put in order here.
    """
    deletions = Gathering(dead, clock, "DeleteMessageBatch")
    seen: dict[str, Incoming] = {}
    kept: list[Incoming] = []
    try:
        while limit is None or len(seen) < limit:
            missing = LARGEST if limit is None else limit - len(seen)
            found = await _receive(dead, clock, min(missing, LARGEST))
            fresh = [one for one in found if one.id not in seen]
            kept += fresh
            seen |= {one.id: one for one in fresh}
            if not fresh:
                break
            for letter in sorted(fresh, key=attrgetter("sent_at")):
                if await judge(letter.body):
                    await deletions.add(ReceiptHandle=held_of(letter).receipt)
                    kept.remove(letter)
    finally:
        changes = Gathering(dead, clock, "ChangeMessageVisibilityBatch")
        visible = [
            changes.add(ReceiptHandle=held_of(one).receipt, VisibilityTimeout=0) for one in kept
        ]
        await asyncio.gather(*visible, return_exceptions=True)


async def _receive(dead: Place, clock: Clock, count: int) -> list[Incoming]:
    answer = await dead.call(
        "ReceiveMessage",
        wait=WAIT,
        MaxNumberOfMessages=count,
        WaitTimeSeconds=WAIT,
        VisibilityTimeout=LEASE,
        MessageSystemAttributeNames=SYSTEM,
    )
    now = clock.monotonic()
    return [incoming_of(each, now, LEASE) for each in answer.get("Messages", ())]
