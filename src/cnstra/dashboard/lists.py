"""Lists, a page at a time: the jobs that a queue holds, and the runs that its history knows."""

from starlette.responses import Response

from cnstra.dashboard.desk import Ask, Desk
from cnstra.dashboard.sources import Source
from cnstra.errors import UndecodableJob
from cnstra.history.records import RUN_STATES, RunState
from cnstra.history.store import RunPage, RunQuery
from cnstra.jobs.broker import JobRecord, JobState
from cnstra.jobs.envelope import entry_in
from cnstra.jobs.redaction import LEFT_OUT

ROWS = 50

SPANS = {"": None, "1h": 3600.0, "24h": 86_400.0, "7d": 604_800.0}


async def show_jobs(desk: Desk, ask: Ask) -> Response:
    """The jobs that the broker holds, in one state or in all that it lists."""
    queue, lists = ask.source.queue, ask.source.lists
    wanted, after = ask.query("state"), ask.query("after")
    state: JobState | None = next((one for one in lists if one == wanted), None)
    if state is None and len(lists) == 1:
        state = lists[0]
    offset = int(after[:9]) if after.isdecimal() else 0
    found = list(await queue.jobs(state, limit=ROWS + 1, offset=offset))
    return desk.render(
        ask,
        "jobs.html",
        jobs=[(one, entry_of(one, ask.source)) for one in found[:ROWS]],
        state=state or "",
        counts=await ask.source.counts.get(),
        lists=lists,
        first=offset,
        next=str(offset + ROWS) if len(found) > ROWS else "",
    )


async def show_runs(desk: Desk, ask: Ask) -> Response:
    """The runs that the history knows, by what is asked for."""
    states: tuple[RunState, ...] = tuple([s for s in RUN_STATES if s == ask.query("state")])
    span = SPANS.get(ask.query("within"))
    clock = ask.source.queue.clock
    history = ask.source.history
    page = RunPage((), "")
    if history is not None:
        page = await history.runs(
            RunQuery(
                ask.source.queue.name,
                states=states,
                text=ask.query("job"),
                neuron=ask.query("neuron"),
                fingerprint=ask.query("like"),
                since=None if span is None else clock.time() - span,
                cursor=ask.query("after"),
                limit=ROWS,
            )
        )
    asked = {name: ask.query(name) for name in ("state", "job", "neuron", "like", "within")}
    return desk.render(
        ask,
        "runs.html",
        page=page,
        asked=asked,
        states=RUN_STATES,
        spans=[name for name in SPANS if name],
        neurons=sorted(ask.source.network.neurons) if ask.source.network is not None else [],
        is_kept=history is not None,
    )


def entry_of(job: JobRecord, source: Source) -> tuple[str, bytes]:
    """The collateral and the payload with which a job begins, as they may be shown; its bare data,
    where it is no signal and nothing is to be redacted.
    """
    try:
        signal = entry_in(job.id, job.data)
    except UndecodableJob:
        history = source.history
        return "", LEFT_OUT if history is not None and history.redacts else job.data
    return signal.collateral_name, source.struck(signal.collateral_name, bytes(signal.payload))
