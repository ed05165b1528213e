"""The flow that is killed, the log of its effects, and what must hold of both afterwards."""

import asyncio
import json
import os
import random
import sqlite3
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypedDict
from urllib.parse import urlsplit

from cnstra import CNS, Queue, Worker, collateral, neuron
from cnstra.clock import SystemClock
from cnstra.jobs.broker import Broker


class Work(TypedDict):
    """What is done: branch -1 is the fan-out itself."""

    job: int
    branch: int
    step: int


class Ahead(SystemClock):
    """A clock that is ahead of the last worker's by more than a lease: what that held is due."""

    def __init__(self, seconds: float) -> None:
        self.ahead = seconds

    def time(self) -> float:
        return super().time() + self.ahead


@dataclass(frozen=True)
class Line:
    """One line of the log: an activation starts, or has had its effect."""

    what: str
    pid: int
    job: int
    branch: int
    step: int

    @property
    def activation(self) -> tuple[int, int, int]:
        return self.job, self.branch, self.step


class Log:
    """Appended to by many processes, each line in one write."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY)
        self._read: list[Line] = []
        self._read_to = 0

    def write(self, what: str, work: Work) -> None:
        line = f"{what} {os.getpid()} {work['job']} {work['branch']} {work['step']}\n"
        os.write(self._file, line.encode())

    def lines(self) -> list[Line]:
        with self.path.open("rb") as file:
            file.seek(self._read_to)
            new = file.read()
        self._read_to += len(new)
        for line in new.decode().splitlines():
            what, *numbers = line.split()
            self._read.append(Line(what, *map(int, numbers)))
        return self._read


@dataclass(frozen=True)
class Flow:
    """A fan-out into branches, each of so many steps; each activation takes its time, by chance."""

    width: int = 6
    steps: int = 3
    longest: float = 0.0

    @property
    def activations(self) -> int:
        return 1 + self.width * self.steps

    def cns(self, log: Log) -> CNS:
        entry, result = collateral("entry", Work), collateral("result", Work)
        channels = [collateral(f"step{step}", Work) for step in range(self.steps)]
        fan = neuron("fan", {"first": channels[0]})

        async def act(work: Work) -> None:
            log.write("start", work)
            await asyncio.sleep(random.uniform(0.4, 1.0) * self.longest)
            log.write("end", work)

        @fan.dendrite(entry)
        async def on_entry(work: Work, axon: Any) -> Any:
            await act(work)
            branches = range(self.width)
            return [
                axon.first.create_signal({**work, "branch": one, "step": 0}) for one in branches
            ]

        def step(number: int) -> Any:
            target = channels[number + 1] if number + 1 < self.steps else result
            made = neuron(f"step{number}", {"target": target})

            async def on_step(work: Work, axon: Any) -> Any:
                await act(work)
                return axon.target.create_signal({**work, "step": number + 1})

            return made.dendrite(channels[number], on_step)

        return CNS([fan, *(step(number) for number in range(self.steps))])

    def job(self, number: int) -> Mapping[str, Any]:
        payload: Work = {"job": number, "branch": -1, "step": -1}
        return {"collateralName": "entry", "payload": payload}

    def result(self, number: int) -> dict[str, Any]:
        done = [{"job": number, "branch": one, "step": self.steps} for one in range(self.width)]
        return {"results": done}

    def complaints(self, log: Log, jobs: int, *, in_order: bool) -> Iterator[str]:
        """What the log has against it: a missing effect, or one that came after its successor's."""
        lines = log.lines()
        effects = {line.activation for line in lines if line.what == "end"}
        for job in range(jobs):
            branches = [(job, b, s) for b in range(self.width) for s in range(self.steps)]
            for activation in [(job, -1, -1), *branches]:
                if activation not in effects:
                    yield f"no effect of {activation}"
        if in_order:
            yield from _disorder(lines)


def _disorder(lines: Sequence[Line]) -> Iterator[str]:
    """Once a successor is in the log, no later line is its predecessor's."""
    reached: dict[tuple[int, int], int] = {}
    for line in lines:
        branches = {line.branch, -1}  # what a branch reaches, the fan-out has reached
        if line.step < reached.get((line.job, line.branch), -1):
            yield f"{line} came after step {reached[line.job, line.branch]}"
        for branch in branches:
            reached[line.job, branch] = max(reached.get((line.job, branch), -1), line.step)


def fork(body: Callable[[], None]) -> int:
    """A child that does `body` and ends. It may be killed; the parent must have no other thread."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        body()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        _leave(status)


def _leave(status: int) -> NoReturn:
    os._exit(status)


def ended(pid: int) -> int:
    """Wait for a child: 0 if it has ended by itself, else the number of the signal, negative."""
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


@dataclass
class Place:
    """A queue on a SQLite file, used by one process after the other."""

    url: str
    clock: Ahead

    def enqueue(self, flow: Flow, jobs: int) -> None:
        async def add() -> None:
            async with Queue("q", self.url, clock=self.clock) as queue:
                for number in range(jobs):
                    await queue.enqueue(flow.job(number), job_id=str(number))

        assert ended(fork(lambda: asyncio.run(add()))) == 0

    def work(
        self,
        cns: CNS,
        *,
        wrap: Callable[[Broker], Broker] = lambda broker: broker,
        until_idle: bool = True,
        **options: Any,
    ) -> None:
        """What a worker process does. Leases last five seconds, and the next worker is ahead."""

        async def run() -> None:
            async with Queue("q", self.url, clock=self.clock) as queue:
                queue.broker = wrap(queue.broker)
                worker = Worker(queue, cns, results=["result"], lease=5.0, **options)
                with suppress(asyncio.CancelledError):
                    await worker.run(until_idle=until_idle)

        asyncio.run(run())

    def records(self) -> list[tuple[str, int, Any]]:
        """Of each job its state, the attempts it used up, and its result."""
        rows = self._read(
            "SELECT jobs.state, jobs.attempts_made, coalesce(jobs.result, runs.result) "
            "FROM jobs LEFT JOIN runs ON runs.run = jobs.run ORDER BY jobs.seq"
        )
        return [(state, made, result and json.loads(result)) for state, made, result in rows]

    def left_behind(self) -> int:
        """Entries of progress that are still stored."""
        return int(self._read("SELECT count(*) FROM progress")[0][0])

    def _read(self, query: str) -> list[Any]:
        with closing(sqlite3.connect(urlsplit(self.url).path[1:])) as connection:
            return connection.execute(query).fetchall()
