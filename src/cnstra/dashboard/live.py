"""Tells a browser when something has changed: it then asks for its page again."""

import asyncio
from collections.abc import AsyncIterator

from starlette.responses import Response, StreamingResponse

from cnstra.dashboard.desk import Ask, Desk
from cnstra.errors import CnstraError

QUIET = 5.0
"""Seconds after which a word is said all the same: the broker answers, and the line is not dead."""

PAUSE = 1.0
"""Seconds between two words at least. After the last change one more follows: the history is
written a moment later."""

AWAY = 2.0
"""Seconds after which a broker that was away is asked again."""

LASTS = 300.0
"""Seconds after which a stream ends. The browser asks for another: who it is, is looked at anew."""


async def show(desk: Desk, ask: Ask) -> Response:
    """Server-sent events: `changed`, each time something may have."""
    del desk
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(changes(ask), media_type="text/event-stream", headers=headers)


async def changes(ask: Ask) -> AsyncIterator[str]:
    """A word for each change, for as long as the browser listens; and one more once the counts
    that are shown are those of after it. `away` while the broker is, and `changed` after it.
    """
    queue, counts = ask.source.queue, ask.source.counts
    mark: int | None = None
    told, counted = False, False
    began_at = changed_at = queue.clock.monotonic()
    yield "retry: 2000\n\n"
    while queue.clock.monotonic() < began_at + LASTS:
        before, was_behind = mark, not counted
        pause = PAUSE if told or was_behind else QUIET
        try:
            async with asyncio.timeout(pause + QUIET):
                mark = await queue.watch(0 if before is None else pause, before)
                await queue.paused()  # a broker that is away may let us watch in silence
            if mark != before:
                changed_at = queue.clock.monotonic()
            counted = await counts.covers(changed_at)
        except (CnstraError, TimeoutError):
            told = True
            yield "event: away\ndata:\n\n"
            await queue.clock.sleep(AWAY)
            continue
        has_changed = before is not None and mark != before
        if has_changed or told or (was_behind and counted):
            yield "event: changed\ndata:\n\n"
        else:
            yield ": nothing new\n\n"
        told = has_changed
        await asyncio.sleep(PAUSE)
