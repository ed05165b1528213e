"""One job on simulated processes, with what goes wrong on the way."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from itertools import count
from math import inf
from pathlib import Path
from random import getstate, seed, setstate
from tempfile import TemporaryDirectory
from threading import enumerate as enumerate_threads
from typing import Any

from cnstra.durable.adapters import adapter_for
from cnstra.durable.store import Patch, Saved, Ticket
from cnstra.engine.payloads import decode_json
from cnstra.errors import NotSimulated
from cnstra.jobs.queue import Queue
from cnstra.jobs.settlement import Completed, DeadLettered, Delivery, Settlement
from cnstra.jobs.worker import Worker
from cnstra.testing.faults import Fault, Kind, Point
from cnstra.testing.observation import Observation
from cnstra.testing.observed import context_of, observed
from cnstra.testing.report import headline
from cnstra.testing.simulation.life import Life, SimulatedIO
from cnstra.testing.simulation.plan import Plan
from cnstra.testing.simulation.sites import BrokerKind, site
from cnstra.testing.simulation.wire import Registry
from cnstra.testing.simulation.world import MOST_TURNS, Halt, World
from cnstra.testing.story import Story
from cnstra.testing.witness import Activation

QUEUE, JOB = "simulated", "job"
MOST_LIVES = 50
DRAIN = 86_400.0
"""Seconds that the processes have to end once the job has."""

_numbers = count()


class Trial:
    """Runs a job to its end, one process after the other, and sees what they do.

    within: virtual seconds after which a job that has not ended never will. lease: in place of the
    worker's own. most_renewals: of leases, after which the trial is broken off. make_world: makes,
    in a folder, what `build` is given.
    """

    def __init__(
        self,
        build: Callable[..., Worker],
        signal: Any,
        *,
        schedule: str,
        plan: Plan,
        options: Mapping[str, Any],
        within: float,
        broker: BrokerKind = "table",
        lease: float | None = None,
        most_renewals: float = inf,
        make_world: Callable[[Path], Any] | None = None,
    ) -> None:
        self.world = World(schedule)
        self._story = Story()
        self.seen = self._story.seen
        self._build = build
        self._make_world = make_world
        self._signal = signal
        self._schedule = schedule
        self._plan = plan
        self._options = options
        self._within = within
        self._lease = lease
        self._renewals_left = most_renewals
        self._url = f"memory://cnstra.testing {next(_numbers)}"
        self._site = site(broker, self._url, schedule)
        self._counts: Counter[tuple[str, str]] = Counter()
        self._lives: list[Life] = []
        self._is_settled = False
        self._run: str | None = None
        self.duration = 0.0
        self.is_broken = False

    def run(self) -> Observation:
        """The whole of it. Raises what keeps the application from starting."""
        if self._make_world is None:
            return self._run_through()
        with TemporaryDirectory(prefix="cnstra-world-") as folder:
            self._build = partial(self._build, self._make_world(Path(folder)))
            return self._run_through()

    def _run_through(self) -> Observation:
        chance = getstate()
        self._threads = {*enumerate_threads()}
        try:
            self._alone(self._enqueue)
            self.born(0.0)
            halt = self.world.run(self._has_ended, self._within)
            self.duration = self.world.now
            self._end()
            self._alone(self._look)
        finally:
            setstate(chance)
            for life in self._lives:
                life.bury()
            adapter_for(self._url).forget(self._url)
        broken = self._broken()
        if broken is not None:
            raise broken
        if self.seen.state == "stuck":
            self.seen.error = self._why(halt)
        return self.seen

    @property
    def is_long(self) -> bool:
        """Whether it was broken off, as leases were renewed again and again."""
        return self._renewals_left < 0

    @property
    def lease(self) -> float:
        """That of its worker, in seconds."""
        return self._lives[0].lease

    # --- processes

    def born(self, delay: float) -> None:
        self.world.call_later(delay, self._birth)

    def _birth(self) -> None:
        if self._is_over or len(self._lives) >= MOST_LIVES:
            return
        life = Life(self, len(self._lives))
        self._lives.append(life)
        seed(f"{self._schedule} {life.number}")
        life.live(self._work)

    async def _work(self, life: Life) -> None:
        async with self._queue(life, self) as queue:
            worker = self._build().with_queue(queue, lease=self._lease)
            worker.cns = observed(worker.cns, life, life.clock)
            life.worker = worker
            await worker.run()

    def _queue(self, life: Life, registry: Registry | None = None) -> Queue:
        queue = Queue(QUEUE, self._url, clock=life.clock)
        queue.io = SimulatedIO(life)
        queue.broker = self._site.broker(queue, life, registry)
        return queue

    def _alone(self, main: Callable[[Life], Any]) -> None:
        """Run a process that is no worker, to its end."""
        life = Life(self, -1 - len(self._lives))
        life.live(main)
        self.world.run(lambda: life.is_over, self.world.now + self._within)
        life.end()
        error = life.error()
        if error is not None:
            raise error

    async def _enqueue(self, life: Life) -> None:
        async with self._queue(life) as queue:
            await queue.enqueue(self._signal, job_id=JOB, **self._options)

    def _end(self) -> None:
        """Let the processes drain, the frozen ones too."""
        for life in self._lives:
            life.stop()
        self.world.run(lambda: all(one.is_over for one in self._lives), self.world.now + DRAIN)
        for life in self._lives:
            life.end()

    def _has_ended(self) -> bool:
        return self._is_over or self.is_broken or self.is_long

    def _why(self, halt: Halt) -> str:
        """Why the job has no end."""
        if self.world.was_called_from_outside or not self._threads.issuperset(enumerate_threads()):
            return f"{self._seen_of(halt)}. {NotSimulated(what='A thread that it waits for')}"
        return self._seen_of(halt)

    def _seen_of(self, halt: Halt) -> str:
        if halt == "idle":
            return "all wait, and nothing will wake them"
        if halt == "late":
            return f"{timedelta(seconds=round(self._within))} of its own time are over (within=)"
        return (
            f"after {MOST_TURNS:,} turns of its loops it still goes on. Where it waits for "
            "time.time() or time.monotonic(): take asyncio's loop.time(), as only that passes here"
        )

    @property
    def _is_over(self) -> bool:
        return self._site.is_empty(self._is_settled)

    def _broken(self) -> BaseException | None:
        errors = (one.error() for one in self._lives)
        return next((error for error in errors if error is not None), None)

    # --- what the broker has of it in the end

    async def _look(self, life: Life) -> None:
        async with self._queue(life) as queue:
            record = await queue.record(JOB)
            assert record is not None
            assert queue.store is not None
            saved = await queue.store.peek(record.run)
            result = None if record.result is None else decode_json(record.result)
            left = () if saved is None else saved.entries
            self._story.ended(record.state, result, headline(record.error), list(left))

    # --- a chronicle

    def passes(self, kind: Kind, what: str) -> Fault | None:
        seen = self.seen
        self._counts[kind, what] += 1
        point = Point(kind, what, self._counts[kind, what])
        fault = self._plan.at(len(seen.points), kind)
        seen.points.append(point)
        self._note(f"{kind} {what} {point.number}" + (f": {fault.name}" if fault else ""))
        if fault is not None:
            seen.struck.append((point, fault))
        return fault

    def started(self, life: Life, activation: Activation, payload: str) -> None:
        key, neuron, is_inner = activation.key, activation.neuron, activation.is_inner
        self._note(f"process {life.number} starts {neuron} {key} {payload}")
        self._story.started(life.number, key, neuron, payload, is_inner)

    def returned(self, activation: Activation, children: Sequence[str]) -> None:
        self._story.returned(activation.key, children)

    def had_effect(self, life: Life, activation: Activation, name: str, key: str | None) -> None:
        number = activation.count(name)
        self._note(f"process {life.number} has effect {name} {number} of {activation.key}")
        self._story.had_effect(life.number, activation.key, activation.neuron, name, number, key)

    def overwrote(self, life: Life, activation: Activation) -> None:
        self._note(f"process {life.number} overwrites the context of {activation.neuron}")
        self._story.overwrote(activation.neuron)

    # --- a registry

    def is_of_job(self, run: str) -> bool:
        return run == self._run

    def delivered(self, life: Life, delivery: Delivery) -> None:
        self._run = delivery.run
        if delivery.saved is not None:
            self.loaded(life, delivery.saved)

    def loaded(self, life: Life, saved: Saved) -> None:
        self._note(f"process {life.number} loads epoch {saved.epoch} seq {saved.seq}")
        life.saved, life.run = saved, None
        self._story.loaded(life.number, saved.epoch)

    def committed(self, life: Life, ticket: Ticket, patch: Patch) -> None:
        self._note(f"committed {ticket} +{sorted(patch.puts)} -{sorted(patch.deletes)}")
        self._story.committed(life.number, ticket.epoch, patch.puts, patch.deletes)

    def finished(self, life: Life, ticket: Ticket) -> None:
        self._note(f"finished {ticket}")
        assert life.worker is not None
        context = context_of(life.run, life.saved, life.worker.cns)
        self._story.finished(life.number, ticket.epoch, context)

    def renewed(self) -> None:
        if not self._is_settled:
            self._renewals_left -= 1

    async def settled(self, life: Life, settlement: Settlement) -> None:
        self._is_settled = self._is_settled or isinstance(settlement, Completed | DeadLettered)
        self._note(f"process {life.number} has settled as {type(settlement).__name__}")

    def _note(self, text: str) -> None:
        self.seen.trace.append(f"{self.world.now:.4f} {text}")
