"""A page for Prometheus to scrape, without any package: `Metrics(":9464")`.

It is served from the thread on which the broker's client lives, so a handler that blocks the
worker's loop does not keep it from answering.
"""

import asyncio
import logging
from bisect import bisect_left
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field

from cnstra.clock import SYSTEM_CLOCK
from cnstra.errors import CnstraError, InvalidOption, IOClosed
from cnstra.jobs.attempt import Settled
from cnstra.jobs.observing import Onlooker, Work
from cnstra.jobs.queue import Queue
from cnstra.jobs.settlement import Delivery
from cnstra.telemetry.outcomes import OUTCOMES, Outcome, outcome_of

__all__ = ["Metrics"]

logger = logging.getLogger("cnstra.telemetry")

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
"""Seconds."""

PATIENCE = 5.0
"""Seconds that a client has to ask."""

LONGEST_REQUEST = 8192
NONE: Mapping[str, int] = {}
KIND = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(slots=True)
class Tally:
    """What was seen of queues of one name, by where they are: a name is told of once only."""

    queues: dict[str, Queue] = field(default_factory=dict[str, Queue])
    active: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter[Outcome])
    seconds: float = 0.0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))


class Metrics(Onlooker):
    """Counts what a worker does, and tells it at `http://HOST:PORT/metrics` while it runs.

    address: `HOST:PORT`; `:9464` listens on all of the machine's addresses, `127.0.0.1:0` on any
        port that is free. Several processes of one worker need a port each.

    >>> worker = Worker(queue, cns, observers=[Metrics(":9464")])
    """

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        if not port.isdigit() or int(port) > 65535:
            remedy = "give HOST:PORT, or :PORT, as in :9464"
            raise InvalidOption(option="metrics", value=address, remedy=remedy)
        self._host, self._port = host.strip("[]") or None, int(port)
        self._tallies: dict[str, Tally] = {}
        self.port: int | None = None
        """Where it listens, while it does."""

    def at_work(self, queue: Queue) -> AbstractAsyncContextManager[object]:
        return self._served(queue)

    @asynccontextmanager
    async def _served(self, queue: Queue) -> AsyncGenerator[None, None]:
        self._tally(queue)
        if self.port is not None:  # of another worker of this process
            yield
            return
        server = await queue.io.call(self._listen)
        try:
            yield
        finally:
            self.port = None
            with suppress(IOClosed):  # and the server with it
                await queue.io.call(lambda: _stop(server))

    async def attempt(self, queue: Queue, delivery: Delivery, work: Work) -> Settled:
        del delivery
        tally, started = self._tally(queue), SYSTEM_CLOCK.monotonic()
        tally.active += 1
        try:
            settled = await work()
        finally:
            tally.active -= 1
        took = SYSTEM_CLOCK.monotonic() - started
        tally.outcomes[outcome_of(settled.settlement)[0]] += 1
        tally.seconds += took
        tally.buckets[bisect_left(BUCKETS, took)] += 1
        return settled

    def _tally(self, queue: Queue) -> Tally:
        tally = self._tallies.setdefault(queue.name, Tally())
        tally.queues[queue.url] = queue
        return tally

    # --- on the I/O thread

    async def _listen(self) -> asyncio.Server:
        try:
            server = await asyncio.start_server(
                self._answer, self._host, self._port, limit=LONGEST_REQUEST
            )
        except OSError as error:
            remedy = f"{error.strerror or error}: give another port"
            address = f"{self._host or ''}:{self._port}"
            raise InvalidOption(option="metrics", value=address, remedy=remedy) from error
        self.port = server.sockets[0].getsockname()[1]
        logger.info("Metrics are at http://%s:%d/metrics.", self._host or "localhost", self.port)
        return server

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, TimeoutError, EOFError, asyncio.LimitOverrunError):
            async with asyncio.timeout(PATIENCE):
                asked = await reader.readuntil(b"\r\n\r\n")
            method, path = [*asked.split(b" ", 2), b"", b""][:2]
            found = method == b"GET" and path.partition(b"?")[0] in (b"/metrics", b"/")
            body = (await self.page()).encode() if found else b"Ask for /metrics.\n"
            status = "200 OK" if found else "404 Not Found"
            head = f"HTTP/1.1 {status}\r\nContent-Type: {KIND}\r\nContent-Length: {len(body)}\r\n"
            writer.write(f"{head}Connection: close\r\n\r\n".encode() + body)
            await writer.drain()
        writer.close()

    async def page(self) -> str:
        """All of it, in the text format of Prometheus."""
        lines: list[str] = []
        for name, kind, help_text in FAMILIES:
            lines += [f"# HELP {name} {help_text}", f"# TYPE {name} {kind}"]
            for queue, tally in list(self._tallies.items()):
                depths = await _depths(tally) if name == "cnstra_queue_jobs" else NONE
                lines += _lines(name, queue, tally, depths)
        return "\n".join(lines) + "\n"


FAMILIES = (
    ("cnstra_jobs_active", "gauge", "Jobs that this worker runs now."),
    ("cnstra_attempts_total", "counter", "Attempts that ended, by what came of them."),
    ("cnstra_attempt_seconds", "histogram", "How long attempts took."),
    ("cnstra_queue_jobs", "gauge", "Jobs in the queue, by state, as far as its broker counts."),
)


async def _depths(tally: Tally) -> Mapping[str, int]:
    """How many jobs are in each state, without those of a broker that is away."""
    depths: Counter[str] = Counter()
    for queue in list(tally.queues.values()):
        with suppress(CnstraError):
            depths.update(await queue.counts())
    return depths


def _lines(name: str, queue: str, tally: Tally, depths: Mapping[str, int]) -> Iterator[str]:
    label = f'queue="{_escaped(queue)}"'
    match name:
        case "cnstra_jobs_active":
            yield f"{name}{{{label}}} {tally.active}"
        case "cnstra_attempts_total":
            for outcome in OUTCOMES:
                yield f'{name}{{{label},outcome="{outcome}"}} {tally.outcomes[outcome]}'
        case "cnstra_attempt_seconds":
            total = 0
            for limit, count in zip([*BUCKETS, "+Inf"], tally.buckets, strict=True):
                total += count
                yield f'{name}_bucket{{{label},le="{limit}"}} {total}'
            yield f"{name}_sum{{{label}}} {tally.seconds}"
            yield f"{name}_count{{{label}}} {total}"
        case _:
            for state, depth in depths.items():
                yield f'{name}{{{label},state="{state}"}} {depth}'


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


async def _stop(server: asyncio.Server) -> None:
    server.close()
    await server.wait_closed()
