"""Dead letters of jobs that were redriven: they are swept out behind whoever redrives."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial

from cnstra.jobs.message import Message
from cnstra.jobs.transport import Transport

logger = logging.getLogger("cnstra.jobs")


class Leftovers:
    """A broker of messages finds a letter by looking at all: one pass is for all that are known.

    What a death, or a broker that is away, leaves lying is swept out by whoever lists the dead.
    """

    def __init__(self, transport: Transport, read: Callable[[bytes], Message]) -> None:
        self._transport = transport
        self._read = read
        self._outgrown: dict[str, int] = {}
        self._pass: asyncio.Task[None] | None = None

    def add(self, job_id: str, generation: int) -> None:
        """What is there of the job from before that generation is to go, without waiting for it."""
        self._outgrown[job_id] = generation
        self._go_on()

    async def swept(self, patience: float | None = None) -> None:
        """Returns once all that is known by now has been looked for; each pass is waited for so
        many seconds.
        """
        for _ in range(2):  # the pass under way may be past it
            if self._pass is not None:
                await asyncio.wait({self._pass}, timeout=patience)

    def _go_on(self) -> None:
        if self._pass is None and self._outgrown:
            outgrown, self._outgrown = self._outgrown, {}
            self._pass = asyncio.ensure_future(self._sweep(outgrown))
            self._pass.add_done_callback(self._has_ended)

    async def _sweep(self, outgrown: Mapping[str, int]) -> None:
        await self._transport.sift(partial(self._is_leftover, outgrown))

    async def _is_leftover(self, outgrown: Mapping[str, int], body: bytes) -> bool:
        header = self._read(body).header
        return header.generation < outgrown.get(header.id, 0)

    def _has_ended(self, ended: asyncio.Task[None]) -> None:
        if not ended.cancelled() and (error := ended.exception()) is not None:
            logger.debug("Dead letters of jobs that were redriven are left: %s", error)
        self._pass = None
        self._go_on()
