"""SQLite's broker with a fault of its own, `broken:///FILE?fault=NAME`: what a suite must see."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from cnstra.clock import Clock
from cnstra.durable.adapters import adapter_for
from cnstra.durable.store import ProgressStore, Ticket
from cnstra.jobs.broker import Broker, NewJob
from cnstra.jobs.settlement import Completed, DeadLettered, Delivery, Requeued, Retry, Settlement


class Broken:
    """A broker that is sound but for what a subclass does."""

    def __init__(self, inner: Broker) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class AcksFirst(Broken):
    """Lets go of a job when it is delivered, before anything of it is stored."""

    async def receive(self, limit: int, **options: Any) -> Sequence[Delivery]:
        found = await self.inner.receive(limit, **options)
        for one in found:
            assert one.saved is not None
            ticket = Ticket(one.run, one.saved.epoch, one.saved.seq + 1)
            await self.inner.settle(one, Completed(b'{"results":[]}'), ticket)
        return found


class Settles(Broken):
    """Settles a job otherwise than it was told to."""

    def instead(self, settlement: Settlement) -> Settlement:
        return settlement

    async def settle(
        self, delivery: Delivery, settlement: Settlement, ticket: Any, ahead: Any = None
    ) -> Any:
        return await self.inner.settle(delivery, self.instead(settlement), ticket, ahead)


class LosesDelays(Settles):
    """Retries at once."""

    def instead(self, settlement: Settlement) -> Settlement:
        return replace(settlement, delay=0.0) if isinstance(settlement, Retry) else settlement


class DeliversTheDead(Settles):
    """Delivers a dead job again."""

    def instead(self, settlement: Settlement) -> Settlement:
        return Requeued(None) if isinstance(settlement, DeadLettered) else settlement


class ChargesReleases(Settles):
    """Counts a release as an attempt."""

    def instead(self, settlement: Settlement) -> Settlement:
        error = {"message": "released", "name": "Error", "stack": ""}
        return Retry(0.0, None, error) if isinstance(settlement, Requeued) else settlement


class Enqueues(Broken):
    """Accepts other jobs than it was given."""

    def instead(self, job: NewJob) -> NewJob:
        return job

    async def enqueue(self, jobs: Sequence[NewJob]) -> Sequence[bool]:
        return await self.inner.enqueue([self.instead(one) for one in jobs])


class RunsEarly(Enqueues):
    """Forgets when a job is due."""

    def instead(self, job: NewJob) -> NewJob:
        return replace(job, run_at=None)


class Truncates(Enqueues):
    """Keeps the beginning of what is large."""

    def instead(self, job: NewJob) -> NewJob:
        return replace(job, data=job.data[:100_000])


class IgnoresPriorities(Enqueues):
    """Says that it has priorities, and has none."""

    def instead(self, job: NewJob) -> NewJob:
        return replace(job, priority=0)


class AcceptsTwice(Enqueues):
    """Does not know the ids that it holds."""

    def instead(self, job: NewJob) -> NewJob:
        return replace(job, id=f"{job.id} {job.run}")


class LetsLeasesLapse(Broken):
    """Says that leases are renewed, and renews none."""

    async def renew(self, deliveries: Sequence[Delivery], lease: float) -> Any:
        return ["kept"] * len(deliveries)


class ForgetsLimits(Broken):
    """Hands out jobs faster than it was told to."""

    async def receive(self, limit: int, **options: Any) -> Sequence[Delivery]:
        return await self.inner.receive(limit, **{**options, "rate": None})


FAULTS = {
    one.__name__: one
    for one in (
        AcksFirst,
        LosesDelays,
        DeliversTheDead,
        ChargesReleases,
        RunsEarly,
        Truncates,
        IgnoresPriorities,
        AcceptsTwice,
        LetsLeasesLapse,
        ForgetsLimits,
    )
}


def broker(
    queue: str, url: str, clock: Clock, keep_results: float, store: ProgressStore | None = None
) -> Any:
    place, _, fault = url.replace("broken://", "sqlite://").partition("?fault=")
    inner = adapter_for(place).broker(queue, place, clock, keep_results)
    return FAULTS.get(fault, Broken)(inner)
