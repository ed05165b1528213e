"""Python processes that tests start, stop and kill."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress

GLANCE = 0.02
"""Seconds between two looks at something that cannot be waited for otherwise."""


class Process:
    """A process, and what it has said."""

    def __init__(self, child: asyncio.subprocess.Process, patience: float) -> None:
        self._child = child
        self._patience = patience
        self._reading = asyncio.ensure_future(self._read())
        self.said = ""

    async def says(self, text: str) -> None:
        """Wait for it to say that; fail if it ends without."""
        await until(lambda: text in self.said or self._reading.done(), self._patience)
        assert text in self.said, f"the process never said {text!r}:\n{self.said}"

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self._child.pid, number)

    async def ended(self) -> int:
        """Its exit status, once it has ended; that of a signal is negative."""
        status = await asyncio.wait_for(self._child.wait(), self._patience)
        await self._reading
        return status

    async def _read(self) -> None:
        assert self._child.stdout is not None
        while data := await self._child.stdout.read(4096):
            self.said += data.decode(errors="replace")


@asynccontextmanager
async def start(module: str, *arguments: str, patience: float) -> AsyncGenerator[Process, None]:
    """A Python module as a process; killed at the end, if it is still there."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    process = Process(child, patience)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            child.kill()
        await process.ended()


async def until(condition: Callable[[], bool], patience: float) -> None:
    """Wait until it holds. Raises `TimeoutError`."""
    async with asyncio.timeout(patience):
        while not condition():
            await asyncio.sleep(GLANCE)
