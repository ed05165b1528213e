"""SQLite's store with a fault of its own, `amiss:///FILE?fault=NAME`: what a suite must see."""

import asyncio
from dataclasses import replace
from typing import Any

from cnstra.clock import Clock
from cnstra.durable.adapters import adapter_for
from cnstra.durable.store import Patch, ProgressStore, Saved, Ticket


class Amiss:
    """A store that is sound but for what a subclass does."""

    def __init__(self, inner: ProgressStore) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class WritesForAnyone(Amiss):
    """Does not ask for the epoch."""

    async def commit(self, ticket: Ticket, patch: Patch) -> None:
        saved = await self.inner.peek(ticket.run)
        epoch = ticket.epoch if saved is None else saved.epoch
        await self.inner.commit(replace(ticket, epoch=epoch), patch)


class RepeatsWrites(Amiss):
    """Takes the repeat of a lost reply for another write."""

    async def commit(self, ticket: Ticket, patch: Patch) -> None:
        saved = await self.inner.peek(ticket.run)
        again = saved is not None and saved.seq == ticket.seq
        await self.inner.commit(replace(ticket, seq=ticket.seq + again), patch)


class WritesHalves(Amiss):
    """Writes the puts of a patch, then its deletes."""

    async def load(self, run: str) -> Saved:
        saved = await self.inner.load(run)
        return replace(saved, seq=(saved.seq + 1) // 2)

    async def commit(self, ticket: Ticket, patch: Patch) -> None:
        await self.inner.commit(replace(ticket, seq=2 * ticket.seq - 1), Patch(patch.puts))
        await asyncio.sleep(0.01)
        rest = Patch({}, patch.deletes - patch.puts.keys(), patch.release)
        await self.inner.commit(replace(ticket, seq=2 * ticket.seq), rest)


class AnswersEarly(Amiss):
    """Says that a write has landed while it has not."""

    waiting: asyncio.Task[None] | None = None

    async def commit(self, ticket: Ticket, patch: Patch) -> None:
        if self.waiting is not None:
            await self.waiting
        self.waiting = asyncio.ensure_future(self._later(ticket, patch))

    async def _later(self, ticket: Ticket, patch: Patch) -> None:
        await asyncio.sleep(0.05)
        await self.inner.commit(ticket, patch)


class KeepsNoResult(Amiss):
    """Forgets a run that is over."""

    async def finish(self, ticket: Ticket, result: bytes, keep: float | None) -> None:
        await self.inner.finish(ticket, result, keep)
        await self.inner.forget(ticket.run)


class NeverReleases(Amiss):
    """Does not note that an attempt ended by itself."""

    async def commit(self, ticket: Ticket, patch: Patch) -> None:
        await self.inner.commit(ticket, replace(patch, release=False))


FAULTS = {
    one.__name__: one
    for one in (
        WritesForAnyone,
        RepeatsWrites,
        WritesHalves,
        AnswersEarly,
        KeepsNoResult,
        NeverReleases,
    )
}


def store(url: str, clock: Clock) -> Any:
    place, _, fault = url.replace("amiss://", "sqlite://").partition("?fault=")
    return FAULTS.get(fault, Amiss)(adapter_for(place).store(place, clock))
