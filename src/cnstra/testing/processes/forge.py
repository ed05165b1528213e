"""`python -m cnstra.testing.processes.forge`: forks worker processes that die, one by one.

It reads its orders from its standard input and writes an outcome a line. It has no thread of its
own, so that it may fork: a worker costs no import.
"""

import asyncio
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import msgspec

from cnstra.cli.usage import UsageError
from cnstra.engine.payloads import decode_json
from cnstra.jobs.queue import Queue
from cnstra.jobs.retry import backoff_from_wire
from cnstra.jobs.worker import Worker
from cnstra.testing.app import builder, world_maker
from cnstra.testing.faults import Fault, Kind
from cnstra.testing.processes.orders import Event, Orders, Outcome, Strike
from cnstra.testing.processes.victim import Diary, LaterClock, Victim, work
from cnstra.testing.report import headline

QUEUE, JOB = "crashes", "job"
MOST_PROCESSES = 10
LATER = 100_000.0
"""Seconds that each process is ahead of the one before: more than any lease."""

DEADLY: tuple[tuple[Kind, Fault], ...] = (
    ("receive", Fault.DIE_AFTER),
    ("start", Fault.DIE),
    ("ask", Fault.DIE),
    ("effect", Fault.DIE),
    ("commit", Fault.DIE_BEFORE),
    ("commit", Fault.DIE_AFTER),
    ("settle", Fault.DIE_BEFORE),
    ("settle", Fault.DIE_AFTER),
)


class Forge:
    """Runs the job again and again, each time in a folder of its own."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders

    def outcomes(self) -> Iterator[Outcome]:
        """The run without a death, then one for each point, until there is none left."""
        yield Outcome(None, [*self._run(None)])
        if not self._orders.strikes:
            return
        if self._orders.strike is not None:
            yield self._outcome(self._orders.strike)
            return
        for kind, fault in DEADLY:
            number, is_struck = 1, True
            while is_struck:
                outcome = self._outcome(Strike(kind, fault, number))
                is_struck = outcome.point is not None
                number += 1
                if is_struck:
                    yield outcome

    def _outcome(self, strike: Strike) -> Outcome:
        events = list(self._run(strike))
        point = next((arguments[0] for name, arguments in events if name == "struck"), None)
        return Outcome(strike, [one for one in events if one[0] != "struck"], point)

    def _run(self, strike: Strike | None) -> Iterator[Event]:
        with tempfile.TemporaryDirectory(dir=self._orders.folder) as folder:
            url, diary = f"sqlite:///{folder}/jobs.db?synchronous=normal", f"{folder}/diary"
            for number in range(1 if strike is None else MOST_PROCESSES):
                dies = strike if number == 0 else None
                body = partial(
                    self._live, Path(folder), url, number, Victim(number, Diary(diary), dies)
                )
                if self._child(body) == 0:
                    break
            for line in Path(diary).read_bytes().splitlines():
                name, arguments = decode_json(line)
                yield name, arguments

    def _child(self, body: Callable[[], None]) -> int:
        """Its status; that of a signal is negative. One that takes too long is killed."""
        pid = os.fork()
        if not pid:
            _be_a_child(body, self._orders.patience)
        _, status = os.waitpid(pid, 0)
        return os.waitstatus_to_exitcode(status)

    # --- in a child

    def _live(self, folder: Path, url: str, number: int, victim: Victim) -> None:
        async def live() -> None:
            async with Queue(QUEUE, url, clock=LaterClock(number * LATER)) as queue:
                if number == 0:
                    await self._enqueue(queue)
                await work(self._worker(folder), queue, victim)
                await _look(queue, victim.diary)

        asyncio.run(live())

    def _worker(self, folder: Path) -> Worker:
        build, world = _found(self._orders)
        if world is None:
            return build()
        own = folder / "world"
        own.mkdir(exist_ok=True)
        return build(world(own))

    async def _enqueue(self, queue: Queue) -> None:
        options = {**self._orders.options}
        if options["backoff"] is not None:
            options["backoff"] = backoff_from_wire(options["backoff"])
        signal = decode_json(bytes(self._orders.signal))
        await queue.enqueue(signal, job_id=JOB, **options)


async def _look(queue: Queue, diary: Diary) -> None:
    """Write down how the job ended."""
    record, store = await queue.record(JOB), queue.store
    assert record is not None
    assert store is not None
    saved = await queue.io.call(lambda: store.peek(record.run))
    result = None if record.result is None else decode_json(record.result)
    left = [] if saved is None else [*saved.entries]
    diary.note("ended", record.state, result, headline(record.error), left)


def _be_a_child(body: Callable[[], None], patience: float) -> NoReturn:
    status = 1
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, patience)
        body()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def main() -> None:
    answers = _own_output()
    orders = msgspec.json.decode(sys.stdin.buffer.read(), type=Orders)
    try:
        build, world = _found(orders)
        if world is None:
            build()
    except UsageError as error:
        sys.exit(str(error))
    for outcome in Forge(orders).outcomes():
        answers.write(msgspec.json.encode(outcome) + b"\n")
        answers.flush()


def _found(orders: Orders) -> tuple[Callable[..., Worker], Callable[[Path], Any] | None]:
    """What makes the worker, and what makes its world."""
    world = None if orders.world is None else world_maker(orders.world)
    return builder(orders.target, in_world=world is not None), world


def _own_output() -> BinaryIO:
    """The standard output, for answers alone: what the user's code prints goes with the errors."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


if __name__ == "__main__":
    main()
