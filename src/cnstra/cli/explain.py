"""`cnstra explain`."""

from typing import Any

from rich.console import Console
from rich.padding import Padding

from cnstra.cli.addresses import Address, AsJson, Graph, Name, Url
from cnstra.cli.jobs import JOB, ONE, WordsAndId
from cnstra.cli.output import brief, console, one_line, plain, table, when, write_json
from cnstra.cli.usage import NoSuchJob
from cnstra.engine.payloads import decode_json
from cnstra.jobs.explanation import Explanation, OwedTask
from cnstra.jobs.explanation import explain as explained
from cnstra.jobs.queue import Queue


def explain(
    words: WordsAndId = None,
    url: Url = None,
    name: Name = None,
    cns: Graph = None,
    as_json: AsJson = False,
) -> None:
    """Say why a job stands where it stands.

    And what its retry runs and skips, and where its results are. What is skipped is known where the
    code is: a worker in APP, or --cns.
    """
    address = Address.of(words, url, name, JOB, ONE)
    graph = address.graph(cns)

    async def look(queue: Queue) -> None:
        found = await explained(queue, address.rest[0], None if graph is None else graph.network)
        if found is None:
            raise NoSuchJob(queue=queue.name, url=queue.place, job_id=address.rest[0])
        found = address.redaction.explanation(found)
        results = where_results_are(found, queue)
        if as_json:
            write_json({**explanation_as_json(found), "resultsAre": results})
        else:
            show(found, results, knows_graph=graph is not None)

    address.ask(look)


def explanation_as_json(found: Explanation) -> dict[str, Any]:
    """An explanation, for programs."""
    job = found.job
    return {
        "id": job.id,
        "run": job.run,
        "state": job.state,
        "attemptsMade": job.attempts_made,
        "maxAttempts": job.max_attempts,
        "standing": found.standing,
        "next": found.next,
        "beginsAfresh": found.begins_afresh,
        "runs": [_owed_as_json(task) for task in found.runs],
        "follows": list(found.follows),
        "skips": list(found.skips),
        "context": {name: decode_json(value) for name, value in found.contexts.items()},
        "results": [decode_json(one) for one in found.results],
        "unreadable": found.unreadable,
    }


def _owed_as_json(task: OwedTask) -> dict[str, Any]:
    error = task.error
    return {
        "key": task.key,
        "neuron": task.neuron,
        "collateral": task.collateral,
        "payload": decode_json(task.payload),
        "error": None if error is None else {"name": error.name, "message": error.message},
        "interrupted": error is not None and error.aborted,
        "crashes": task.crashes,
        "problem": task.problem,
        "heldBack": task.held_back,
    }


def where_results_are(found: Explanation, queue: Queue) -> str:
    """Where the results of the job are, or will be."""
    job, count = found.job, len(found.results)
    place = "the queue" if queue.broker.capabilities.atomic_settlement else "the queue's store"
    if job.state == "completed":
        until = when(None if job.finished_at is None else job.finished_at + queue.keep_results)
        kept = f" until {until}" if until else ""
        return f"In {place}{kept}: `await job.result()`, or `cnstra jobs show`."
    if count:
        noun = "result is" if count == 1 else "results are"
        return f"{count} {noun} saved with its progress, and will be part of the whole."
    return "There are none yet."


def show(found: Explanation, results: str, *, knows_graph: bool) -> None:
    """An explanation, for people."""
    screen = console()
    _say(screen, "Where it stands", found.standing)
    _say(screen, "What happens next", found.next)
    if found.unreadable is not None:
        _say(screen, "Its progress cannot be read", one_line(found.unreadable))
    if found.begins_afresh:
        _say(screen, "A retry runs", "all of it: nothing of the run has been saved.")
    if found.runs:
        _head(screen, "A retry runs")
        screen.print(table(["NEURON", "COLLATERAL", "PAYLOAD", "WHY"], map(_row, found.runs)))
        _say(screen, "What may follow", ", ".join(found.follows) or "nothing")
        skips = ", ".join(found.skips) or "nothing"
        unknown = "not known without the code: name it by --cns APP:CNS"
        _say(screen, "A retry skips", skips if knows_graph else unknown)
    for task in found.runs:
        if task.problem is not None:
            _say(screen, f"This code cannot run {task.neuron!r}", one_line(task.problem))
    if found.contexts:
        _head(screen, "Context")
        values = ((name, brief(decode_json(value))) for name, value in found.contexts.items())
        screen.print(table(["NEURON", "VALUE"], values))
    _say(screen, "Results", results)


def _row(task: OwedTask) -> tuple[str, str, str, str]:
    return task.neuron, task.collateral, brief(decode_json(task.payload)), _why(task)


def _why(task: OwedTask) -> str:
    more = f", its process died {task.crashes} times in a row" if task.crashes else ""
    more += ", held back while another branch runs" if task.held_back else ""
    if task.error is None:
        return f"not done yet{more}"
    if task.error.aborted:
        return f"interrupted{more}"
    return f"{one_line(f'{task.error.name}: {task.error.message}')}{more}"


def _say(screen: Console, heading: str, text: str) -> None:
    _head(screen, heading)
    screen.print(Padding(plain(text), (0, 0, 0, 2), expand=False))


def _head(screen: Console, heading: str) -> None:
    screen.print(plain(heading, "bold"))
