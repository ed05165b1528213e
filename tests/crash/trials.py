"""One job of one graph, with faults; and what came of it."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from cnstra import Queue, Worker
from cnstra.clock import Clock
from cnstra.durable.adapters import adapter_for
from cnstra.durable.journal import Durability
from cnstra.errors import BrokerUnavailable, Fenced, StoreUnavailable
from cnstra.jobs.messages import MessageBroker
from tests import mail
from tests.crash.lives import Fault, Life, MortalBroker, MortalStore, MortalTransport
from tests.crash.shapes import Shape
from tests.crash.virtual import LoopClock, SameLoop
from tests.crash.witness import Line, Memory, Witness

JOB = "job"
GRACE = 0.01
"""Seconds: a handler that obeys an abort does so in less."""

MOST_LIVES = 12
LONGEST_LIFE = 100.0
"""Seconds, of the loop's time."""

ENQUEUER = -1
"""The number of the life that adds the job."""

FIRST_RIVAL = 1000
"""The number of the life that is the first worker's rival."""


class Travels(Clock, Protocol):
    def travel(self, duration: float) -> None: ...


@dataclass(frozen=True)
class Ground:
    """Where trials take place: a broker, and the store beside it where it is one of messages.

    lease: seconds; a worker waits that long for what it has lost.
    """

    url: str
    store: str | None = None
    clock: Callable[[], Travels] = LoopClock
    lease: float = 0.6

    def queue(self, clock: Clock, life: Life | None = None) -> Queue:
        """As one worker has it; without one, as a bystander does."""
        queue = Queue("q", self.url, clock=clock, keep_results=10**9)
        queue.io = SameLoop()
        broker: Any = queue.broker
        if self.store is not None:
            broker = self._of_messages(queue, self.store, life)
        elif life is not None:
            broker = MortalBroker(broker, life)
        queue.broker = broker
        return queue

    def _of_messages(self, queue: Queue, url: str, life: Life | None) -> MessageBroker:
        store: Any = adapter_for(url).store(url, queue.clock)
        transport: Any = mail.transport("q", self.url, queue.clock)
        if life is not None:
            store, transport = MortalStore(store, life), MortalTransport(transport, life)
        return MessageBroker(
            transport, "q", queue.clock, queue.keep_results, store, brings_store=True
        )


@dataclass(frozen=True)
class Trial:
    """faults: of each worker in turn; those that come after them have none. enqueuing: of whoever
    adds the job, and does so again.
    """

    shape: Shape
    durability: Durability
    faults: tuple[tuple[Fault, ...], ...] = ()
    enqueuing: tuple[Fault, ...] = ()

    def __str__(self) -> str:
        faults = (self.enqueuing, *self.faults) if self.enqueuing else self.faults
        told = "; ".join(", ".join(map(str, each)) or "none" for each in faults)
        return f"{self.shape.name}, {self.durability}: {told or 'no fault'}"


@dataclass
class Story:
    """What came of a trial. run: the id of the job's run. left: entries of progress that are still
    stored. calls: of each worker, and of whoever added the job. came: the faults that did.
    """

    run: str = ""
    state: str | None = None
    result: Any = None
    left: int = 0
    lives: int = 0
    lines: Sequence[Line] = ()
    calls: dict[int, Mapping[str, int]] = field(default_factory=dict[int, Mapping[str, int]])
    came: list[Fault] = field(default_factory=list[Fault])


class Stagehand:
    """Has one worker after the other work on the job until it is over."""

    def __init__(self, ground: Ground, trial: Trial, witness: Witness) -> None:
        self._ground = ground
        self._trial = trial
        self._witness = witness
        self._clock = ground.clock()
        self._jobs: dict[str, str] = {}
        self._story = Story()

    async def play(self) -> Story:
        story, shape = self._story, self._trial.shape
        async with self._ground.queue(self._clock) as queue:
            await self._enqueue()
            await self._add_to(queue)
            record = await queue.record(JOB)
            assert record is not None
            story.run = record.run
            self._jobs[record.run] = JOB
            redrives = shape.redrives
            while story.lives < MOST_LIVES:
                await self._one_life()
                self._clock.travel(2 * self._ground.lease)
                record = await queue.record(JOB)
                if record is not None and record.state == "dead" and redrives:
                    redrives -= 1
                    await queue.redrive(JOB)
                elif record is None or record.state in ("completed", "dead"):
                    break
            if record is not None:
                story.state = record.state
                story.result = None if record.result is None else json.loads(record.result)
                story.left = await _left_behind(queue, record.run)
            await queue.remove(JOB)
        story.lines = self._witness.lines()
        return story

    async def _enqueue(self) -> None:
        """Add the job, as somebody to whom something may happen; they may not get to its end."""
        life = self._new_life(ENQUEUER, self._trial.enqueuing)
        adding = asyncio.ensure_future(self._add_as(life))
        stalled = asyncio.ensure_future(life.stalled.wait())
        await asyncio.wait({adding, stalled}, return_when=asyncio.FIRST_COMPLETED)
        if stalled.done():
            self._clock.travel(2 * self._ground.lease)
            await self._add_as(self._new_life(ENQUEUER))
            life.goes_on.set()
        stalled.cancel()
        await adding
        self._story.calls[ENQUEUER] = life.calls
        self._story.came += life.came

    async def _add_as(self, life: Life) -> None:
        async with self._ground.queue(self._clock, life) as queue:
            with suppress(Fenced, BrokerUnavailable, StoreUnavailable):
                await self._add_to(queue)

    async def _add_to(self, queue: Queue) -> None:
        shape = self._trial.shape
        await queue.enqueue(shape.signal(JOB), job_id=JOB, max_attempts=shape.attempts)

    async def _one_life(self) -> None:
        """A worker until it ends, and its rivals; while it stands still, another in its place."""
        faults = self._trial.faults
        number = self._story.lives
        self._story.lives += 1
        mine = faults[number] if number < len(faults) else ()
        life = self._new_life(number, mine)
        rivals = [self._new_life(FIRST_RIVAL + number + n) for n in range(self._trial.shape.rivals)]
        running = asyncio.gather(*(self._live(one) for one in (life, *rivals)))
        stalled = asyncio.ensure_future(life.stalled.wait())
        ends = asyncio.FIRST_COMPLETED
        done, _ = await asyncio.wait({running, stalled}, timeout=LONGEST_LIFE, return_when=ends)
        if not done:
            self._story.lives += MOST_LIVES  # for ever, that is
            for one in (life, *rivals):
                one.die()
        if stalled.done():
            self._clock.travel(2 * self._ground.lease)
            await self._one_life()
            life.goes_on.set()
        stalled.cancel()
        await running
        self._story.came += life.came
        self._story.calls[number] = life.calls

    def _new_life(self, number: int, faults: Sequence[Fault] = ()) -> Life:
        lease = self._ground.lease
        return Life(number, self._witness, self._clock, self._jobs, faults, lease)

    async def _live(self, life: Life) -> None:
        async with self._ground.queue(self._clock, life) as queue:
            worker = Worker(
                queue,
                self._trial.shape.cns(life),
                results=["result"],
                durability=self._trial.durability,
                lease=self._ground.lease,
                grace=GRACE,
                crash_limit=None,
            )
            life.stop = worker.stop
            await worker.run(until_idle=True)


async def _left_behind(queue: Queue, run: str) -> int:
    store = queue.store
    assert store is not None
    saved = await store.peek(run)
    return 0 if saved is None else len(saved.entries)


async def play(ground: Ground, trial: Trial) -> Story:
    """See a trial through."""
    return await Stagehand(ground, trial, Memory()).play()
