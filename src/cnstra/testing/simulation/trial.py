"""One job on simulated processes, with what goes wrong on the way."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from random import getstate, seed, setstate
from typing import Any, cast

from cnstra.durable.adapters import adapter_for
from cnstra.durable.store import Patch, Saved, Ticket
from cnstra.engine.payloads import decode_json
from cnstra.jobs.broker import JobRecord
from cnstra.jobs.queue import Queue
from cnstra.jobs.settlement import Completed, DeadLettered, Settlement
from cnstra.jobs.worker import Worker
from cnstra.testing.faults import Fault, Kind, Point
from cnstra.testing.observation import Happened, Observation, Slot, Start
from cnstra.testing.observed import observed
from cnstra.testing.simulation.life import Life, SimulatedIO
from cnstra.testing.simulation.plan import Plan
from cnstra.testing.simulation.wire import SimulatedBroker
from cnstra.testing.simulation.world import World
from cnstra.testing.witness import Activation

QUEUE, JOB = "simulated", "job"
MOST_LIVES = 50

_numbers = count()


class Trial:
    """Runs a job to its end, one process after the other, and sees what they do.

    within: virtual seconds after which a job that has not ended never will.
    """

    def __init__(
        self,
        build: Callable[[], Worker],
        signal: Any,
        *,
        schedule: str,
        plan: Plan,
        options: Mapping[str, Any],
        within: float,
    ) -> None:
        self.world = World(schedule)
        self.seen = Observation()
        self._build = build
        self._signal = signal
        self._schedule = schedule
        self._plan = plan
        self._options = options
        self._within = within
        self._url = f"memory://cnstra.testing {next(_numbers)}"
        self._counts: Counter[tuple[str, str]] = Counter()
        self._lives: list[Life] = []
        self._owed: frozenset[str] | None = None
        self._epoch = 0
        self._last_run: Any = None
        self._is_settled = False
        self.is_broken = False

    def run(self) -> Observation:
        """The whole of it. Raises what keeps the application from starting."""
        chance = getstate()
        try:
            self._alone(self._enqueue)
            self.born(0.0)
            self.world.run(lambda: self._is_settled or self.is_broken, self._within)
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
        return self.seen

    # --- processes

    def born(self, delay: float) -> None:
        self.world.call_later(delay, self._birth)

    def _birth(self) -> None:
        if self._is_settled or len(self._lives) >= MOST_LIVES:
            return
        life = Life(self, len(self._lives))
        self._lives.append(life)
        seed(f"{self._schedule} {life.number}")
        life.live(self._work)

    async def _work(self, life: Life) -> None:
        async with self._queue(life) as queue:
            queue.broker = cast(Any, SimulatedBroker(queue.broker, life, self))
            worker = self._build().with_queue(queue)
            worker.cns = observed(worker.cns, life, life.clock)
            life.worker = worker
            await worker.run()

    def _queue(self, life: Life) -> Queue:
        queue = Queue(QUEUE, self._url, clock=life.clock)
        queue.io = SimulatedIO(life)
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
        self.world.run(lambda: all(one.is_over for one in self._lives), self.world.now + 86_400)
        for life in self._lives:
            life.end()

    def _broken(self) -> BaseException | None:
        errors = (one.error() for one in self._lives)
        return next((error for error in errors if error is not None), None)

    # --- what the broker has of it in the end

    async def _look(self, life: Life) -> None:
        async with self._queue(life) as queue:
            record = await queue.record(JOB)
            assert record is not None and queue.store is not None
            self._judge(record, await queue.store.peek(record.run))

    def _judge(self, record: JobRecord, saved: Saved | None) -> None:
        seen = self.seen
        if record.state in ("completed", "dead"):
            seen.state = record.state
        if record.error is not None:
            seen.error = f"{record.error['name']}: {record.error['message']}"
        if record.result is not None:
            seen.result = decode_json(record.result)
        if record.state == "completed" and saved is not None and saved.entries:
            seen.complaints.append(f"progress was left behind: {sorted(saved.entries)}")

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

    def started(self, life: Life, activation: Activation, payload: bytes) -> None:
        key = activation.key
        self._note(f"process {life.number} starts {activation.neuron} {key} {payload!r}")
        if activation.is_inner:
            return
        self._last_run = activation.run
        self.seen.starts.append(Start(key, activation.neuron, payload, life.number))
        if self.seen.holds_as_done(life.loaded, key):
            self.seen.complaints.append(
                f"neuron {activation.neuron!r} was started again, which the checkpoint that "
                "the process had loaded holds as done"
            )

    def returned(self, activation: Activation, children: Sequence[str]) -> None:
        self.seen.parents.update(dict.fromkeys(children, activation.key))

    def had_effect(self, life: Life, activation: Activation, name: str, key: str | None) -> None:
        activation.effects[name] = number = activation.effects.get(name, 0) + 1
        slot = Slot(activation.key, activation.neuron, name, number)
        self.seen.effects.append(Happened(slot, key, life.number))
        self._note(f"process {life.number} has effect {name} {number} of {activation.key}")

    # --- a registry

    def loaded(self, life: Life, saved: Saved) -> None:
        life.loaded = self._owed
        self._epoch = max(self._epoch, saved.epoch)
        self._note(f"process {life.number} loads epoch {saved.epoch} seq {saved.seq}")

    def committed(self, life: Life, ticket: Ticket, patch: Patch) -> None:
        self._accepted(life, ticket)
        puts = {key[2:] for key in patch.puts if key.startswith("t/")}
        deletes = {key[2:] for key in patch.deletes if key.startswith("t/")}
        if self._owed is not None or patch.puts:
            self._owed = (self._owed or frozenset()) - deletes | puts
        self._note(f"committed {ticket} +{sorted(patch.puts)} -{sorted(patch.deletes)}")

    def finished(self, life: Life, ticket: Ticket) -> None:
        self._accepted(life, ticket)
        self._owed = frozenset()
        run = life.run or self._last_run
        if run is not None:
            self.seen.context = run.context.get_all()
        self._note(f"finished {ticket}")

    async def settled(self, life: Life, settlement: Settlement) -> None:
        self._is_settled = self._is_settled or isinstance(settlement, Completed | DeadLettered)
        self._note(f"process {life.number} has settled as {type(settlement).__name__}")

    def _accepted(self, life: Life, ticket: Ticket) -> None:
        if ticket.epoch < self._epoch:
            self.seen.complaints.append(
                f"process {life.number} wrote under epoch {ticket.epoch}, when the run was "
                f"another's under {self._epoch}"
            )

    def _note(self, text: str) -> None:
        self.seen.trace.append(f"{self.world.now:.4f} {text}")
