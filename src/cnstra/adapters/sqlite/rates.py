"""How many jobs of a queue may start now, counted across all processes."""

import sqlite3

from cnstra.adapters.sqlite.statements import statement
from cnstra.jobs.limits import RateLimit

FIND_WINDOW = statement("find_window")
SAVE_WINDOW = statement("save_window")

Window = tuple[float, int]
"""When it opened, and how many jobs started in it."""


def window(connection: sqlite3.Connection, queue: int, rate: RateLimit, now: float) -> Window:
    """The open window, or an empty one that opens now."""
    found: Window | None = connection.execute(FIND_WINDOW, (queue,)).fetchone()
    if found is None or not found[0] <= now < found[0] + rate.per:
        return now, 0
    return found


def count(connection: sqlite3.Connection, queue: int, within: Window, started: int) -> None:
    opened_at, already = within
    connection.execute(SAVE_WINDOW, (queue, opened_at, already + started))
