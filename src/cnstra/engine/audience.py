"""Those who listen to a run, and what became of their listening."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence

from cnstra.engine.tasks import Response
from cnstra.errors import NoRunningLoop

Listener = Callable[[Response], object]


class Audience:
    """The listeners of one run. A listener that raises stops nothing; its error is kept."""

    __slots__ = ("errors", "listeners", "waiting")

    def __init__(self, listeners: tuple[Listener, ...]) -> None:
        self.listeners = listeners
        self.errors: list[BaseException] = []
        self.waiting = 0

    def tell(self, responses: Sequence[Response]) -> list[Awaitable[object]]:
        """Tell every listener of every response. Returns what they want to be waited for."""
        awaitables: list[Awaitable[object]] = []
        for response in responses:
            for listener in self.listeners:
                try:
                    heard = listener(response)
                except Exception as error:
                    self.errors.append(error)
                else:
                    if inspect.isawaitable(heard):
                        awaitables.append(heard)
        return awaitables

    async def wait_for(self, awaitables: Sequence[Awaitable[object]]) -> None:
        """Wait until all of them are through, whatever happens to the run."""
        self.waiting += 1
        results = await asyncio.gather(*awaitables, return_exceptions=True)
        self.errors += [one for one in results if isinstance(one, BaseException)]
        self.waiting -= 1

    def refuse(self, awaitables: Sequence[Awaitable[object]]) -> None:
        """Without an event loop nobody can be waited for."""
        for awaitable in awaitables:
            if inspect.iscoroutine(awaitable):
                awaitable.close()
        self.errors.append(NoRunningLoop(reason="An async listener"))
