"""Time, sleep and chance, as something that a test can replace."""

import asyncio
import random
import time
import uuid
from datetime import timedelta
from typing import Protocol


def seconds(duration: float | timedelta) -> float:
    """A duration in seconds, whether it was given as a number or as a `timedelta`."""
    return duration.total_seconds() if isinstance(duration, timedelta) else float(duration)


class Clock(Protocol):
    """What everything in cnstra asks for the time, for a pause, for chance and for a fresh id."""

    def time(self) -> float:
        """Seconds since the epoch: what is written down and compared between processes."""
        ...

    def monotonic(self) -> float:
        """Seconds that never run backwards: what is measured inside one process."""
        ...

    async def sleep(self, duration: float) -> None:
        """Let `duration` seconds pass."""
        ...

    def random(self) -> float:
        """A number in [0, 1)."""
        ...

    def new_id(self) -> str:
        """A text that no other call, in any process, has returned."""
        ...


class SystemClock(Clock):
    """The machine's own time and chance."""

    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, duration: float) -> None:
        await asyncio.sleep(duration)

    def random(self) -> float:
        return random.random()

    def new_id(self) -> str:
        return uuid.uuid4().hex


SYSTEM_CLOCK = SystemClock()


async def pause(clock: Clock, duration: float, until: asyncio.Event) -> bool:
    """Let `duration` seconds pass, or fewer if `until` is set before; whether it was."""
    sleeper = asyncio.ensure_future(clock.sleep(duration))
    waiter = asyncio.ensure_future(until.wait())
    try:
        await asyncio.wait({sleeper, waiter}, return_when=asyncio.FIRST_COMPLETED)
        if sleeper.done():
            sleeper.result()
    finally:
        sleeper.cancel()
        waiter.cancel()
        await asyncio.gather(sleeper, waiter, return_exceptions=True)
    return until.is_set()
