"""What may be wrong with a queue of SQS."""

from collections.abc import Sequence

from cnstra.adapters.sqs.place import Place
from cnstra.jobs.diagnosis import Finding

DAY = 24 * 3600
SHORT = 4 * DAY
"""Seconds of retention below which a weekend may lose jobs; also what SQS has by default."""

ASKED = ["MessageRetentionPeriod", "RedrivePolicy", "VisibilityTimeout"]


async def findings(place: Place) -> Sequence[Finding]:
    """All that its attributes tell."""
    answer = await place.call("GetQueueAttributes", AttributeNames=ASKED)
    found = answer["Attributes"]
    retention, visibility = int(found["MessageRetentionPeriod"]), found["VisibilityTimeout"]
    kept = f"{place.name} keeps messages for {retention / DAY:g} days"
    told = [Finding("ok", "sqs", f"{kept}; a job's lease takes the place of its {visibility} s")]
    if retention <= SHORT:
        message = f"{kept}, and then deletes them: 14 can be had"
        told.append(Finding("warning", "sqs", message))
    if "RedrivePolicy" in found:
        message = (
            f"{place.name} has a redrive policy: SQS moves jobs away by a count that is not ours. "
            "Take it off, or set its maxReceiveCount to 1000"
        )
        told.append(Finding("warning", "sqs", message))
    return told
