"""Putting something round every handler of a graph."""

import functools
import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from cnstra.engine.cns import CNS
from cnstra.engine.network import Receiver

Around = Callable[[Receiver], AbstractContextManager[object]]


def wrap_handlers(cns: CNS, around: Around, mark: object) -> None:
    """Let every handler run inside `around(receiver)`, in plain and inner runs too.

    mark: who wraps; the same one wraps a graph once only, however many workers share it.
    """
    for receiver in cns.network.receivers.values():
        if mark not in _marks(receiver.handler):
            receiver.handler = _wrapped(receiver, around, mark)


def _marks(handler: Any) -> tuple[object, ...]:
    marks: tuple[object, ...] = getattr(handler, "__cnstra_marks__", ())
    return marks


def _wrapped(receiver: Receiver, around: Around, mark: object) -> Any:
    handler = receiver.handler
    wrapped: Any
    if inspect.iscoroutinefunction(handler):

        @functools.wraps(handler)
        async def wrapped_async(*arguments: Any) -> Any:
            with around(receiver):
                return await handler(*arguments)

        wrapped = wrapped_async
    else:

        @functools.wraps(handler)
        def wrapped_sync(*arguments: Any) -> Any:
            with around(receiver):
                return handler(*arguments)

        wrapped = wrapped_sync
    wrapped.__cnstra_marks__ = (*_marks(handler), mark)
    return wrapped
