"""A clock that stands still until a test moves it."""

import asyncio
from itertools import count

EPOCH = 1_700_000_000.0
TURNS = 30
PATIENCE = 10.0


class ManualClock:
    """Time passes by `advance` alone; those who sleep wake when it has passed them by."""

    def __init__(self) -> None:
        self.elapsed = 0.0
        self.sleepers: list[tuple[float, asyncio.Future[None]]] = []
        self.ids = count(1)

    def time(self) -> float:
        return EPOCH + self.elapsed

    def monotonic(self) -> float:
        return self.elapsed

    async def sleep(self, duration: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.sleepers.append((self.elapsed + duration, woken))
        await woken

    def random(self) -> float:
        return 0.5

    def new_id(self) -> str:
        return f"id-{next(self.ids)}"

    async def asleep(self) -> None:
        """Wait, in real time, until somebody sleeps: first a real server may be asked."""
        async with asyncio.timeout(PATIENCE):
            while not self.sleepers:
                await asyncio.sleep(0.001)
        await settled()

    async def advance(self, duration: float) -> None:
        self.elapsed += duration
        for wakes_at, sleeper in self.sleepers:
            if wakes_at <= self.elapsed and not sleeper.done():
                sleeper.set_result(None)
        self.sleepers = [each for each in self.sleepers if not each[1].done()]
        await settled()


async def settled() -> None:
    """Let everything that can run without time passing run."""
    for _ in range(TURNS):
        await asyncio.sleep(0)
