"""One attempt at a run that outlives its process: load, run or resume, commit, outcome."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any
from weakref import ref

import msgspec

from cnstra.clock import seconds
from cnstra.durable.entries import StartEntry
from cnstra.durable.io_thread import IOThread, Mailbox
from cnstra.durable.journal import Durability, Journal
from cnstra.durable.progress import Progress
from cnstra.durable.recording import Recording
from cnstra.durable.store import Patch, ProgressStore, Saved, Ticket
from cnstra.durable.wire import from_wire, to_wire
from cnstra.engine.abort import AbortController
from cnstra.engine.audience import Audience, Listener
from cnstra.engine.cns import CNS
from cnstra.engine.network import Network
from cnstra.engine.recorder import Item, Recorder
from cnstra.engine.signals import Collateral, Signal
from cnstra.engine.spells import Spell
from cnstra.engine.stimulation import DEFAULT_GRACE, Stimulation
from cnstra.engine.tasks import FailedTask
from cnstra.errors import (
    CrashLimitReached,
    HeldBack,
    InvalidOption,
)

logger = logging.getLogger("cnstra.durable")

DEFAULT_CRASH_LIMIT = 5


class Finished(msgspec.Struct, frozen=True, gc=False):
    """The run owes nothing. `result` is `{"results": [...]}` as JSON."""

    result: bytes


@dataclass(frozen=True, slots=True)
class Unfinished:
    """The attempt ended, and the run still owes these tasks."""

    failed_tasks: list[FailedTask]

    @property
    def failures(self) -> list[FailedTask]:
        """The tasks that failed by themselves; the others were interrupted, or never started."""
        return [one for one in self.failed_tasks if not one.aborted]


@dataclass(frozen=True, slots=True)
class Quarantined:
    """The run is not tried: its activations have killed the process too often."""

    error: CrashLimitReached


@dataclass(frozen=True, slots=True)
class Halted:
    """The branch that was to run alone is done; the run still owes what was held back."""

    error: HeldBack


@dataclass(frozen=True, slots=True)
class Superseded:
    """Another worker has taken the run over; nothing that this attempt did since counts."""

    error: BaseException


Outcome = Finished | Unfinished | Quarantined | Halted | Superseded

Tap = Callable[[Recorder, Progress, Network], Recorder]
"""Puts something before the recorder of a run, to see what it is told."""


@dataclass(frozen=True, slots=True)
class DurableOptions:
    """How a run is kept.

    results: the collaterals whose payloads make up the result.
    durability: when checkpoints are written.
    grace: seconds that an abort leaves to running handlers.
    crash_limit: how often in a row the process may die while an activation runs; `None`: for ever.
    """

    results: frozenset[str] = frozenset()
    durability: Durability = "behind"
    grace: float = DEFAULT_GRACE
    crash_limit: int | None = DEFAULT_CRASH_LIMIT

    @staticmethod
    def of(
        results: Iterable[Collateral[Any] | str] = (),
        durability: Durability = "behind",
        grace: float | timedelta = DEFAULT_GRACE,
        crash_limit: int | None = DEFAULT_CRASH_LIMIT,
    ) -> "DurableOptions":
        """The options, checked. Raises `InvalidOption`."""
        if durability not in ("exit", "behind", "step"):
            remedy = 'choose "exit", "behind" or "step"'
            raise InvalidOption(option="durability", value=durability, remedy=remedy)
        if crash_limit is not None and crash_limit < 1:
            remedy = "allow at least 1, or None for no limit"
            raise InvalidOption(option="crash_limit", value=crash_limit, remedy=remedy)
        names = frozenset(one if isinstance(one, str) else one.name for one in results)
        return DurableOptions(names, durability, seconds(grace), crash_limit)


class DurableRun:
    """One attempt at a run, under the epoch that loading it took.

    Start to end: `await run.execute(wire_signal)`, then `await run.finish(...)` or
    `await run.release()`; or take `run.ticket()` and let the broker do that in its own step.
    """

    def __init__(
        self,
        cns: CNS,
        run_id: str,
        saved: Saved,
        *,
        store: ProgressStore | None,
        io: IOThread,
        mailbox: Mailbox,
        options: DurableOptions,
        attempt: int = 1,
        carried: bytes | None = None,
        on_response: Listener | None = None,
        tap: Tap | None = None,
    ) -> None:
        self._cns = cns
        self._id = run_id
        self._options = options
        self._attempt = attempt
        self._saved = saved
        self._on_response = on_response
        self._tap = tap
        self._aborted_early: AbortController | None = None
        self._stimulation: Stimulation | None = None
        self.progress = self._restore(carried)
        self._journal = Journal(
            store,
            self.progress,
            saved.epoch,
            seq=saved.seq,
            io=io,
            mailbox=mailbox,
            clock=cns.clock,
            on_lost=partial(_abort, ref(self)),
        )

    def _restore(self, carried: bytes | None) -> Progress:
        """The store's progress; where it has none, the one that came with the job."""
        if not self._saved.entries and carried is not None:
            found = from_wire(self._id, carried)
            if found is not None:
                return found.unsaved()
        return Progress(self._id, self._saved.entries)

    # --- the attempt

    async def execute(self, signal: object) -> Outcome:
        """Run from `signal`, or resume where the progress stands. Ends with nothing in flight.

        Raises what keeps the run from starting: `UnknownCollateral`, `UnknownNeuron`,
        `InvalidPayload`, `PayloadTooNew`, `ProgressTooNew`, `ProgressUnreadable`. Nothing has run
        then.
        """
        if self._saved.result is not None:
            return Finished(self._saved.result)
        recording = self._recording()
        if self.progress.entries:
            self.progress.check()
            self.progress.mark_held_back()
            self.progress.upcast(self._cns.network)
            if self._cns.network.has_renamed:
                self.progress.rename(self._cns.network)
            items, entries, marked = recording.resume(), [], self.progress.marked
        else:
            entries = self._cns.signals_of(signal)
            items, marked = recording.begin(self._cns.emissions_of(entries)), False
        if self._saved.held or marked:
            self._charge_crashes(recording)
            poison = self._poison()
            if poison is not None:
                await self._journal.flush()
                return poison
        stimulation = self._start(recording, items, entries)
        if not stimulation.done:
            await stimulation.wait_until_done()
        return await self._conclude(stimulation, recording)

    def abort(self, reason: object = None, *, grace: float | timedelta | None = None) -> None:
        """Start nothing new. Called again with a shorter `grace`, it is faster."""
        if self._stimulation is not None:
            self._stimulation.abort(reason, grace=grace)
        else:
            self._aborted_early = self._aborted_early or AbortController()
            self._aborted_early.abort(reason)

    def lose(self, error: BaseException) -> None:
        """The lease is lost: end, and write nothing more. May be called on any thread."""
        self._journal.lose(error)

    @property
    def lost(self) -> BaseException | None:
        """Why the run is another worker's, if it is."""
        return self._journal.lost

    async def finish(self, result: bytes, keep: float | None) -> None:
        """Write the final state. Raises `Fenced`."""
        await self._journal.finish(result, keep)

    async def release(self) -> None:
        """Write the attempt's last changes, and let go of the run. Raises `Fenced`."""
        await self._journal.last_write(Patch(release=True))

    async def flush(self) -> None:
        """Wait until all that has changed has landed, or the run is lost."""
        await self._journal.flush()

    def ticket(self) -> Ticket:
        """The right to the last write, for a broker that does it in its own step."""
        return self._journal.ticket()

    def wire(self) -> bytes | None:
        """The wire form of the progress; `None` before anything was recorded."""
        return to_wire(self.progress) if self.progress.started else None

    # --- its parts

    def _recording(self) -> Recording:
        return Recording(
            self._cns.network,
            self.progress,
            self._journal,
            results=self._options.results,
            durability=self._options.durability,
        )

    def _start(
        self, recording: Recording, items: list[Item], entries: list[Signal[Any]]
    ) -> Stimulation:
        stimulation = self._stimulation = self._cns.recorded_run(
            self._tapped(recording),
            stimulation_id=self.progress.stimulation_id,
            contexts=self.progress.contexts(),
            attempt=self._attempt,
            grace=self._options.grace,
            on_response=self._on_response,
        )
        recording.is_heard = stimulation.audience is not None
        stimulation.spell = Spell(self._cns.clock)
        early = self._aborted_early
        stimulation.begin(items, entries, None if early is None else early.signal)
        return stimulation

    def _tapped(self, recording: Recording) -> Recorder:
        """The recorder of the run, with the tap before it if there is one."""
        if self._tap is None:
            return recording
        recording.put_down()
        return self._tap(recording, self.progress, self._cns.network)

    async def _conclude(self, stimulation: Stimulation, recording: Recording) -> Outcome:
        failed = stimulation.failed_tasks
        if stimulation.audience is not None:
            self._log_listeners(stimulation.audience)
        if failed or recording.held_back:
            recording.put_down()
            await self._journal.flush()
        elif self._journal.is_due:
            await self._journal.settle()
        if self.lost is not None:
            return Superseded(self.lost)
        if failed:
            return Unfinished(failed)
        if recording.held_back:
            return Halted(HeldBack(count=recording.held_back))
        return Finished(self.progress.result())

    def _log_listeners(self, audience: Audience) -> None:
        for error in audience.errors:
            logger.error(
                "A listener of run %s raised; the run itself goes on.", self._id, exc_info=error
            )

    # --- crashes

    def _charge_crashes(self, recording: Recording) -> None:
        """Count the death of the process that held the run before us, if it died.

        From then on the start of each activation that was owed is written down before it starts, so
        that the next death names those that ran. The first time, each that was owed is charged.
        """
        recording.put_down()
        owed = [key for key, _ in self.progress.due()]
        marks = {key: mark for key in owed if (mark := self.progress.start(key)) is not None}
        running = [key for key, mark in marks.items() if mark.running]
        charged = (running or owed) if self._saved.held else ()
        with self.progress:
            for key in {*running, *charged}:
                crashes = marks[key].crashes if key in marks else 0
                self.progress.put(f"s/{key}", StartEntry(crashes + (key in charged), False))
        recording.suspect(owed if self._saved.held else marks)

    def _poison(self) -> Quarantined | None:
        """Whether an activation has killed the process as often as it may."""
        limit = self._options.crash_limit
        marked = [(task.neuron, self.progress.start(key)) for key, task in self.progress.due()]
        crashes = [(mark.crashes, neuron) for neuron, mark in marked if mark is not None]
        if limit is None or not crashes or max(crashes)[0] < limit:
            return None
        guilty = sorted({neuron for count, neuron in crashes if count >= limit})
        names = ", ".join(f"neuron {name!r}" for name in guilty)
        return Quarantined(CrashLimitReached(neuron=names, crashes=max(crashes)[0]))


def _abort(run: "ref[DurableRun]", reason: BaseException) -> None:
    """Abort the run, if anybody still has it. Its journal does not own it: a run that is over then
    goes at once, and a thousand of them leave no cycles to be searched for.
    """
    found = run()
    if found is not None:
        found.abort(reason)
