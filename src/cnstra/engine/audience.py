"""Those who listen to a run, and what became of their listening."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable, Sequence

from cnstra.engine.tasks import Response
from cnstra.errors import NoRunningLoop

Listener = Callable[[Response], object]

Ear = tuple[Listener, list[BaseException]]
"""A listener, and where its errors are kept: with the run that it was given to."""


class Audience:
    """The listeners of one run. A listener that raises stops nothing; its error is kept.

    An inner run is heard by those who hear the run around it, too; what they raise is no concern of
    the handler that started the inner run.
    """

    __slots__ = ("ears", "errors", "waiting")

    def __init__(self, listeners: Iterable[Listener], around: "Audience | None" = None) -> None:
        self.errors: list[BaseException] = []
        self.ears: list[Ear] = [(listener, self.errors) for listener in listeners]
        if around is not None:
            self.ears += around.ears
        self.waiting = 0

    def tell(self, responses: Sequence[Response]) -> "Sequence[Pending]":
        """Tell every listener of every response. Returns what they want to be waited for."""
        pending: list[Pending] = []
        for response in responses:
            for listener, errors in self.ears:
                try:
                    heard = listener(response)
                except Exception as error:
                    errors.append(error)
                else:
                    if inspect.isawaitable(heard):
                        pending.append((heard, errors))
        return pending

    async def wait_for(self, pending: "Sequence[Pending]") -> None:
        """Wait until all of them are through, whatever happens to the run."""
        awaitables = [awaitable for awaitable, _ in pending]
        results = await asyncio.gather(*awaitables, return_exceptions=True)
        for (_, errors), result in zip(pending, results, strict=True):
            if isinstance(result, BaseException):
                errors.append(result)

    def refuse(self, pending: "Sequence[Pending]") -> None:
        """Without an event loop nobody can be waited for."""
        for awaitable, errors in pending:
            if inspect.iscoroutine(awaitable):
                awaitable.close()
            errors.append(NoRunningLoop(reason="An async listener"))


Pending = tuple[Awaitable[object], list[BaseException]]
