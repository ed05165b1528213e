"""Keeps several worker processes running."""

import asyncio
import logging
import signal
import socket
import sys
import time
from asyncio.subprocess import Process
from collections.abc import Sequence
from dataclasses import dataclass

logger = logging.getLogger("cnstra.cli")

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
LONG_LIFE = 60.0
"""Seconds after which a worker that dies is no longer taken to be one that cannot live."""


@dataclass(slots=True)
class Child:
    """A worker process.

    line: ours to it. It writes there once it has started, and stops when our end closes, so that no
        worker outlives a supervisor that was killed.
    """

    process: Process
    line: socket.socket

    async def starts(self) -> bool:
        """Whether it has started; `False` when it ends before that."""
        try:
            return bool(await asyncio.get_running_loop().sock_recv(self.line, 1))
        except OSError:
            return False


class Supervisor:
    """Runs `cnstra worker TARGET` in `count` processes of its own until it is told to stop.

    The first worker shows whether the target can be run at all: what is wrong with it is said once.
    """

    def __init__(
        self, target: str, options: Sequence[str], count: int, *, ends_when_idle: bool
    ) -> None:
        alone = ["--processes", "1"]  # whatever CNSTRA_WORKER_PROCESSES says, which they inherit
        self._command = [sys.executable, "-m", "cnstra", "worker", target, *alone, *options]
        self._count = count
        self._ends_when_idle = ends_when_idle
        self._children: dict[int, Child] = {}
        self._stopping = asyncio.Event()
        self._code = 0

    async def run(self) -> int:
        """Keep them running. Returns the exit code: that of a worker that could not start, or 0."""
        loop = asyncio.get_running_loop()
        for one in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(one, self._forward, one)
        first = await self._start(1)
        keeping = [self._keep(1, first)]
        if await first.starts():
            for number in range(2, self._count + 1):
                if not self._stopping.is_set():
                    keeping.append(self._begin(number))
        else:
            keeping = [self._give_up(first)]
        await asyncio.gather(*keeping)
        return self._code

    # --- one worker

    async def _begin(self, number: int) -> None:
        child = await self._start(number)
        if await child.starts():
            await self._keep(number, child)
        else:
            await self._give_up(child)

    async def _keep(self, number: int, child: Child) -> None:
        """Wait for its end, and start another, until there is no need for one."""
        pause, since = FIRST_PAUSE, time.monotonic()
        while True:
            code = await self._end_of(child)
            if self._stopping.is_set() or (code == 0 and self._ends_when_idle):
                return
            if time.monotonic() - since > LONG_LIFE:
                pause = FIRST_PAUSE
            logger.warning(
                "Worker %d (process %d) %s: another starts in %g s. "
                "Jobs that it held go on when their leases end.",
                number,
                child.process.pid,
                _ending(code),
                pause,
            )
            if await self._stops_within(pause):
                return
            pause, since = min(pause * 2, LONGEST_PAUSE), time.monotonic()
            child = await self._start(number)

    async def _start(self, number: int) -> Child:
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                "--supervised",
                str(theirs.fileno()),
                pass_fds=[theirs.fileno()],
                stdin=asyncio.subprocess.DEVNULL,
                start_new_session=True,  # a terminal's Ctrl-C reaches it through us alone, once
            )
        ours.setblocking(False)
        child = self._children[process.pid] = Child(process, ours)
        logger.info("Worker %d is process %d.", number, process.pid)
        if self._stopping.is_set():
            process.terminate()
        return child

    async def _end_of(self, child: Child) -> int:
        code = await child.process.wait()
        del self._children[child.process.pid]
        child.line.close()
        return code

    async def _give_up(self, child: Child) -> None:
        """It could not start, and has said why: neither will the others."""
        code = await self._end_of(child)
        if self._stopping.is_set():
            return
        self._code = code if code > 0 else 1
        logger.error("A worker %s before it had started: the others stop too.", _ending(code))
        self._forward(signal.SIGTERM)

    # --- all of them

    def _forward(self, number: int) -> None:
        """Hand a signal on, the second one too: a worker that gets two does not wait any longer."""
        self._stopping.set()
        for child in self._children.values():
            child.process.send_signal(number)

    async def _stops_within(self, pause: float) -> bool:
        try:
            async with asyncio.timeout(pause):
                return await self._stopping.wait()
        except TimeoutError:
            return False


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
