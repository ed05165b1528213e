"""`cnstra jobs watch`: a queue, live on a terminal; elsewhere a line for each change."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.live import Live

from cnstra.cli.output import console, plain, when, write_json_line
from cnstra.cli.views import STATE_STYLES, list_of
from cnstra.errors import BrokerUnavailable
from cnstra.jobs.broker import JobRecord, JobState
from cnstra.jobs.queue import Queue
from cnstra.jobs.redaction import Redaction

LONGEST = 2.0
"""Seconds after which it looks again, whatever it is told."""

ROOM = 6
"""Lines of the terminal that are no jobs."""


@dataclass(frozen=True, slots=True)
class View:
    """A queue at a moment. away: why it could not be seen, if so."""

    at: float
    counts: Mapping[JobState, int]
    paused: bool = False
    jobs: Sequence[JobRecord] = ()
    away: str | None = None


class Watch:
    """Looks at a queue whenever something may have changed, but no more than once in `every` s."""

    def __init__(self, queue: Queue, redaction: Redaction, every: float, *, as_json: bool) -> None:
        self._queue = queue
        self._redaction = redaction
        self._every = every
        self._as_json = as_json
        self._screen = console()

    async def run(self) -> None:
        """Until it is stopped."""
        if self._screen.is_terminal and not self._as_json:
            await self._live()
        else:
            await self._lines()

    async def _live(self) -> None:
        rows = max(1, self._screen.height - ROOM)
        with Live(console=self._screen, auto_refresh=False, screen=True) as live:
            async for view in self._views(rows):
                live.update(self._picture(view), refresh=True)

    async def _lines(self) -> None:
        before: tuple[object, ...] | None = None
        async for view in self._views(0):
            now = (dict(view.counts), view.paused, view.away)
            if now != before:
                before = now
                self._print(view)

    async def _views(self, rows: int) -> AsyncGenerator[View, None]:
        seen: int | None = None
        while True:
            view = await self._look(rows)
            yield view
            await self._queue.clock.sleep(self._every)
            with suppress(BrokerUnavailable):
                seen = await self._queue.watch(max(0.0, LONGEST - self._every), seen)

    async def _look(self, rows: int) -> View:
        queue, now = self._queue, self._queue.clock.time()
        try:
            counts, paused = await queue.counts(), await queue.paused()
            state: JobState | None = (
                None if "waiting" in queue.broker.capabilities.lists else "dead"
            )
            jobs = await queue.jobs(state, limit=rows) if rows else ()
            return View(now, counts, paused, jobs)
        except BrokerUnavailable as error:
            return View(now, {}, away=str(error))

    def _picture(self, view: View) -> RenderableType:
        title = plain(f"{self._queue.name}  {when(view.at)}", "bold")
        if view.away is not None:
            return Group(title, plain(view.away, "red"))
        counts = plain("")
        for state, count in view.counts.items():
            counts.append_text(plain(f"{count} {state}   ", STATE_STYLES.get(state, "")))
        if view.paused:
            counts.append_text(plain("paused", "bold yellow"))
        return Group(title, counts, plain(""), list_of(view.jobs, self._redaction))

    def _print(self, view: View) -> None:
        if self._as_json:
            write_json_line(
                {
                    "at": when(view.at),
                    "counts": dict(view.counts),
                    "paused": view.paused,
                    "away": view.away,
                }
            )
            return
        counts = ", ".join(f"{count} {state}" for state, count in view.counts.items())
        told = view.away or counts + (", paused" if view.paused else "")
        print(plain(f"{when(view.at)} {told}").plain, flush=True)
