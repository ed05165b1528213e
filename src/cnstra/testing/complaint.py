"""Something that is wrong with a job."""

from typing import NamedTuple


class Complaint(NamedTuple):
    """What is wrong. about: what with; those about the same are told once."""

    about: str
    what: str
