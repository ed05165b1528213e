"""What people ask about the jobs of a broker of messages, and do to them."""

import dataclasses
from collections.abc import Sequence
from contextlib import suppress

from msgspec.structs import replace

from cnstra.clock import Clock
from cnstra.durable.store import Patch, ProgressStore, Ticket
from cnstra.engine.tasks import error_to_wire
from cnstra.errors import Fenced, JobCancelled, StoreRequired
from cnstra.jobs.broker import JobRecord, JobState
from cnstra.jobs.ledger import Entry, Ledger
from cnstra.jobs.leftovers import Leftovers
from cnstra.jobs.message import Message, read_message
from cnstra.jobs.post import Post
from cnstra.jobs.transport import Transport


class Records:
    """The jobs of one queue. Without a store, only the dead letters can be looked through."""

    def __init__(
        self,
        transport: Transport,
        queue: str,
        ledger: Ledger | None,
        store: ProgressStore | None,
        clock: Clock,
        post: Post,
    ) -> None:
        self._transport = transport
        self._queue = queue
        self._ledger = ledger
        self._store = store
        self._clock = clock
        self._post = post
        self._leftovers = Leftovers(transport, self._read)

    async def get(self, job_id: str) -> JobRecord | None:
        """A job, as its record has it."""
        ledger, store = self._required("looking up a job")
        entry = await ledger.look(job_id)
        if entry is None or entry.over == "removed":
            return None
        run = await store.peek(entry.header.run)
        is_held = run is not None and (run.held or run.result is not None)
        state = self._state(entry, is_held=is_held)
        record = _record(Message(entry.header, await ledger.data(job_id) or b""), state)
        finished_at = entry.dead_since if state == "dead" else entry.finished_at
        result = run.result if run is not None and state == "completed" else None
        return dataclasses.replace(record, finished_at=finished_at, result=result)

    async def dead(self, limit: int) -> Sequence[JobRecord]:
        """The dead letters, newest first. What a death has left of others is swept out."""
        found: dict[str, JobRecord] = {}

        async def look(body: bytes) -> bool:
            message = self._read(body)
            if not await self._is_dead(message):
                return True
            found[message.header.id] = _record(message, "dead")
            return False

        await self._leftovers.swept()
        await self._transport.sift(look)
        return list(found.values())[::-1][:limit]

    async def cancel(self, job_id: str) -> bool:
        """End a job: now, or when its worker hears of it."""
        ledger, store = self._required("cancelling a job")
        entry = await ledger.look(job_id)
        if entry is None or entry.over or entry.dead_since is not None:
            return False
        run = await store.peek(entry.header.run)
        runs = entry.guard is not None or (run is not None and run.held)
        now, error = self._clock.time(), error_to_wire(JobCancelled())

        def end(one: Entry) -> Entry:
            if runs:
                return replace(one, cancelled=True)
            header = replace(one.header, error=dict(error), run_at=None)
            return replace(one, header=header, dead_since=now)

        after = await ledger.change(job_id, end)
        return after is not None and not after.over

    async def redrive(self, job_id: str) -> bool:
        """Send a dead job again, with all its attempts."""
        if self._ledger is None:
            return await self._redrive_letter(job_id)
        ledger, store = self._required("redriving a job")
        entry = await ledger.look(job_id)
        if entry is None or entry.over or entry.dead_since is None:
            return False
        await _clear_counters(store, entry.header.run)
        message = Message(entry.header, await ledger.data(job_id) or b"")
        again = _afresh(message)
        await self._post.send([again])

        def revive(one: Entry) -> Entry:
            if one.header.generation >= again.header.generation:
                return one  # a worker has it already, and may have ended it
            return replace(one, header=again.header, dead_since=None, cancelled=False)

        await ledger.change(job_id, revive)
        self._leftovers.add(job_id, again.header.generation)
        return True

    async def remove(self, job_id: str) -> bool:
        """Drop a job that nobody runs, and what is stored of it."""
        ledger, store = self._required("removing a job")
        entry = await ledger.look(job_id)
        if entry is None or entry.over == "removed":
            return False
        run = await store.peek(entry.header.run)
        if run is not None and run.held:
            return False
        await store.forget(entry.header.run)
        if entry.dead_since is not None:
            await self._drop_letter(job_id)
        if entry.over is None:  # last: until then it can be asked again
            await ledger.close(job_id, "removed")
        else:
            await ledger.forget(job_id)
        return True

    async def settled(self, patience: float | None = None) -> None:
        """Returns once nothing is done any more behind those who asked, or after `patience` seconds
        for each pass over the dead letters.
        """
        await self._leftovers.swept(patience)

    # --- inside

    def _required(self, what: str) -> tuple[Ledger, ProgressStore]:
        if self._ledger is None or self._store is None:
            raise StoreRequired(what=what)
        return self._ledger, self._store

    def _state(self, entry: Entry, *, is_held: bool) -> JobState:
        if entry.over is not None:
            return "completed"
        if entry.dead_since is not None:
            return "dead"
        if is_held or entry.guard is not None:
            return "active"
        return "delayed" if (entry.header.run_at or 0.0) > self._clock.time() else "waiting"

    def _read(self, body: bytes) -> Message:
        return read_message(body, self._queue, "", 0.0)

    async def _is_dead(self, message: Message) -> bool:
        """Whether a dead letter is no leftover of a job that was redriven or removed since."""
        if self._ledger is None:
            return True
        entry = await self._ledger.look(message.header.id)
        if entry is None:
            return True
        is_outgrown = message.header.generation < entry.header.generation
        return entry.dead_since is not None and entry.over is None and not is_outgrown

    async def _redrive_letter(self, job_id: str) -> bool:
        found = False

        async def send_again(body: bytes) -> bool:
            nonlocal found
            message = self._read(body)
            if message.header.id != job_id:
                return False
            await self._post.send([_afresh(message)])
            found = True
            return True

        await self._transport.sift(send_again)
        return found

    async def _drop_letter(self, job_id: str) -> None:
        async def is_it(body: bytes) -> bool:
            return self._read(body).header.id == job_id

        await self._transport.sift(is_it)


def _afresh(message: Message) -> Message:
    """The job with all its attempts, due now."""
    generation = message.header.generation + 1
    return message.changed(generation=generation, attempts=0, error=None, run_at=None)


def _record(message: Message, state: JobState) -> JobRecord:
    header = message.header
    return JobRecord(
        id=header.id,
        state=state,
        data=message.data,
        run=header.run,
        attempts_made=header.attempts,
        max_attempts=header.max_attempts,
        created_at=header.created_at,
        backoff=header.backoff,
        priority=header.priority,
        run_at=header.run_at,
        error=header.error,
        progress=header.carried,
    )


async def _clear_counters(store: ProgressStore, run: str) -> None:
    """Drop the crash counters of a run, and refuse what an earlier holder may still send."""
    while True:
        saved = await store.load(run)
        counters = {key for key in saved.entries if key.startswith("s/")}
        ticket = Ticket(run, saved.epoch, saved.seq + 1)
        with suppress(Fenced):
            await store.commit(ticket, Patch(deletes=counters, release=True))
            return
