"""What becomes of a message that was taken, and of the job in it."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec.structs import replace

from cnstra.clock import Clock
from cnstra.engine.tasks import error_to_wire
from cnstra.errors import JobCancelled, LeaseLost, StoreUnavailable
from cnstra.jobs.broker import LeaseState
from cnstra.jobs.ledger import Entry, Ledger
from cnstra.jobs.message import Header, Message
from cnstra.jobs.post import Post
from cnstra.jobs.settlement import (
    Completed,
    DeadLettered,
    Lost,
    Requeued,
    Retry,
    Settlement,
)
from cnstra.jobs.transport import Incoming, Transport


@dataclass(slots=True)
class Turn:
    """A job in this process's hands, as `token` proves. `incoming` is `None` once it was handed
    over to the store.
    """

    token: str
    message: Message
    incoming: Incoming | None
    lease: float
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by whoever writes the record, so that no late renewal guards a job that was given back.
    """
    ends: bool = False
    """Whether it is being settled."""

    @property
    def job_id(self) -> str:
        return self.message.header.id


class Turns:
    """Whatever changes is written to the job's record and then told to the broker, or sent first
    and acknowledged last.
    """

    def __init__(
        self, transport: Transport, post: Post, ledger: Ledger | None, clock: Clock
    ) -> None:
        self._transport = transport
        self._post = post
        self._ledger = ledger
        self._clock = clock

    # --- a message that was taken

    async def job_of(self, message: Message, incoming: Incoming) -> Message | None:
        """The job as its record has it; `None` if this message is not its turn and was seen to."""
        now = self._clock.time()
        due_at = message.header.run_at or 0.0
        if self._ledger is not None:
            entry = await self._entry(self._ledger, message)
            if entry.over or message.header.generation < entry.header.generation:
                await self._transport.done(incoming)
                return None
            if entry.cancelled:
                entry = await self._end(self._ledger, entry, error_to_wire(JobCancelled()))
            if entry.dead_since is not None:
                dead = message.changed(attempts=entry.header.attempts, error=entry.header.error)
                await self._post.bury(incoming, dead)
                return None
            due_at = max(entry.guarded_until, entry.header.run_at or 0.0)
            if due_at <= now and entry.guard is not None:
                entry = await self._ledger.change(entry.header.id, _unguarded) or entry
            message = await self.whole(entry, message)
        if due_at > now:
            await self._post.later(message, incoming, due_at - now)
            return None
        return message

    async def _entry(self, ledger: Ledger, message: Message) -> Entry:
        """The job's record; that of a job which others put there is made now."""
        words = replace(message.header, progress=msgspec.UNSET, elsewhere=False)
        entry, _ = await ledger.accept(Message(words, message.data), sent=True)
        if entry.over or message.header.generation <= entry.header.generation:
            return entry
        return await ledger.change(words.id, lambda one: _outgrown(one, words)) or entry

    async def whole(self, entry: Entry, message: Message | None = None) -> Message:
        """The job with the words of its record, and its data, wherever that is."""
        assert self._ledger is not None
        data = message.data if message is not None else b""
        if not data:
            data = await self._ledger.data(entry.header.id) or b""
        return Message(entry.header, data)

    async def renew(self, turn: Turn, lease: float) -> LeaseState:
        """Whether a job is still ours, and still to be done.

        The record is told how long, so that another message of the job waits and does not take it
        from a worker that lives. It is told by renewals alone: what ends within a third of its
        lease writes nothing more. A copy that comes before that takes the job over once; whoever
        lost it comes back a lease later, when the new holder has long renewed its own.
        """
        if self._ledger is None:
            return "kept"
        until = self._clock.time() + lease

        def prolong(one: Entry) -> Entry:
            is_ours = turn.incoming is not None or one.guard == turn.token
            if turn.ends or one.dead_since is not None or not is_ours:
                return one
            return replace(one, guarded_until=max(one.guarded_until, until))

        try:
            async with turn.writing:
                entry = await self._ledger.change(turn.job_id, prolong)
        except StoreUnavailable:
            return "kept"
        if entry is None or entry.over:
            return "lost"
        if turn.incoming is None and entry.guard != turn.token:
            return "lost"
        return "cancelled" if entry.cancelled or entry.dead_since is not None else "kept"

    async def hand_over(self, turn: Turn, lease: float) -> None:
        """Go on with a job under the store's lease, its message acknowledged before it is taken
        away; a copy in the queue takes the job up again should that lease run out.
        """
        if self._ledger is None or turn.incoming is None:
            return
        until = self._clock.time() + lease
        await self._ledger.change(
            turn.job_id, lambda one: replace(one, guard=turn.token, guarded_until=until)
        )
        await self._post.send([turn.message], lease, mark=f"@{turn.token}")
        await self._transport.done(turn.incoming)
        turn.incoming = None

    # --- a job that was run

    async def settle(self, turn: Turn, settlement: Settlement) -> None:
        turn.ends = True
        async with turn.writing:
            await self._settle(turn, settlement)

    async def _settle(self, turn: Turn, settlement: Settlement) -> None:
        made = turn.message.header.attempts + 1
        match settlement:
            case Completed():
                if self._ledger is not None:
                    await self._ledger.close(turn.job_id, "completed")
                if turn.incoming is not None:
                    await self._transport.done(turn.incoming)
            case Retry(delay, progress, error):
                await self._again(turn, delay, progress, attempts=made, error=dict(error))
            case Requeued(progress, delay):
                await self._again(turn, delay, progress)
            case DeadLettered(error, progress):
                await self._bury(turn, progress, attempts=made, error=dict(error))
            case Lost():
                if turn.incoming is not None:
                    await self._let_go(turn.message, turn.incoming, turn.lease)

    async def _let_go(self, message: Message, incoming: Incoming, lease: float) -> None:
        """Have a message there again in a lease: whoever has its job now shall end it in peace.

        One that is not ours comes back without us. A copy of it would be a second job, where no
        record tells.
        """
        if self._post.can_put_back(0.0 if self._ledger is None else lease):
            await self._post.put_back(incoming, lease)
        elif self._ledger is not None and all(await self._transport.keep([incoming], lease)):
            await self._post.later(message, incoming, lease)

    async def _require_ours(self, turn: Turn) -> None:
        """Raise `LeaseLost` for a job that is there again by itself, if no record tells that what
        is sent in its place is the same job.
        """
        if self._ledger is not None or turn.incoming is None:
            return
        if not all(await self._transport.keep([turn.incoming], turn.lease)):
            raise LeaseLost(job_id=turn.job_id)

    async def _again(self, turn: Turn, delay: float, progress: bytes | None, **words: Any) -> None:
        """Have the job run again in `delay` seconds, with these words about it."""
        words["run_at"] = self._clock.time() + delay if delay > 0 else None
        header, incoming = turn.message.header, turn.incoming
        in_place = incoming is None or self._post.can_put_back(delay)
        if self._ledger is not None and in_place:
            await self._ledger.change(header.id, lambda one: _unguarded(_reworded(one, words)))
            if incoming is not None:
                await self._post.put_back(incoming, delay)
            return
        await self._require_ours(turn)
        if self._ledger is None and progress is not None:
            words["progress"] = msgspec.Raw(progress)
        message = turn.message.changed(generation=header.generation + 1, **words)
        await self._post.send([message], delay)
        if self._ledger is not None:
            await self._ledger.change(header.id, lambda one: _outgrown(one, message.header))
        if incoming is not None:
            await self._transport.done(incoming)

    async def _bury(self, turn: Turn, progress: bytes | None, **words: Any) -> None:
        """Put the job into the dead letters, with these words about it."""
        await self._require_ours(turn)
        if self._ledger is not None:
            entry = Entry(header=replace(turn.message.header, **words))
            await self._end(self._ledger, entry, words["error"])
        if turn.incoming is not None:
            dead = turn.message.changed(**words)
            if self._ledger is None and progress is not None:
                resumed = dead.changed(progress=msgspec.Raw(progress))
                await self._post.bury(turn.incoming, resumed, dead)
            else:
                await self._post.bury(turn.incoming, dead)

    async def _end(self, ledger: Ledger, entry: Entry, error: Mapping[str, Any]) -> Entry:
        """Note that a job is dead, since now."""
        words = {"attempts": entry.header.attempts, "error": dict(error), "run_at": None}
        since = self._clock.time()

        def end(one: Entry) -> Entry:
            if one.dead_since is not None:
                return one
            dead = replace(one, dead_since=since, cancelled=False)
            return _unguarded(_reworded(dead, words))

        return await ledger.change(entry.header.id, end) or entry


def _unguarded(entry: Entry) -> Entry:
    return replace(entry, guard=None, guarded_until=0.0)


def _reworded(entry: Entry, words: Mapping[str, Any]) -> Entry:
    return replace(entry, header=replace(entry.header, **words))


def _outgrown(entry: Entry, header: Header) -> Entry:
    """The record once a message of a later generation is out, whoever writes it down."""
    if entry.header.generation >= header.generation:
        return entry
    return replace(_unguarded(entry), header=header, sent=True, dead_since=None)
