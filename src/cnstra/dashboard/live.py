"""Tells a browser when something has changed: it then asks for its page again."""

import asyncio
from collections.abc import AsyncIterator

from starlette.responses import Response, StreamingResponse

from cnstra.dashboard.desk import Ask, Desk
from cnstra.errors import CnstraError

QUIET = 15.0
"""Seconds after which a word is said all the same, so that nobody takes the line for dead."""

PAUSE = 1.0
"""Seconds between two words at least. After the last change one more follows: the history is
written a moment later."""


async def show(desk: Desk, ask: Ask) -> Response:
    """Server-sent events: `changed`, each time something may have."""
    del desk
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(changes(ask), media_type="text/event-stream", headers=headers)


async def changes(ask: Ask) -> AsyncIterator[str]:
    """A word for each change, for as long as the browser listens; and one more once the counts
    that are shown are those of after it.
    """
    queue, counts = ask.source.queue, ask.source.counts
    mark, told, counted = await queue.watch(0), False, False
    changed_at = queue.clock.monotonic()
    yield "retry: 2000\n\n"
    while True:
        before, was_behind = mark, not counted
        try:
            mark = await queue.watch(PAUSE if told or was_behind else QUIET, before)
            if mark != before:
                changed_at = queue.clock.monotonic()
            counted = await counts.covers(changed_at)
        except CnstraError:
            await queue.clock.sleep(QUIET)
        if mark != before or told or (was_behind and counted):
            yield "event: changed\ndata:\n\n"
        else:
            yield ": nothing new\n\n"
        told = mark != before
        await asyncio.sleep(PAUSE)
