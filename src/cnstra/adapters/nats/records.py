"""What is kept of a run: a log of records on one key, the last of which says where it stands.

A record holds what one write has changed, and where the records before it are; a base holds all
there was, and begins the log anew. What is larger than a message is kept in parts, which count for
nothing until the joint after them says that they belong together.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from cnstra.durable.store import Saved

REMEMBERED = 16
"""How many records before it a record names: as many are read at once."""


class Record(msgspec.Struct, kw_only=True, frozen=True, tag="r", omit_defaults=True):
    """A write to a run, and where the run stands after it.

    released: the last epoch that ended by itself. back: the revisions of the records before, the
    last one last; none before a base. logged: bytes written since the base, whose size is `base`.
    """

    epoch: int
    seq: int = 0
    released: int = 0
    result: bytes | None = None
    expires_at: float | None = None
    puts: dict[bytes, bytes] = {}
    deletes: list[bytes] = []
    back: list[int] = []
    logged: int = 0
    base: int = 0

    @property
    def is_base(self) -> bool:
        return not self.back

    def is_expired(self, now: float) -> bool:
        return self.expires_at is not None and self.expires_at <= now


class Part(msgspec.Struct, kw_only=True, frozen=True, tag="p"):
    """A piece of what was too large. standing: the revision of the record that stands meanwhile."""

    standing: int
    data: bytes


class Joint(msgspec.Struct, kw_only=True, frozen=True, tag="j"):
    """A record in parts, which are at these revisions."""

    parts: list[int]


@dataclass(frozen=True, slots=True)
class Head:
    """Where a run stands. last: the key's last revision, to which the next write must follow.
    revision: that of the record. The first run of a name has none.
    """

    last: int = 0
    revision: int = 0
    record: Record | None = None


NOTHING = Head()

encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Record | Part | Joint).decode
decode_record = msgspec.msgpack.Decoder(Record).decode


def folded(records: Iterable[Record]) -> dict[bytes, bytes]:
    """The entries after all these records, a base first."""
    entries: dict[bytes, bytes] = {}
    for record in records:
        for key in record.deletes:
            entries.pop(key, None)
        entries.update(record.puts)
    return entries


def saved_of(record: Record, entries: dict[bytes, bytes], *, held: bool) -> Saved:
    """A run as its holder sees it."""
    return Saved(
        epoch=record.epoch,
        seq=record.seq,
        entries={key.decode("utf-8", "surrogatepass"): value for key, value in entries.items()},
        held=held and record.result is None,
        result=record.result,
    )
