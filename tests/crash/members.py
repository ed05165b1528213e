"""The workers of a fleet: processes, or tasks of this one where jobs live in its memory."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from inspect import iscoroutinefunction
from itertools import count
from pathlib import Path
from threading import Event
from typing import Any, Protocol, cast

from cnstra import Queue, Worker
from cnstra.errors import BrokerUnavailable
from cnstra.testing.effects import Effects
from cnstra.testing.flow import graph, result

Orders = dict[str, Any]
WORDS = 2000
"""Characters of what a worker has logged that are shown, the last ones."""


class Member(Protocol):
    """One worker of a fleet.

    pid: who it is in the log of the effects.
    """

    pid: int

    @property
    def is_alive(self) -> bool: ...

    @property
    def last_words(self) -> str:
        """Why it has ended, if it did so by itself."""
        ...

    def stop(self) -> None:
        """Have it do nothing more, so that what the log says of it is so when it is killed."""
        ...

    def kill(self) -> None: ...

    async def ended(self) -> None:
        """Wait until nothing is left of it."""
        ...


class WorkerProcess:
    """A worker in a process of its own, which ends by SIGKILL."""

    def __init__(self, orders: Orders) -> None:
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process is
        self._process = subprocess.Popen(
            [sys.executable, "-m", "cnstra.testing.worker", json.dumps(orders)],
            stdout=subprocess.DEVNULL,
            stderr=self._words,
        )
        self.pid = self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    @property
    def last_words(self) -> str:
        self._words.seek(0)
        return self._words.read().decode()[-WORDS:]

    def stop(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    async def ended(self) -> None:
        self._words.close()


class WorkerTask:
    """A worker in this process. Nothing of it reaches the broker once it is killed: no settlement,
    no checkpoint, no renewal; its handlers are cancelled where they stand.
    """

    _pids = count(1)

    def __init__(self, orders: Orders) -> None:
        self.pid = next(self._pids)
        self._effects = Effects(Path(orders["effects"]), self.pid)
        self._severed = Event()
        self._queue = Queue(orders["queue"], orders["url"])
        self._queue.broker = cast(Any, Severable(self._queue.broker, self._severed))
        self._running = asyncio.ensure_future(self._run(orders["options"]))

    async def _run(self, options: dict[str, Any]) -> None:
        async with self._queue:
            await Worker(self._queue, graph(self._effects), results=[result], **options).run()

    @property
    def is_alive(self) -> bool:
        return not self._running.done()

    @property
    def last_words(self) -> str:
        return repr(self._running.exception())

    def stop(self) -> None:
        """It is this loop's, and does nothing while this loop kills it."""

    def kill(self) -> None:
        self._severed.set()
        self._running.cancel()

    async def ended(self) -> None:
        with suppress(asyncio.CancelledError):
            await self._running
        self._effects.close()


class Severable:
    """A broker or store that is lost for ever, once `severed` is set."""

    def __init__(self, inner: Any, severed: Event) -> None:
        self._inner = inner
        self._severed = severed

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name == "store":
            return Severable(found, self._severed)
        return self._until_severed(found) if iscoroutinefunction(found) else found

    def _until_severed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        async def called(*arguments: Any, **options: Any) -> Any:
            if self._severed.is_set() and call.__name__ != "close":
                raise BrokerUnavailable(url="memory://", reason="its worker was killed")
            return await call(*arguments, **options)

        return called
