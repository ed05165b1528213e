"""Fakes that go wrong when they are told to."""

from collections.abc import Callable, Collection
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

P = ParamSpec("P")
R = TypeVar("R")


def failing(
    fn: Callable[P, R],
    *,
    on: int | Collection[int] = 1,
    error: Exception | type[Exception] = ConnectionError,
    after: bool = False,
) -> Callable[P, R]:
    """`fn`, which fails on its n-th call: counted from 1, over all who share it.

    on: which call fails, or which ones. error: what it raises. after: fail once `fn` has run, as if
        its reply was lost. `fn` may be a coroutine function.

    >>> bank = failing(charge, on=3, error=TimeoutError)
    """
    calls = [on] if isinstance(on, int) else on
    count = 0

    def is_due() -> bool:
        nonlocal count
        count += 1
        return count in calls

    def fail() -> None:
        raise error if isinstance(error, Exception) else error("told to fail")

    async def late(result: Any) -> None:
        await result
        fail()

    @wraps(fn)
    def call(*args: P.args, **options: P.kwargs) -> R:
        due = is_due()
        if due and not after:
            fail()
        result = fn(*args, **options)
        if due and hasattr(result, "__await__"):
            return cast(R, late(result))
        if due:
            fail()
        return result

    return call
