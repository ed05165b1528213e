"""The jobs that this broker has leased, by their runs."""

from hashlib import blake2b

import msgspec

from cnstra.adapters.bullmq.options import JobOptions
from cnstra.adapters.bullmq.wire import Fields


class Lease(msgspec.Struct):
    """A leased job.

    fields, options: the job, as it was then. duration: seconds.
    native: its id in BullMQ. token: what its lock holds. proof: the token of its delivery, which is
    both. epoch: the run's.
    carried: the progress that came with the job.
    afresh: whether the store holds nothing of the run that counts: the first write begins it.
    is_stored: whether the store may hold anything of the run: else a settlement need not touch it.
    """

    fields: Fields
    options: JobOptions
    duration: float
    native: bytes
    token: bytes
    proof: str
    run: str
    epoch: int
    carried: bytes | None
    afresh: bool
    is_stored: bool

    def origin(self) -> bytes:
        """What tells the carried progress from any that is written later."""
        return origin_of(self.carried)


def origin_of(progress: bytes | None) -> bytes:
    """A digest of a job's progress; empty where it has none."""
    return b"" if progress is None else blake2b(progress, digest_size=12).hexdigest().encode()
