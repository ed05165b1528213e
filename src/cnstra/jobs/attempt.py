"""One attempt at a job: from its delivery to its settlement."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import cast

import msgspec

from cnstra.durable.io_thread import Mailbox
from cnstra.durable.progress import Progress
from cnstra.durable.run import (
    DurableOptions,
    DurableRun,
    Finished,
    Halted,
    Outcome,
    Quarantined,
    Superseded,
    Unfinished,
)
from cnstra.durable.store import Saved, Ticket
from cnstra.engine.cns import CNS
from cnstra.engine.network import Network
from cnstra.engine.recorder import Recorder
from cnstra.engine.signals import EncodedSignal
from cnstra.engine.tasks import FailedTask, error_to_wire
from cnstra.errors import (
    CnstraError,
    DoNotRetry,
    Fenced,
    IOClosed,
    JobCancelled,
    LeaseLost,
    RetryAfter,
    StimulationFailed,
    StoreError,
    StoreUnavailable,
    UndecodableJob,
)
from cnstra.history.attempts import AttemptLog, Subject
from cnstra.history.history import WorkerLog
from cnstra.history.tap import Tap
from cnstra.jobs.envelope import entry_in
from cnstra.jobs.foreign import in_our_form
from cnstra.jobs.queue import Queue
from cnstra.jobs.retry import MAX_DELAY, backoff_from_wire
from cnstra.jobs.settlement import (
    Completed,
    DeadLettered,
    Delivery,
    Lost,
    Requeued,
    Retry,
    Settlement,
)

__all__ = ["Settled"]

logger = logging.getLogger("cnstra.jobs")

LOAD_PAUSE = 0.2
MOST_NAMED = 3
"""Neurons that a log line names."""
PARKED = "its lease cannot be renewed much longer"


class Settled(msgspec.Struct, frozen=True, gc=False):
    """What to tell the broker, and the right to make it the run's last write in the same step."""

    settlement: Settlement
    ticket: Ticket | None


