"""What is known of the jobs of a broker that cannot look up its messages: a record in the store.

The record is the truth about a job, its messages are only its turns: one that the record has
outgrown is dropped, and a second copy of one that stands does no harm. A record is written as a run
is, whole or not at all, and expires as a result does.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Literal

import msgspec

from cnstra.clock import Clock
from cnstra.durable.store import Patch, ProgressStore, Saved, Ticket
from cnstra.engine.payloads import encode_json
from cnstra.errors import Fenced
from cnstra.jobs.message import Header, Message

WORDS, DATA, PAUSED = "job", "data", "paused"


class Entry(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True, rename="camel"):
    """What the ledger holds of a job beside its data.

    sent: its first message is safe with the broker.
    dead_since: since when it is in the dead letters.
    cancelled: its worker shall end it.
    guard: the token of the worker that has it without a message.
    guarded_until: until when whoever has it, with a message or without, may be taken to live, by
    that worker's clock. Clocks that disagree delay a takeover or hurry it: the store's fence is
    what keeps two holders apart.
    over: it will never run again, since `finished_at`.
    """

    header: Header
    sent: bool = False
    dead_since: float | None = None
    cancelled: bool = False
    guard: str | None = None
    guarded_until: float = 0.0
    over: Literal["completed", "removed"] | None = None
    finished_at: float | None = None

    @property
    def generation(self) -> int:
        return self.header.generation


class Final(msgspec.Struct, kw_only=True, frozen=True):
    """What stays of a job that is over, as the result of its record."""

    entry: Entry
    data: bytes


Change = Callable[[Entry], Entry]

_entry = msgspec.json.Decoder(Entry).decode
_final = msgspec.json.Decoder(Final).decode


class Ledger:
    """The records of one queue's jobs. They are kept for `keep` seconds after a job is over."""

    def __init__(self, queue: str, store: ProgressStore, clock: Clock, keep: float) -> None:
        self._queue = queue
        self._store = store
        self._clock = clock
        self._keep = keep

    # --- looking

    async def look(self, job_id: str) -> Entry | None:
        """What is known of a job."""
        saved = await self._store.peek(self._name(job_id))
        return None if saved is None else _entry_in(saved)

    async def data(self, job_id: str) -> bytes | None:
        """The data of a job."""
        saved = await self._store.peek(self._name(job_id))
        if saved is None:
            return None
        return saved.entries.get(DATA) if saved.result is None else _final(saved.result).data

    # --- writing

    async def accept(self, message: Message, *, sent: bool = False) -> tuple[Entry, bool]:
        """Enter a job, if the ledger does not hold it; what it holds then, and whether it is new.

        sent: the broker has its message already. An id that was minted for the job, its run's, is
        not looked for first, and nobody asks whether it was sent: who adds it again sends it again.
        """
        header = message.header
        name, is_minted = self._name(header.id), message.has_minted_id
        while True:
            known = None if is_minted and not sent else await self.look(header.id)
            if known is not None:
                return known, False
            saved = await self._store.load(name)
            if (known := _entry_in(saved)) is not None:
                return known, False
            entry = Entry(header=header, sent=sent or is_minted)
            if await self._write(name, saved, entry, message.data):
                return entry, True

    async def change(self, job_id: str, change: Change) -> Entry | None:
        """Change what is known of a job, whoever else does so meanwhile; what is known then.

        One that is over, or unknown, stays so.
        """
        name = self._name(job_id)
        while True:
            known = await self.look(job_id)
            if known is None or known.over or change(known) == known:
                return known
            saved = await self._store.load(name)
            known = _entry_in(saved)
            if known is None or known.over:
                return known
            entry = change(known)
            if entry == known or await self._write(name, saved, entry):
                return entry

    async def close(self, job_id: str, how: Literal["completed", "removed"]) -> None:
        """Note that a job is over. The record is dropped when its time is up."""
        name = self._name(job_id)
        while True:
            saved = await self._store.load(name)
            known = _entry_in(saved)
            if known is None or known.over:
                return
            entry = msgspec.structs.replace(known, over=how, finished_at=self._clock.time())
            final = encode_json(Final(entry=entry, data=saved.entries.get(DATA, b"")))
            ticket = Ticket(name, saved.epoch, saved.seq + 1)
            with suppress(Fenced):
                await self._store.finish(ticket, final, self._keep)
                return

    async def forget(self, job_id: str) -> None:
        """Drop the record of a job that is over, or never was."""
        await self._store.forget(self._name(job_id))

    # --- the queue itself

    async def paused(self) -> bool:
        """Whether the queue is paused."""
        saved = await self._store.peek(self._name(None))
        return saved is not None and PAUSED in saved.entries

    async def pause(self, paused: bool) -> None:
        """Pause the queue, or let it go on."""
        name = self._name(None)
        patch = Patch(puts={PAUSED: b"1"}) if paused else Patch(deletes={PAUSED})
        patch.release = True
        while True:
            saved = await self._store.load(name)
            with suppress(Fenced):
                await self._store.commit(Ticket(name, saved.epoch, saved.seq + 1), patch)
                return

    # --- inside

    def _name(self, job_id: str | None) -> str:
        """The name of a record: no two queues and ids have the same."""
        queue = f"cnstra:queue:{len(self._queue)}:{self._queue}"
        return queue if job_id is None else f"{queue}:job:{job_id}"

    async def _write(
        self, name: str, saved: Saved, entry: Entry, data: bytes | None = None
    ) -> bool:
        """Whether it was written, because nobody else did meanwhile."""
        patch = Patch(puts={WORDS: encode_json(entry)}, release=True)
        if data is not None:
            patch.puts[DATA] = data
        try:
            await self._store.commit(Ticket(name, saved.epoch, saved.seq + 1), patch)
        except Fenced:
            return False
        return True


def _entry_in(saved: Saved) -> Entry | None:
    if saved.result is not None:
        return _final(saved.result).entry
    words = saved.entries.get(WORDS)
    return None if words is None else _entry(words)
