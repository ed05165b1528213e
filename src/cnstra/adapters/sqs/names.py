"""What SQS lets queues, groups and repeats be called."""

import re
from hashlib import sha256

from cnstra.adapters.sqs.location import Location
from cnstra.errors import InvalidOption

FIFO = ".fifo"
DEAD = "-dead"
LONGEST_NAME = 80
NAME = re.compile(r"[A-Za-z0-9_-]+")
TOKEN = re.compile(r"[!-~]{1,128}")


def names_of(queue: str, location: Location) -> tuple[str, str]:
    """The names of the queue and of its dead letters. Raises `InvalidOption`."""
    whole = location.prefix + queue
    stem = whole.removesuffix(FIFO)
    ending = FIFO if location.is_fifo or whole.endswith(FIFO) else ""
    dead = f"{stem}{DEAD}{ending}"
    if NAME.fullmatch(stem) is None or len(dead) > LONGEST_NAME:
        room = LONGEST_NAME - len(DEAD) - len(ending)
        remedy = f"SQS takes {room} of A-Z, a-z, 0-9, _ and - here, prefix included"
        raise InvalidOption(option="name", value=queue, remedy=remedy)
    return stem + ending, dead


def token(text: str) -> str:
    """The text, or its digest where SQS would not have it as a group or a deduplication id."""
    return text if TOKEN.fullmatch(text) else sha256(text.encode()).hexdigest()
