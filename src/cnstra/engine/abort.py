"""Asking a run to stop, and hearing of it."""

import asyncio
import logging
import threading
from collections.abc import Callable

from cnstra.engine.threads import call_on
from cnstra.errors import Aborted

logger = logging.getLogger("cnstra.engine")

Remove = Callable[[], None]


class AbortSignal:
    """Says whether an abort was asked for, and why. Read it from any thread.

    A handler that *observed* the abort and then returns `None` is taken to have been interrupted:
    it is still owed, and a retry runs it again. To observe means to read `aborted` as `True`, or to
    be woken by `wait()` or a callback. Return `[]` to say "done, nothing to emit".
    """

    __slots__ = ("_callbacks", "_lock", "_reason", "_set")

    def __init__(self) -> None:
        self._set = False
        self._reason: object = None
        self._callbacks: dict[object, Callable[[], object]] = {}
        self._lock = threading.Lock()

    @property
    def aborted(self) -> bool:
        """Whether an abort was asked for."""
        return self._set

    @property
    def reason(self) -> object:
        """What `abort()` was given, or `None`."""
        return self._reason

    def raise_if_aborted(self) -> None:
        """Raise `Aborted` if an abort was asked for: a short way to leave a handler early."""
        if self.aborted:
            raise Aborted(reason=self.reason)

    def add_callback(self, callback: Callable[[], object]) -> Remove:
        """Call `callback()` on abort, in the aborting thread; at once, if it was aborted already.

        Returns the remover, harmless when called twice.
        """
        token = object()
        with self._lock:
            if not self._set:
                self._callbacks[token] = callback
                return lambda: self._discard(token)
        callback()
        return lambda: None

    async def wait(self) -> None:
        """Wait until an abort is asked for."""
        loop = asyncio.get_running_loop()
        woken = asyncio.Event()

        remove = self.add_callback(lambda: call_on(loop, woken.set))
        try:
            await woken.wait()
        finally:
            remove()

    def _discard(self, token: object) -> None:
        with self._lock:
            self._callbacks.pop(token, None)

    def abort(self, reason: object) -> None:
        """What `AbortController.abort` does; for the engine's own use."""
        with self._lock:
            if self._set:
                return
            self._set, self._reason = True, reason
            callbacks, self._callbacks = list(self._callbacks.values()), {}
        for callback in callbacks:
            try:
                callback()
            except Exception:
                logger.exception(
                    "A callback on an abort raised; the others are called all the same."
                )


class AbortController:
    """Aborts the runs that were given its `signal`.

    >>> controller = AbortController()
    >>> run = cns.stimulate(signal, abort_signal=controller.signal)
    >>> controller.abort("the user left")
    """

    __slots__ = ("signal",)

    def __init__(self) -> None:
        self.signal = AbortSignal()

    def abort(self, reason: object = None) -> None:
        """Ask whoever holds the signal to stop. A second call changes nothing."""
        self.signal.abort(reason)


class ObservedSignal(AbortSignal):
    """One activation's view of an abort, which remembers whether its handler observed it."""

    __slots__ = ("_remove", "observed")

    def __init__(self, source: AbortSignal | None) -> None:
        super().__init__()
        self.observed = False
        self._remove: Remove | None = None
        if source is not None:
            self._remove = source.add_callback(lambda: self.abort(source.reason))

    @property
    def aborted(self) -> bool:
        if self._set:
            self.observed = True
        return self._set

    def add_callback(self, callback: Callable[[], object]) -> Remove:
        def observe() -> None:
            self.observed = True
            callback()

        return super().add_callback(observe)

    def inherit(self, callback: Callable[[], object]) -> Remove:
        """Like `add_callback`, for an inner run: its hearing of the abort is not the handler's."""
        return super().add_callback(callback)

    def release(self) -> None:
        """Let go of the source: the activation is over."""
        if self._remove is not None:
            self._remove()
            self._remove = None