class Attempt:
    """A delivery, while this worker holds it. `handle` runs it; the rest steers it meanwhile."""

    __slots__ = (
        "__weakref__", "_cancelled", "_cns", "_grace", "_history", "_log", "_lost", "_mailbox",
        "_options", "_queue", "_released", "_run", "delivery", "expires", "leased_at",
    )  # fmt: skip

    def __init__(
        self,
        delivery: Delivery,
        *,
        queue: Queue,
        cns: CNS,
        options: DurableOptions,
        mailbox: Mailbox,
        leased_at: float,
        expires: float,
        history: WorkerLog | None = None,
    ) -> None:
        self.delivery = delivery
        self.leased_at = leased_at
        """When its lease began, by the clock's `monotonic`."""
        self.expires = expires
        """When the lease runs out unless it is renewed, by the same clock."""
        self._queue = queue
        self._cns = cns
        self._options = options
        self._mailbox = mailbox
        self._history = history
        self._log: AttemptLog | None = None
        self._run: DurableRun | None = None
        self._released: object = None
        self._grace: float | None = None
        self._cancelled = False
        self._lost: BaseException | None = None

    # --- the whole of it

    async def handle(self) -> Settled:
        """Run the job, or what is left of it.

        Never raises for what is wrong with the job itself.
        """
        try:
            if self._history is not None:
                self._log = self._history.attempt(self._subject())
            signal = self._entry()
            saved = self.delivery.saved or await self._load()
            if saved is None:
                return Settled(Requeued(self.delivery.progress), None)
            run = self._run = self._durable_run(saved)
            self._catch_up(run)
            outcome = await run.execute(signal)
            return await self._settle(run, saved, outcome)
        except (Fenced, LeaseLost, IOClosed):
            return Settled(Lost(), None)
        except Exception as error:
            if not isinstance(error, CnstraError):
                logger.exception(
                    "Job %r broke its worker; it is dead-lettered.", self.delivery.job_id
                )
            return await self._refuse(error)

    def settled(self, settlement: Settlement) -> None:
        """What became of it, as its broker knows by now."""
        if self._log is None:
            return
        match settlement:
            case Completed():
                self._log.settled("completed")
            case Retry(delay, _, error):
                self._log.settled("retried", error, delay)
            case Requeued():
                self._log.settled("requeued")
            case DeadLettered(error, _):
                self._log.settled("dead", error)
            case Lost():
                self._log.settled("lost")

    # --- what others ask of it, at any time

    def release(self, reason: object, grace: float) -> None:
        """Stop within `grace` seconds and give the job back, without using up an attempt."""
        self._released, self._grace = reason, grace
        if self._run is not None:
            self._run.abort(reason, grace=grace)

    def park(self, grace: float) -> None:
        """Give the job back between two activations: its lease cannot be renewed much longer."""
        if self._released is None:
            self.release(PARKED, grace)

    def cancel(self) -> None:
        """Stop and dead-letter the job: somebody has cancelled it."""
        self._cancelled = True
        if self._run is not None:
            self._run.abort(JobCancelled())

    def lose(self, error: BaseException) -> None:
        """The lease is lost: stop, and write nothing more."""
        self._lost = self._lost or error
        if self._run is not None:
            self._run.lose(error)

    def owes(self, *, redriven: bool = False) -> Sequence[str]:
        """The neurons that its run goes on with, by itself or once it is redriven, in the order of
        their emission.
        """
        if self._run is None:
            return ()
        progress = self._run.progress
        try:
            tasks = progress.tasks() if redriven else progress.due()
        except StoreError:
            return ()
        return list(dict.fromkeys(task.neuron for _, task in tasks))

    @property
    def lost(self) -> BaseException | None:
        """Why the job is no longer ours, if it is not."""
        return self._lost

    # --- its parts

    def _entry(self) -> EncodedSignal:
        """The signal that the job begins with. Raises `UndecodableJob`."""
        one, foreign = self.delivery, self._queue.foreign
        if foreign is None:
            return entry_in(one.job_id, one.data)
        return entry_in(one.job_id, in_our_form(one.job_id, one.data, one.name, one.run, foreign))

    async def _load(self) -> Saved | None:
        """The run, once its store answers; `None` if the worker was told to stop before it did."""
        store = self._queue.store
        if store is None:
            return Saved()
        while True:
            try:
                return await self._queue.io.call(lambda: store.load(self.delivery.run))
            except StoreUnavailable as error:
                if self._lost is not None:
                    raise LeaseLost(job_id=self.delivery.job_id) from error
                if self._cancelled:
                    raise JobCancelled from error
                if self._released is not None:
                    return None
                logger.warning("Job %r waits for its store: %s", self.delivery.job_id, error)
                await self._cns.clock.sleep(LOAD_PAUSE)

    def _durable_run(self, saved: Saved) -> DurableRun:
        return DurableRun(
            self._cns,
            self.delivery.run,
            saved,
            store=self._queue.store,
            io=self._queue.io,
            mailbox=self._mailbox,
            options=self._options,
            attempt=self.delivery.attempts_made + 1,
            carried=self.delivery.progress,
            tap=None if self._log is None else self._tapped,
        )

    def _subject(self) -> Subject:
        """What the history is told that this attempt is about."""
        one = self.delivery
        try:
            signal = self._entry()
            collateral, payload = signal.collateral_name, bytes(signal.payload)
        except UndecodableJob:
            collateral, payload = "", None
        return Subject(
            one.run, self._queue.name, one.job_id, one.attempts_made + 1, one.created_at,
            collateral, payload,
        )  # fmt: skip

    def _tapped(self, recorder: Recorder, progress: Progress, network: Network) -> Recorder:
        assert self._log is not None
        return Tap(self._log, recorder, progress, network)

    def _catch_up(self, run: DurableRun) -> None:
        """Pass on what was asked before there was a run to ask."""
        if self._lost is not None:
            run.lose(self._lost)
        if self._cancelled:
            run.abort(JobCancelled())
        if self._released is not None:
            run.abort(self._released, grace=self._grace)

    async def _settle(self, run: DurableRun, saved: Saved, outcome: Outcome) -> Settled:
        match outcome:
            case Superseded(error):
                return self._cut_off(run, error)
            case Finished(result) if saved.result is not None:
                return Settled(Completed(result), None)
            case Finished(result) if self._at_once:
                return Settled(Completed(result), run.ticket())
            case Finished(result):
                await run.finish(result, self._queue.keep_results)
                return Settled(Completed(result), None)
            case Quarantined(error) | Halted(error):
                return await self._let_go(run, DeadLettered(error_to_wire(error), self._wire(run)))
            case Unfinished(failed_tasks):
                return await self._let_go(run, self._judge(run, failed_tasks, outcome.failures))

    def _judge(
        self, run: DurableRun, failed_tasks: Sequence[FailedTask], failures: Sequence[FailedTask]
    ) -> Settlement:
        """What becomes of a job whose run still owes something."""
        progress = self._wire(run)
        if self._cancelled:
            return DeadLettered(error_to_wire(JobCancelled()), progress)
        if not failures and self._released is not None:
            return Requeued(progress)
        errors = [one.error for one in failures or failed_tasks]
        final = next((error for error in _asked_for(errors) if isinstance(error, DoNotRetry)), None)
        made = self.delivery.attempts_made + 1
        if final is not None or made >= self.delivery.max_attempts:
            return DeadLettered(error_to_wire(final or errors[0]), progress)
        return Retry(self._pause(errors, made), progress, error_to_wire(errors[0]))

    def _pause(self, errors: Sequence[BaseException], made: int) -> float:
        asked = [error.delay for error in _asked_for(errors) if isinstance(error, RetryAfter)]
        if asked:
            return min(max(0.0, *asked), MAX_DELAY)
        try:
            return backoff_from_wire(self.delivery.backoff).pause(made, self._cns.clock)
        except Exception:
            logger.exception(
                "The backoff of job %r raised; it is retried in 1 s.", self.delivery.job_id
            )
            return 1.0

    async def _refuse(self, error: Exception) -> Settled:
        """Nothing of the job could be run."""
        dead = DeadLettered(error_to_wire(error), self.delivery.progress)
        if self._run is not None:
            return await self._let_go(self._run, dead)
        saved, store = self.delivery.saved, self._queue.store
        if saved is None or store is None or not self._at_once:
            return Settled(dead, None)
        return Settled(dead, Ticket(self.delivery.run, saved.epoch, saved.seq + 1))

    async def _let_go(self, run: DurableRun, settlement: Settlement) -> Settled:
        """Write the attempt's last changes; release the run, where the broker does not do that
        itself.
        """
        if not self._at_once:
            with suppress(Exception):  # which `run.lost` tells too
                await run.release()
        else:
            await run.flush()
        if run.lost is not None:
            return self._cut_off(run, run.lost)
        return Settled(settlement, run.ticket() if self._at_once else None)

    def _cut_off(self, run: DurableRun, error: BaseException) -> Settled:
        """No more can be written: the run is another worker's, or its store refuses it."""
        if isinstance(error, Fenced | LeaseLost):
            logger.info("Job %r is lost: %s", self.delivery.job_id, error)
            return Settled(Lost(), None)
        try:
            progress = self._wire(run)
        except Exception:  # which may be the very reason
            progress = self.delivery.progress
        dead = DeadLettered(error_to_wire(error), progress)
        return Settled(dead, run.ticket() if self._at_once else None)

    @property
    def _at_once(self) -> bool:
        return self._queue.broker.capabilities.atomic_settlement

    def _wire(self, run: DurableRun) -> bytes | None:
        return run.wire() if self._queue.broker.capabilities.carries_progress else None


