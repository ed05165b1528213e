"""`cnstra enqueue`."""

import os
import stat
import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, BinaryIO, NamedTuple

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from cnstra.cli.addresses import Address, AsJson, Name, Url
from cnstra.cli.output import console, one_line, write_json
from cnstra.cli.usage import BadLine, IdForMany, InvalidBackoff, InvalidJSON, UsageError
from cnstra.engine.cns import CNS
from cnstra.engine.payloads import decode_json
from cnstra.engine.versions import UNVERSIONED
from cnstra.errors import CnstraError, InvalidOption, InvalidPayload, UnknownCollateral
from cnstra.jobs.job import Job
from cnstra.jobs.queue import Queue
from cnstra.jobs.retry import Backoff, exponential, fixed

BATCH = 500

Wire = Mapping[str, Any]


class Misfit(UsageError):
    """{reason}"""


def enqueue(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[APP:QUEUE] COLLATERAL [JSON | -]",
            help="Where to, what, and its payload; `-` reads one from each line of standard input.",
            show_default=False,
        ),
    ] = None,
    url: Url = None,
    name: Name = None,
    cns: Annotated[
        str | None,
        typer.Option(
            metavar="APP:CNS",
            help="The graph to check the signal against. [default: that of a worker in APP]",
        ),
    ] = None,
    max_attempts: Annotated[int, typer.Option(help="How many attempts may fail.")] = 1,
    backoff: Annotated[
        str | None,
        typer.Option(
            help="Before a retry: seconds, fixed:2.5 or exponential:1.0.", metavar="PAUSE"
        ),
    ] = None,
    delay: Annotated[float | None, typer.Option(help="Seconds until it is due.")] = None,
    priority: Annotated[int, typer.Option(help="Larger runs first.")] = 0,
    job_id: Annotated[str | None, typer.Option(help="An id that the queue takes once.")] = None,
    one_at_a_time: Annotated[
        str | None,
        typer.Option(metavar="KIND", help="Join the job of this kind that is not over yet."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Add a job, or one for each line of standard input. Prints its id, or how many were added."""
    wanted = "COLLATERAL [JSON | -]"
    address = Address.of(words, url, name, wanted, range(1, 3))
    collateral, payload = address.rest[0], [*address.rest, "null"][1]
    checked = Check(address.graph(cns), collateral)
    options: dict[str, Any] = {
        "max_attempts": max_attempts,
        "backoff": _backoff(backoff),
        "delay": delay,
        "priority": priority,
    }
    if payload == "-":
        if job_id is not None or one_at_a_time is not None:
            raise IdForMany(option="--job-id" if job_id is not None else "--one-at-a-time")
        added = address.ask_or_make(lambda queue: _enqueue_lines(queue, checked, options))
        whole: Any = {"enqueued": len(added), "jobs": [_as_json(job) for job in added]}
        print(len(added)) if not as_json else write_json(whole)
        return
    signal = checked.argument(payload)
    options |= {"job_id": job_id, "one_at_a_time": one_at_a_time}
    job = address.ask_or_make(lambda queue: queue.enqueue(signal, **options))
    if not job.new:
        print(f"cnstra: the queue has a job {job.id!r} already; it is unchanged", file=sys.stderr)
    print(job.id) if not as_json else write_json(_as_json(job))


class Check:
    """Makes signals of JSON, and checks them against the graph, where there is one."""

    def __init__(self, cns: CNS | None, collateral: str) -> None:
        self._cns = cns
        self._collateral = collateral
        if cns is not None:
            try:
                cns.network.require(collateral)
            except UnknownCollateral as error:
                raise Misfit(reason=error) from error

    def argument(self, payload: str) -> Wire:
        """The signal of a payload on the command line. Raises a `UsageError`."""
        try:
            return self.signal(payload)
        except ValueError as error:
            raise InvalidJSON(payload=payload, reason=error) from error
        except InvalidPayload as error:
            raise Misfit(reason=error) from error

    def signal(self, payload: str | bytes) -> Wire:
        """The signal of a payload. Raises `ValueError`, or `InvalidPayload`."""
        wire = {"collateralName": self._collateral, "payload": decode_json(payload)}
        if self._cns is not None:
            found = self._cns.network.collaterals.get(self._collateral)
            if found is not None and found.codec.version != UNVERSIONED:
                wire["v"] = found.codec.version
            self._cns.signals_of(dict(wire))
        return wire


class Line(NamedTuple):
    number: int
    text: bytes


async def _enqueue_lines(queue: Queue, check: Check, options: Mapping[str, Any]) -> list[Job]:
    added: list[Job] = []
    with _progress(sys.stdin.buffer) as advance:
        for batch in _batches(sys.stdin.buffer):
            signals = [_signal(line, check, batch[0].number, len(added)) for line in batch]
            added += await queue.enqueue_many(signals, **options)
            advance(sum(len(line.text) for line in batch), len(added))
    return added


def _signal(line: Line, check: Check, first: int, count: int) -> Wire:
    try:
        return check.signal(line.text)
    except (ValueError, CnstraError) as error:
        what = error if isinstance(error, CnstraError) else f"not JSON ({error})."
        raise BadLine(line=line.number, reason=one_line(what), first=first, count=count) from error


def _batches(source: BinaryIO) -> Iterator[list[Line]]:
    """The lines that are not blank, up to `BATCH` at once."""
    batch: list[Line] = []
    for number, text in enumerate(source, 1):
        if text.strip():
            batch.append(Line(number, text))
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


@contextmanager
def _progress(source: BinaryIO) -> Generator[Callable[[int, int], None]]:
    """A bar on standard error, if that is a terminal; by bytes, if standard input is a file."""
    screen = console(stderr=True)
    status = os.fstat(source.fileno())
    total = status.st_size if stat.S_ISREG(status.st_mode) else None
    columns = [
        TextColumn("{task.fields[jobs]} jobs"),
        BarColumn(),
        *([TaskProgressColumn(), TimeRemainingColumn()] if total is not None else []),
    ]
    with Progress(*columns, console=screen, disable=not screen.is_terminal) as progress:
        task = progress.add_task("", total=total, jobs=0)

        def advance(size: int, jobs: int) -> None:
            progress.update(task, advance=size, jobs=jobs)

        yield advance


def _backoff(text: str | None) -> Backoff | None:
    if text is None:
        return None
    kind, _, pause = text.rpartition(":")
    makers = {"": fixed, "fixed": fixed, "exponential": exponential}
    try:
        return makers[kind](float(pause))
    except (KeyError, ValueError) as error:
        if isinstance(error, InvalidOption):
            raise
        raise InvalidBackoff(value=text) from error


def _as_json(job: Job) -> dict[str, Any]:
    return {"id": job.id, "new": job.new}
