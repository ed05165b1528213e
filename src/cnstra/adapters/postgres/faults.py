"""What went wrong at the server, and what that means for whoever asked."""

import psycopg

DEADLOCK, SERIALIZATION, LOCKED = "40P01", "40001", "55P03"
_OF_THE_SERVER = (
    "08", "25006", "3D", "3F", "40", "42501", "42883", "42P01", "53", "55", "57", "58", "XX",
)  # fmt: skip
"""States, or the classes of states, that more attempts or a person may mend: connections, standbys,
what is not there or not allowed, locks, full disks, shutdowns, time limits."""


class Unreachable(Exception):
    """The server cannot serve us just now."""


def is_of_the_server(error: BaseException) -> bool:
    """Whether the server, or the way to it, is to blame; else it is a mistake in this program."""
    if isinstance(error, Unreachable | psycopg.InterfaceError | OSError):
        return True
    if not isinstance(error, psycopg.Error):
        return False
    if error.sqlstate is None:
        return isinstance(error, psycopg.OperationalError)
    return error.sqlstate.startswith(_OF_THE_SERVER)


def is_worth_another_try(error: BaseException) -> bool:
    """Whether it was the fault of a transaction that ran at the same time."""
    return isinstance(error, psycopg.Error) and error.sqlstate in (DEADLOCK, SERIALIZATION)


def is_of_one_alone(error: BaseException) -> bool:
    """Whether other items of the same batch may well be done without the one that caused it."""
    waits_for_others = isinstance(error, psycopg.Error) and error.sqlstate == LOCKED
    return waits_for_others or is_worth_another_try(error) or not is_of_the_server(error)


def reason_of(error: BaseException) -> str:
    """What it was, on one line."""
    return " ".join(str(error).split()) or type(error).__name__
