"""SIGTERM and SIGINT, which stop every worker of a loop."""

import asyncio
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

NUMBERS = (signal.SIGTERM, signal.SIGINT)


class Stops:
    """What the signals call while a loop has workers, and what they called before."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], None]] = []
        self._before: dict[signal.Signals, Any] = {}

    def take_over(self, loop: asyncio.AbstractEventLoop) -> None:
        self._before = {number: signal.getsignal(number) for number in NUMBERS}
        for number in NUMBERS:
            loop.add_signal_handler(number, self._call_all)

    def give_back(self, loop: asyncio.AbstractEventLoop) -> None:
        for number, handler in self._before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _call_all(self) -> None:
        for call in self.calls:
            call()


_stops: WeakKeyDictionary[asyncio.AbstractEventLoop, Stops] = WeakKeyDictionary()


@contextmanager
def stopped_by_signals(stop: Callable[[], None]) -> Generator[None, None, None]:
    """Have SIGTERM and SIGINT call `stop` meanwhile, where this thread may say so.

    What the program had for them is back when the last worker of the loop has ended.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    stops = _stops.setdefault(loop, Stops())
    if not stops.calls:
        stops.take_over(loop)
    stops.calls.append(stop)
    try:
        yield
    finally:
        stops.calls.remove(stop)
        if not stops.calls:
            stops.give_back(loop)
