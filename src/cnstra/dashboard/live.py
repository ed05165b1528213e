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
    """A word for each change, for as long as the browser listens."""
    queue, mark, told = ask.source.queue, await ask.source.queue.watch(0), False
    yield "retry: 2000\n\n"
    while True:
        try:
            before, mark = mark, await queue.watch(PAUSE if told else QUIET, mark)
        except CnstraError:
            before = mark
            await queue.clock.sleep(QUIET)
        if mark != before or told:
            yield "event: changed\ndata:\n\n"
        else:
            yield ": nothing new\n\n"
        told = mark != before
        await asyncio.sleep(PAUSE)