def _asked_for(errors: Iterable[BaseException]) -> Iterator[BaseException]:
    """The errors, and those of the inner runs and task groups that they tell of."""
    for error in errors:
        yield error
        if isinstance(error, StimulationFailed):
            yield from _asked_for(one.error for one in error.failed_tasks)
        if isinstance(error, BaseExceptionGroup):
            yield from _asked_for(cast(BaseExceptionGroup[BaseException], error).exceptions)


def _from(owed: Sequence[str]) -> str:
    """Where a run goes on, by the neurons that it owes."""
    if not owed:
        return " from its entry"
    shown = " and ".join(repr(name) for name in owed[:MOST_NAMED])
    return f" from {shown}" + (f" and {len(owed) - MOST_NAMED} more" if owed[MOST_NAMED:] else "")


def what_happens_next(attempt: Attempt, settlement: Settlement) -> str:
    """The end of a log line that begins with the job."""
    delivery = attempt.delivery
    which = f"attempt {delivery.attempts_made + 1} of {delivery.max_attempts}"
    match settlement:
        case Completed():
            return "is completed."
        case Retry(delay, _, error):
            when = f"in {delay:g} s" if delay else "at once"
            again = f"it runs again {when}{_from(attempt.owes())}."
            return f"failed, {which} ({error['message']}): {again}"
        case Requeued():
            return f"is given back: another worker goes on{_from(attempt.owes())}."
        case DeadLettered(error, _):
            goes_on = f"redrive it to go on{_from(attempt.owes(redriven=True))}."
            return f"is dead-lettered, {which} ({error['message']}): {goes_on}"
        case Lost():
            return "is out of our hands: whoever has it by now, or when its lease is over, goes on."
