"""The worker's side of the I/O thread: leases jobs, keeps the leases, settles.

All but `start`, `stop` and `settle` runs on the I/O thread, so a handler that blocks the worker's
loop holds up none of it.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from functools import partial
from math import inf
from typing import Any, cast

from cnstra.durable.eager import begin
from cnstra.durable.io_thread import Mailbox
from cnstra.durable.store import ProgressStore
from cnstra.engine.tasks import error_to_wire
from cnstra.errors import BrokerUnavailable, Fenced, LeaseLost, StoreUnavailable
from cnstra.jobs.attempt import Attempt, Settled, what_happens_next
from cnstra.jobs.broker import Ahead, CompletesTogether, HandsOver
from cnstra.jobs.limits import RateLimit
from cnstra.jobs.queue import Queue
from cnstra.jobs.settlement import (
    Completed,
    DeadLettered,
    Delivery,
    Lost,
    Requeued,
    Retry,
    Settlement,
)

logger = logging.getLogger("cnstra.jobs")

LONGEST_WAIT, IDLE_WAIT = 0.5, 0.02
IDLE_LOOKS = 2
"""A broker of messages counts none that is on its way, from one queue to another or to us."""
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
RENEWALS_PER_LEASE = 3
TICK = 0.001
"""The shortest wait: less may be nothing at all to a clock that counts in floats."""
PARK_AFTER, PARKED_BY = 0.6, 0.9
"""The shares of a lease that cannot be renewed after which a job starts nothing new, and is back.
"""
NOT_SHARED = "%s holds for this process alone: %s cannot share one, so give each worker its part."

LEVELS: Mapping[type[Settlement], int] = {
    Requeued: logging.DEBUG,
    Completed: logging.INFO,
    Retry: logging.INFO,
    DeadLettered: logging.WARNING,
    Lost: logging.WARNING,
}
"""How loudly the log tells what became of a job: nobody may miss what a person must see to."""

Over = tuple[Attempt, Settled]
"""An attempt that is over, and what became of it."""


class Consumer:
    """Leases jobs for one worker, up to its concurrency, and holds the leases until they are
    settled.
    """

    def __init__(
        self, queue: Queue, concurrency: int, lease: float, rate_limit: RateLimit | None
    ) -> None:
        self._queue = queue
        self._broker = queue.broker
        self._clock = queue.clock
        self._concurrency = concurrency
        self._lease = lease
        self._rate_limit = rate_limit
        self._next = Ahead(lease, rate_limit)
        self._held: dict[Attempt, asyncio.Task[None] | None] = {}
        """What is leased, each with the task that settles it."""
        self._beside: set[asyncio.Task[None]] = set()
        self._over: deque[Over] = deque()
        self._is_told = False
        """Whether the I/O thread is on its way to what is over."""
        self._freed, self._leased = asyncio.Event(), asyncio.Event()
        self._stopping = False
        self._until_idle = False

    def with_queue(self, queue: Queue, lease: float, concurrency: int) -> "Consumer":
        """The same, for a worker of another queue, with that lease and so many jobs at once."""
        return Consumer(queue, concurrency, lease, self._rate_limit)

    # --- on the worker's thread

    def start(
        self,
        mailbox: Mailbox,
        make: Callable[[Delivery, float, float], Attempt],
        accept: Callable[[Sequence[Attempt]], None],
        ended: Callable[[], None],
        cut_off: Callable[[], None],
        *,
        completed: Callable[[str], None] | None,
        until_idle: bool,
    ) -> None:
        """Begin to lease jobs for `accept`; call `ended` when none is held any more.

        cut_off: called before `ended` where the queue was closed: nothing can be settled any more.
        completed: told the run of each job that is completed, once the broker knows.
        """
        self._mailbox, self._make, self._accept = mailbox, make, accept
        self._ended, self._cut_off = ended, cut_off
        self._completed = completed
        self._until_idle = until_idle
        self._stopping = False
        if self._rate_limit is not None and not self._broker.capabilities.shared_rate_limit:
            logger.warning(NOT_SHARED, self._rate_limit, self._queue.place)
        self._queue.io.spawn(self._live)

    def stop(self, patience: float = inf) -> None:
        """Lease no more jobs. What is held stays so until it is settled; after `patience` seconds
        it is given up as soon as its store is away.
        """
        self._stopping = True
        self._queue.io.post(partial(self._wind_up, patience))

    def settle(self, attempt: Attempt, settled: Settled) -> None:
        """Carry out what became of an attempt."""
        self._over.append((attempt, settled))
        if not self._is_told:
            self._is_told = True
            self._queue.io.post(self._begin_to_settle)

    # --- on the I/O thread

    async def _live(self) -> None:
        keeping = [asyncio.ensure_future(one) for one in self._keeping()]
        try:
            await self._fetch()
            while self._held:
                self._freed.clear()
                await self._freed.wait()
        except asyncio.CancelledError:
            self._mailbox.post(self._cut_off)
            raise
        finally:
            for task in (*keeping, *self._beside):
                task.cancel()
            self._mailbox.post(self._ended)

    async def _fetch(self) -> None:
        """Lease as many jobs as there are free slots, again and again."""
        pause, wait = FIRST_PAUSE, IDLE_WAIT if self._until_idle else LONGEST_WAIT
        seen_idle, is_exact = 0, self._broker.capabilities.atomic_settlement
        while not self._stopping:
            free = self._concurrency - len(self._held)
            if free <= 0:
                self._freed.clear()
                await self._freed.wait()
                continue
            try:
                deliveries = await self._broker.receive(
                    free, lease=self._lease, wait=wait, rate=self._rate_limit
                )
                pause = FIRST_PAUSE
            except Exception as error:
                logger.warning(
                    "%s The worker asks again in %.2g s.", error, pause, exc_info=_unusual(error)
                )
                await self._clock.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
                continue
            if deliveries:
                self._take(deliveries)
                seen_idle = 0
            elif self._until_idle:
                seen_idle = seen_idle + 1 if await self._is_idle() else 0
                if seen_idle == (1 if is_exact else IDLE_LOOKS):
                    return

    def _take(self, deliveries: Sequence[Delivery]) -> None:
        now = self._clock.monotonic()
        attempts = [self._make(delivery, now, now + self._lease) for delivery in deliveries]
        self._held.update(dict.fromkeys(attempts))
        self._leased.set()
        self._mailbox.post(lambda: self._accept(attempts))

    def _wind_up(self, patience: float) -> None:
        self._freed.set()
        store = self._queue.store
        if self._held and store is not None and patience < inf:
            self._begin_beside(self._give_up(store, patience))

    async def _give_up(self, store: ProgressStore, patience: float) -> None:
        """Let no store that is away keep the worker from its end. Where the broker goes on without
        it, no lease runs out: what is held is lost all the same, up to the last checkpoint.
        """
        await self._clock.sleep(patience)
        while self._held:
            try:
                await store.peek(next(iter(self._held)).delivery.run)
            except StoreUnavailable as error:
                logger.warning("%s The worker waits no longer for it.", error)
                for attempt in self._held:
                    attempt.lose(LeaseLost(job_id=attempt.delivery.job_id))
            await self._clock.sleep(self._lease / RENEWALS_PER_LEASE)

    def _begin_beside(self, work: Coroutine[Any, Any, None]) -> None:
        """Have it done beside; it is cut off when the last job is settled."""
        task = asyncio.ensure_future(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    # --- leases that end, renewed or not

    def _keeping(self) -> Iterator[Coroutine[Any, Any, None]]:
        """What goes on beside: leases are renewed, and jobs given back before a lease ends that
        cannot be renewed for ever. A handler that takes longer goes on under its store's lease,
        where the broker can do that.
        """
        yield self._keep_leases()
        can = self._broker.capabilities
        if can.longest_lease is None:
            return
        left = can.longest_lease * (PARKED_BY - PARK_AFTER)
        grace = inf if can.hands_over else left

        def park(attempt: Attempt) -> None:
            self._mailbox.post(partial(attempt.park, grace))

        yield self._at_age(can.longest_lease * PARK_AFTER, park)
        if can.hands_over:
            yield self._at_age(can.longest_lease * PARKED_BY, self._begin_to_hand_over)

    async def _at_age(self, age: float, act: Callable[[Attempt], None]) -> None:
        """Call `act` with each attempt that has been held for `age` seconds, once.

        It knows them by when they were leased, and keeps none that is over.
        """
        seen = -inf
        while True:
            due = self._clock.monotonic() - age
            self._with_each(act, seen, due)
            later = (one.leased_at for one in self._held if one.leased_at > due)
            await self._clock.sleep(max(min(later, default=due + age) - due, TICK))
            seen = due

    def _with_each(self, act: Callable[[Attempt], None], after: float, until: float) -> None:
        for attempt in self._held:
            if after < attempt.leased_at <= until:
                act(attempt)

    def _begin_to_hand_over(self, attempt: Attempt) -> None:
        self._begin_beside(self._hand_over(attempt))

    async def _hand_over(self, attempt: Attempt) -> None:
        """Leave the job's message; try again while broker or store is away."""
        broker, pause = cast(HandsOver, self._broker), FIRST_PAUSE
        while attempt in self._held and attempt.lost is None:
            try:
                await broker.hand_over(attempt.delivery, self._lease)
                return
            except (BrokerUnavailable, StoreUnavailable) as error:
                logger.warning("Job %r waits to be handed over: %s", attempt.delivery.job_id, error)
                await self._clock.sleep(pause)

    @property
    def _ahead(self) -> Ahead | None:
        """What the slot of a job that is over may take next."""
        return None if self._stopping else self._next

    async def _is_idle(self) -> bool:
        """Whether nothing is left to do: an empty queue, or a paused one that nobody works on."""
        if self._held:
            return False
        try:
            counts = await self._broker.counts()
            due = counts.get("waiting", 0) + counts.get("delayed", 0)
            return counts.get("active", 0) == 0 and (due == 0 or await self._broker.paused())
        except Exception:
            return False

    async def _keep_leases(self) -> None:
        """Renew what is held, three times a lease; tell those whose lease is lost, or job
        cancelled.
        """
        while True:
            if not self._held:
                self._leased.clear()
                await self._leased.wait()
            await self._clock.sleep(self._lease / RENEWALS_PER_LEASE)
            held = list(self._held)
            if not held:
                continue
            try:
                states = await self._broker.renew([one.delivery for one in held], self._lease)
            except Exception as error:
                logger.warning(
                    "%s The leases of %d jobs wait to be renewed.",
                    error,
                    len(held),
                    exc_info=_unusual(error),
                )
                self._give_up_expired(held)
                continue
            expires = self._clock.monotonic() + self._lease
            for attempt, state in zip(held, states, strict=True):
                if state == "lost":
                    attempt.lose(LeaseLost(job_id=attempt.delivery.job_id))
                    continue
                attempt.expires = expires
                if state == "cancelled":
                    self._mailbox.post(attempt.cancel)

    def _give_up_expired(self, held: Iterable[Attempt]) -> None:
        now = self._clock.monotonic()
        for attempt in held:
            if now > attempt.expires:
                attempt.lose(LeaseLost(job_id=attempt.delivery.job_id))

    def _begin_to_settle(self) -> None:
        """Begin with all that is over: several completed jobs in one step, where the broker can."""
        self._is_told = False
        together = self._broker.capabilities.completes_together
        completed: list[Over] = []
        while self._over:
            one = self._over.popleft()
            if together > 1 and isinstance(one[1].settlement, Completed):
                completed.append(one)
            else:
                self._spawn(self._settle(*one), one)
        for first in range(0, len(completed), together):
            some = completed[first : first + together]
            self._spawn(self._complete(some), *some)

    def _spawn(self, settling: Coroutine[Any, Any, None], *over: Over) -> None:
        task = begin(settling)
        if task is not None:
            self._held.update(dict.fromkeys([attempt for attempt, _ in over], task))

    async def _complete(self, over: Sequence[Over]) -> None:
        """Tell the broker of completed jobs together. What it does not take is told by itself."""
        broker = cast(CompletesTogether, self._broker)
        told = [
            (attempt.delivery, cast(Completed, settled.settlement), settled.ticket)
            for attempt, settled in over
        ]
        ahead: list[Delivery] = []
        for one, outcome in zip(over, await broker.complete(told, self._ahead), strict=True):
            if isinstance(outcome, Exception):
                self._spawn(self._settle(*one), one)
            else:
                ahead += outcome
                self._let_out(one[0], one[1].settlement)
        self._go_on_with(ahead)

    async def _settle(self, attempt: Attempt, settled: Settled) -> None:
        """Tell the broker, again and again while it is away, until it knows or the lease is lost.

        What it refuses for good (a result that is too large, say) is dead-lettered with that
        reason.
        """
        job_id, pause = attempt.delivery.job_id, FIRST_PAUSE
        settlement: Settlement = settled.settlement
        ahead: Sequence[Delivery] = ()
        while not isinstance(settlement, Lost):
            try:
                ahead = await self._broker.settle(
                    attempt.delivery, settlement, settled.ticket, self._ahead
                )
                break
            except (BrokerUnavailable, StoreUnavailable) as error:
                if attempt.lost is not None:
                    settlement = Lost()
                    break
                logger.warning("Job %r waits to be settled: %s", job_id, error)
                await self._clock.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
            except (LeaseLost, Fenced):
                settlement = Lost()
            except Exception as error:
                logger.exception("Job %r cannot be settled so: %s", job_id, settlement)
                settlement = _instead(settlement, error)
        if isinstance(settlement, Lost):
            await self._let_go(attempt)
        self._let_out(attempt, settlement)
        self._go_on_with(ahead)

    def _let_out(self, attempt: Attempt, settlement: Settlement) -> None:
        """The job is settled."""
        attempt.settled(settlement)
        if self._completed is not None and isinstance(settlement, Completed):
            self._mailbox.post(partial(self._completed, attempt.delivery.run))
        level = LEVELS[type(settlement)]
        if logger.isEnabledFor(level):
            what = what_happens_next(attempt, settlement)
            about = {"job": attempt.delivery.job_id, "run": attempt.delivery.run}
            logger.log(level, "Job %r %s", attempt.delivery.job_id, what, extra=about)
        del self._held[attempt]

    def _go_on_with(self, ahead: Sequence[Delivery]) -> None:
        """Slots are free, for what the broker leased ahead and for what is fetched."""
        if ahead:
            self._take(ahead)
        if len(self._held) < self._concurrency:
            self._freed.set()

    async def _let_go(self, attempt: Attempt) -> None:
        """Tell the broker that a job is out of our hands; it may know, or be away."""
        try:
            await self._broker.settle(attempt.delivery, Lost(), None)
        except (BrokerUnavailable, StoreUnavailable, LeaseLost, Fenced) as error:
            logger.debug("Job %r was let go: %s", attempt.delivery.job_id, error)


def _instead(refused: Settlement, error: Exception) -> Settlement:
    """What to try when the broker refuses a settlement; in the end, the lease runs out."""
    match refused:
        case Completed() | DeadLettered(_, bytes()):
            return DeadLettered(error_to_wire(error), None)
        case Retry(_, progress, _) | Requeued(progress, _):
            return DeadLettered(error_to_wire(error), progress)
        case DeadLettered() | Lost():
            return Lost()


def _unusual(error: Exception) -> Exception | None:
    """The error, if it is none of those that pass by themselves, and so has a story to tell."""
    return None if isinstance(error, BrokerUnavailable | StoreUnavailable) else error
