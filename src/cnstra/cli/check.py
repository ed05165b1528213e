"""`cnstra check`."""

import os
from collections.abc import Sequence
from contextlib import aclosing
from typing import Annotated, Any

import typer

from cnstra.cli.addresses import Address, AsJson
from cnstra.cli.jobs import State
from cnstra.cli.output import console, one_line, plain, table, write_json
from cnstra.cli.progress import counted
from cnstra.cli.targets import is_there, load
from cnstra.cli.usage import QueueNotNamed
from cnstra.engine.cns import CNS
from cnstra.jobs.broker import JobState
from cnstra.jobs.checking import Problem, checked_states
from cnstra.jobs.checking import check as problems
from cnstra.jobs.queue import Queue

STUCK = 1
"""The exit code where something cannot be resumed."""


def check(
    target: Annotated[
        str, typer.Argument(metavar="APP:CNS", help="The code at hand.", show_default=False)
    ],
    queues: Annotated[
        list[str] | None,
        typer.Option(
            "--queue",
            help="APP:QUEUE, or its name at --url. May be given several times.",
            metavar="QUEUE",
            envvar="CNSTRA_QUEUE",
            show_default=False,
        ),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(help="The broker of the queues.", metavar="URL", envvar="CNSTRA_URL"),
    ] = None,
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """Look for jobs that this code could not run or resume.

    Before it is deployed: it says why, and exits with 1 if there are any.
    """
    if not queues:
        raise QueueNotNamed
    cns = load(target, CNS)
    found: list[dict[str, Any]] = []
    looked = 0
    for name in queues:
        address = _address(name, url)
        problems_here, count = address.ask(lambda queue: _look(queue, cns, state))
        found += problems_here
        looked += count
    if as_json:
        write_json({"jobs": looked, "problems": found})
    else:
        _show(found, looked)
    if found:
        raise typer.Exit(STUCK)


def _address(name: str, url: str | None) -> Address:
    """The queue of that name at `url`, or in code: that goes before a URL of the environment."""
    typed = url != os.environ.get("CNSTRA_URL")
    if url is None or (":" in name and not typed and is_there(name)):
        return Address.of([name], None, None)
    return Address.of([], url, name)


async def _look(queue: Queue, cns: CNS, state: JobState | None) -> tuple[list[dict[str, Any]], int]:
    """The problems in a queue, and at how many jobs was looked."""
    listed = checked_states(queue)
    screen = console(stderr=True)
    if state is None and "waiting" not in listed:
        scheme = queue.url.partition(":")[0]
        screen.print(f"A broker at {scheme}:// lists only these jobs: {', '.join(listed)}.")
    wanted = listed if state is None else (state,)
    counts = await queue.counts()
    with counted(sum(counts.get(state, 0) for state in wanted)) as advance:
        looked = 0

        def seen() -> None:
            nonlocal looked
            looked += 1
            advance()

        async with aclosing(problems(queue, cns.network, wanted, seen)) as told:
            return [_as_json(queue, one) async for one in told], looked


def _as_json(queue: Queue, problem: Problem) -> dict[str, Any]:
    return {
        "queue": queue.name,
        "job": problem.job.id,
        "state": problem.job.state,
        "neuron": problem.neuron,
        "collateral": problem.collateral,
        "reason": one_line(problem.reason),
    }


def _show(found: Sequence[dict[str, Any]], looked: int) -> None:
    screen = console()
    if found:
        rows = (
            (one["queue"], one["job"], one["state"], one["neuron"] or "", one["reason"])
            for one in found
        )
        screen.print(table(["QUEUE", "JOB", "STATE", "NEURON", "WHY"], rows))
    console(stderr=True).print(plain(_verdict(found, looked)))


def _verdict(found: Sequence[dict[str, Any]], looked: int) -> str:
    if not looked:
        return "there was no job to look at: is the name of the queue right?"
    stuck = len({(one["queue"], one["job"]) for one in found})
    if stuck:
        return f"{stuck} of {looked} {'job' if looked == 1 else 'jobs'} cannot go on with this code"
    return f"this code can go on with {'the only job' if looked == 1 else f'all of {looked} jobs'}"
