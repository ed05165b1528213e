"""The database that a ledger lives in: transactions, and statements inside them."""

import inspect
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, Protocol, TypeVar, cast

from cnstra.effects.statements import Call, Rows, Statement, Steps
from cnstra.errors import AwaitedInSync

T = TypeVar("T")
R = TypeVar("R")


class BlockingDatabase(Protocol[T]):
    """A database whose calls block. `T` is what a handler gets: a connection, a session."""

    def transaction(self) -> AbstractContextManager[T]:
        """A transaction: committed at its end, rolled back where that raises."""
        ...

    def execute(self, within: T, statement: Statement) -> Rows:
        """Run a statement in the transaction."""
        ...


class AsyncDatabase(Protocol[T]):
    """A database whose calls are awaited."""

    def transaction(self) -> AbstractAsyncContextManager[T]:
        """A transaction: committed at its end, rolled back where that raises."""
        ...

    async def execute(self, within: T, statement: Statement) -> Rows:
        """Run a statement in the transaction."""
        ...


def take(database: BlockingDatabase[T], within: T, steps: Steps[R]) -> R:
    """Take the steps in an open transaction."""
    answer: Any = None
    while True:
        try:
            asked = steps.send(answer)
        except StopIteration as end:
            return cast(R, end.value)
        answer = database.execute(within, asked) if isinstance(asked, Statement) else called(asked)


async def take_async(database: AsyncDatabase[T], within: T, steps: Steps[R]) -> R:
    """Take the steps in an open transaction that is awaited."""
    answer: Any = None
    while True:
        try:
            asked = steps.send(answer)
        except StopIteration as end:
            return cast(R, end.value)
        answer = await (
            database.execute(within, asked) if isinstance(asked, Statement) else awaited(asked)
        )


def called(call: Call) -> Any:
    """What the call returns, where nothing can be awaited."""
    result = call()
    if inspect.isawaitable(result):
        if inspect.iscoroutine(result):
            result.close()
        raise AwaitedInSync(what=repr(result))
    return result


async def awaited(call: Call) -> Any:
    """What the call returns, or what that is awaited for."""
    result = call()
    return await result if inspect.isawaitable(result) else result
