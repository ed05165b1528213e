"""The thread on which broker and store clients live, with an event loop of its own.

Leases are renewed and checkpoints land there, so that neither depends on the user's loop being
free. Work is handed over in batches: whoever finds the other side asleep wakes it, once for all
that waits.
"""

import asyncio
import os
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from cnstra.errors import IOClosed, UsedBeforeFork

T = TypeVar("T")

Callback = Callable[[], None]


class Mailbox:
    """Callbacks for one event loop, from any thread, in order."""

    __slots__ = ("_loop", "_posts", "_woken")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._posts: deque[Callback] = deque()
        self._woken = False

    def post(self, callback: Callback) -> None:
        """Let the loop call it soon. Does nothing once the loop is closed."""
        self._posts.append(callback)
        if not self._woken:
            self._woken = True
            try:
                self._loop.call_soon_threadsafe(self._deliver)
            except RuntimeError:
                self._posts.clear()

    def _deliver(self) -> None:
        self._woken = False
        posts = self._posts
        try:
            while posts:
                posts.popleft()()
        finally:
            if posts:
                self._woken = True
                self._loop.call_soon(self._deliver)


class IOThread:
    """An event loop on a daemon thread.

    It starts with its first use, never keeps a process up, and never starts again once it is
    closed. What lives there cannot be shared with a process that was forked since.
    """

    def __init__(self, name: str = "cnstra-io") -> None:
        self._name = name
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._mailbox: Mailbox | None = None
        self._thread: threading.Thread | None = None
        self._pid: int | None = None
        """Of the process whose thread it is."""
        self._closed = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._unanswered: set[Callback] = set()
        """For each `call` that is waited for: what tells it that there will be no answer."""

    def post(self, callback: Callback) -> None:
        """Call it on the I/O thread, soon, after all that was posted before.

        Does nothing once the thread is closed. Raises `UsedBeforeFork`.
        """
        if self._is_elsewhere:
            raise UsedBeforeFork(thread=self._name)
        if not self._closed:
            (self._mailbox or self._start()).post(callback)

    def spawn(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run `work()` as a task on the I/O thread."""
        self.post(lambda: self._run(work()))

    async def call(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Await `work()`, run on the I/O thread, from any other loop.

        A caller that is cancelled leaves; the work goes on to its end. Raises `IOClosed` where it
        is not done because the thread was closed, and `UsedBeforeFork`.
        """
        loop = asyncio.get_running_loop()
        if self._is_home(loop):
            return await work()
        outcome: asyncio.Future[T] = loop.create_future()

        async def run() -> None:
            try:
                result = await work()
            except asyncio.CancelledError as error:
                answer(partial(outcome.set_exception, self._refusal() if self._closed else error))
            except BaseException as error:
                answer(partial(outcome.set_exception, error))
            else:
                answer(partial(outcome.set_result, result))

        def answer(settle: Callback) -> None:
            with suppress(RuntimeError):  # the caller's loop is closed: nobody waits
                loop.call_soon_threadsafe(lambda: None if outcome.done() else settle())

        def refuse() -> None:
            answer(partial(outcome.set_exception, self._refusal()))

        self._unanswered.add(refuse)  # before the look: whoever closes it refuses all that is there
        try:
            if self._closed:
                raise self._refusal()
            self.spawn(run)
            return await outcome
        finally:
            self._unanswered.discard(refuse)

    def close(self) -> None:
        """Cancel what still runs there and end the thread. Harmless when called twice."""
        with self._lock:
            was_closed, self._closed = self._closed, True
            loop, thread = self._loop, self._thread
        if was_closed or self._is_elsewhere or loop is None or thread is None:
            return
        if thread is not threading.current_thread():
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            for refuse in list(self._unanswered):
                refuse()

    @property
    def _is_elsewhere(self) -> bool:
        """Whether it is the thread of the process that this one was forked from."""
        return self._pid is not None and self._pid != os.getpid()

    def _refusal(self) -> IOClosed:
        return IOClosed(thread=self._name)

    def _is_home(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether clients live on it: a loop whose time is not real hosts them."""
        hosts = self._mailbox is None and getattr(loop, "hosts_clients", False)
        return loop is self._loop or hosts

    def _start(self) -> Mailbox:
        with self._lock:
            if self._mailbox is None:
                loop = asyncio.new_event_loop()
                self._pid = os.getpid()
                self._loop, self._mailbox = loop, Mailbox(loop)
                self._thread = threading.Thread(
                    target=self._live, args=(loop,), name=self._name, daemon=True
                )
                self._thread.start()
            return self._mailbox

    def _live(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
        finally:
            while left := asyncio.all_tasks(loop):  # what was posted at the last begins now
                for task in left:
                    task.cancel()
                loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    def _run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
