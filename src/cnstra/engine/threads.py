"""From any thread to the loop of another."""

import asyncio
from collections.abc import Callable
from typing import TypeVarTuple

Arguments = TypeVarTuple("Arguments")


def call_on(
    loop: asyncio.AbstractEventLoop,
    function: Callable[[*Arguments], object],
    *arguments: *Arguments,
) -> bool:
    """Have the loop call it, from whatever thread. Whether it will: a closed loop does not."""
    try:
        loop.call_soon_threadsafe(function, *arguments)
    except RuntimeError:
        return False
    return True
