"""`cnstra dead`: the dead letters."""

from typing import Annotated

import typer

from cnstra.cli.addresses import Address, AsJson, Name, Url
from cnstra.cli.jobs import JOB, ONE, Limit, Words, WordsAndId, found, show_one
from cnstra.cli.output import write_json
from cnstra.cli.progress import counted
from cnstra.cli.usage import NotPossible, OneOrAll
from cnstra.cli.views import show_list
from cnstra.jobs.editing import redrive_branch
from cnstra.jobs.queue import Queue

app = typer.Typer(help="Look at the dead letters, and put them back.", rich_markup_mode=None)

PAGE = 500


@app.command("list")
def list_dead(
    words: Words = None,
    url: Url = None,
    name: Name = None,
    limit: Limit = 100,
    as_json: AsJson = False,
) -> None:
    """List dead jobs, newest first."""
    address = Address.of(words, url, name)

    async def look(queue: Queue) -> None:
        show_list(await queue.jobs("dead", limit=limit), address.redaction, as_json)

    address.ask(look)


@app.command()
def show(
    words: WordsAndId = None, url: Url = None, name: Name = None, as_json: AsJson = False
) -> None:
    """Show a dead job. Its error, what it owes, its context values and its results so far."""
    address = Address.of(words, url, name, JOB, ONE)

    async def look(queue: Queue) -> None:
        await _require_dead(queue, address.rest[0], "shown here")
        await show_one(queue, address, as_json)

    address.ask(look)


@app.command()
def redrive(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[APP:QUEUE] [JOB]", show_default=False)
    ] = None,
    url: Url = None,
    name: Name = None,
    everything: Annotated[bool, typer.Option("--all", help="All dead jobs.")] = False,
    branch: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help="Run this task of it alone, and what comes of it; it owes the others still. "
            "'cnstra explain --json' tells the keys.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Put a dead job back. It has all its attempts again, and goes on where it stood."""
    address = Address.of(words, url, name, f"{JOB}, or --all", range(2))
    if len(address.rest) + everything != 1 or (everything and branch is not None):
        raise OneOrAll
    redriven = address.ask(
        _redrive_all if everything else lambda queue: _redrive_one(queue, address.rest[0], branch)
    )
    if as_json:
        write_json({"redriven": redriven})
    else:
        print(len(redriven) if everything else redriven[0])


async def _redrive_one(queue: Queue, job_id: str, branch: str | None) -> list[str]:
    await _require_dead(queue, job_id, "redriven")
    if branch is None:
        await queue.redrive(job_id)
    else:
        await redrive_branch(queue, job_id, branch)
    return [job_id]


async def _redrive_all(queue: Queue) -> list[str]:
    """All that are dead now: one that dies again meanwhile is not put back twice."""
    dead: list[str] = []
    while page := await queue.jobs("dead", limit=PAGE, offset=len(dead)):
        dead += [record.id for record in page]
    redriven: list[str] = []
    with counted(len(dead)) as advance:
        for job_id in dead:
            if await queue.redrive(job_id):
                redriven.append(job_id)
            advance()
    return redriven


async def _require_dead(queue: Queue, job_id: str, done: str) -> None:
    record = await found(queue, job_id)
    if record.state != "dead":
        raise NotPossible(job_id=job_id, state=record.state, allowed="a dead job", done=done)
