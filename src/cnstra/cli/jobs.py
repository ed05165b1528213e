"""`cnstra jobs`."""

import json
from typing import Annotated

import typer

from cnstra.cli.addresses import QUEUE_ONLY, Address, AsJson, Name, Url
from cnstra.cli.output import console, plain, when, write_json, write_json_line
from cnstra.cli.usage import NoSuchJob, NotPossible
from cnstra.cli.views import show_job, show_list
from cnstra.cli.watching import Watch
from cnstra.jobs.broker import Event, JobRecord, JobState
from cnstra.jobs.cloning import options_of
from cnstra.jobs.envelope import signal_in
from cnstra.jobs.job import Job
from cnstra.jobs.queue import Queue

app = typer.Typer(help="Look at jobs, and steer them.", rich_markup_mode=None)

IN_CODE = "Where the queue stands in code; else --url and --queue."

Words = Annotated[
    list[str] | None, typer.Argument(metavar=QUEUE_ONLY, help=IN_CODE, show_default=False)
]
WordsAndId = Annotated[
    list[str] | None,
    typer.Argument(metavar="[APP:QUEUE] JOB", help=f"{IN_CODE} Then the id.", show_default=False),
]
State = Annotated[JobState | None, typer.Option(help="Only those in this state.")]
Limit = Annotated[int, typer.Option(min=1, help="How many, newest first.")]

JOB = "the job's id"
ONE = range(1, 2)


@app.command("list")
def list_jobs(
    words: Words = None,
    url: Url = None,
    name: Name = None,
    state: State = None,
    limit: Limit = 100,
    as_json: AsJson = False,
) -> None:
    """List jobs, newest first, and how many are in each state."""
    address = Address.of(words, url, name)

    async def look(queue: Queue) -> None:
        show_list(await queue.jobs(state, limit=limit), address.redaction, as_json)
        if not as_json:
            counts = (f"{count} {known}" for known, count in (await queue.counts()).items())
            paused = ", and the queue is paused" if await queue.paused() else ""
            console(stderr=True).print(", ".join(counts) + paused)

    address.ask(look)


@app.command()
def show(
    words: WordsAndId = None, url: Url = None, name: Name = None, as_json: AsJson = False
) -> None:
    """Show a job. And what it owes, its context values and its results so far."""
    address = Address.of(words, url, name, JOB, ONE)
    address.ask(lambda queue: show_one(queue, address, as_json))


@app.command()
def watch(
    words: Words = None,
    url: Url = None,
    name: Name = None,
    every: Annotated[
        float, typer.Option(min=0.05, help="Seconds between two looks, at least.")
    ] = 0.5,
    as_json: AsJson = False,
) -> None:
    """Show the queue and its newest jobs, live, until Ctrl-C.

    In a pipe: a line for each change.
    """
    address = Address.of(words, url, name)
    address.ask(lambda queue: Watch(queue, address.redaction, every, as_json=as_json).run())


@app.command()
def follow(
    words: Words = None, url: Url = None, name: Name = None, as_json: AsJson = False
) -> None:
    """Print what happens in the queue as it happens. On all its workers, until Ctrl-C."""

    async def watch(queue: Queue) -> None:
        async for event in queue.events():
            _print_event(event, as_json)

    Address.of(words, url, name).ask(watch)


@app.command()
def cancel(words: WordsAndId = None, url: Url = None, name: Name = None) -> None:
    """End a job. It goes to the dead letters, at once or when its worker hears of it."""
    address = Address.of(words, url, name, JOB, ONE)

    async def end(queue: Queue) -> None:
        if not await queue.cancel(address.rest[0]):
            record = await found(queue, address.rest[0])
            raise NotPossible(
                job_id=record.id,
                state=record.state,
                allowed="a waiting, delayed or active job",
                done="cancelled",
            )

    address.ask(end)


@app.command()
def retry(words: WordsAndId = None, url: Url = None, name: Name = None) -> None:
    """Put a dead job back. It has all its attempts again, and goes on where it stands."""
    address = Address.of(words, url, name, JOB, ONE)

    async def put_back(queue: Queue) -> None:
        if not await queue.redrive(address.rest[0]):
            record = await found(queue, address.rest[0])
            raise NotPossible(
                job_id=record.id, state=record.state, allowed="a dead job", done="retried"
            )

    address.ask(put_back)


@app.command()
def clone(
    words: WordsAndId = None,
    url: Url = None,
    name: Name = None,
    job_id: Annotated[str | None, typer.Option(help="The id of the new job.")] = None,
    as_json: AsJson = False,
) -> None:
    """Add a job like another, that runs from the entry. Prints its id."""
    address = Address.of(words, url, name, JOB, ONE)

    async def again(queue: Queue) -> Job:
        record = await found(queue, address.rest[0])
        return await queue.enqueue(
            signal_in(record.id, record.data), job_id=job_id, **options_of(record)
        )

    job = address.ask(again)
    print(job.id) if not as_json else write_json({"id": job.id, "new": job.new})


@app.command()
def remove(words: WordsAndId = None, url: Url = None, name: Name = None) -> None:
    """Drop a job that is not active, with all that is stored of it."""
    address = Address.of(words, url, name, JOB, ONE)

    async def drop(queue: Queue) -> None:
        if not await queue.remove(address.rest[0]):
            record = await found(queue, address.rest[0])
            raise NotPossible(
                job_id=record.id,
                state=record.state,
                allowed="a job that no worker holds",
                done="removed: cancel it first",
            )

    address.ask(drop)


async def found(queue: Queue, job_id: str) -> JobRecord:
    """The job. Raises `NoSuchJob`."""
    record = await queue.record(job_id)
    if record is None:
        raise NoSuchJob(queue=queue.name, url=queue.place, job_id=job_id)
    return record


async def show_one(queue: Queue, address: Address, as_json: bool) -> None:
    """Print all that is known of a job. Raises `NoSuchJob`."""
    record = await found(queue, address.rest[0])
    show_job(record, await queue.progress(record.id), address.redaction, as_json)


def _print_event(event: Event, as_json: bool) -> None:
    if as_json:
        write_json_line(
            {
                "id": event.id,
                "at": when(event.at),
                "kind": event.kind,
                "job": event.job_id,
                "detail": dict(event.detail),
            }
        )
        return
    detail = json.dumps(dict(event.detail), ensure_ascii=False) if event.detail else ""
    line = f"{when(event.at)} {event.kind:<9} {event.job_id or ''} {detail}"
    print(plain(line.rstrip()).plain, flush=True)
