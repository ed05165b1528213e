"""Wakes whoever waits for work, from any thread, on any loop."""

import asyncio
import threading
from contextlib import suppress

from cnstra.clock import Clock


class Bell:
    """Rings are counted, so that one that came while nobody waited is heard all the same."""

    def __init__(self) -> None:
        self.rings = 0
        self._lock = threading.Lock()
        self._waiting: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}

    def ring(self) -> None:
        """Wake all who wait. May be called on any thread."""
        with self._lock:
            self.rings += 1
            waiting = list(self._waiting.items())
        for event, loop in waiting:
            with suppress(RuntimeError):  # the loop is closed: nobody waits there any more
                loop.call_soon_threadsafe(event.set)

    async def wait(self, heard: int, longest: float, clock: Clock) -> None:
        """Return once it has rung more than `heard` times, or after so many seconds."""
        event = asyncio.Event()
        with self._lock:
            if self.rings > heard:
                return
            self._waiting[event] = asyncio.get_running_loop()
        waits = [asyncio.ensure_future(event.wait()), asyncio.ensure_future(clock.sleep(longest))]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            with self._lock:
                del self._waiting[event]
            for one in waits:
                one.cancel()
