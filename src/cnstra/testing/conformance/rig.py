"""What the suite must be told of a broker: where it is, and which faults can be made."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

T = TypeVar("T")

Fault = Callable[[], Awaitable[None] | None]
"""Makes the fault and returns when it is over. Called on a thread of its own; or a coroutine
function."""

Publisher = Callable[[str, bytes], Awaitable[None] | None]
"""Puts a message with that body into the queue of that name, as a stranger would."""

Duplicator = Callable[[str], Awaitable[None] | None]
"""Puts a second copy of each message that waits in the queue of that name beside it."""


@dataclass(frozen=True, slots=True)
class Rig:
    """How to reach a broker, and the faults that can be made there.

    A fault that cannot be made is the reason instead, as text: the table shows it as "-".

    url: of the broker. Each test uses queue names of its own on it.
    store: the URL of a store, for a broker that brings none.
    restart: stop the server and start it again. The data that it promised to keep stays.
    cut: drop every connection to the server; the next one is accepted.
    publish_raw: put a message there by other means than cnstra.
    duplicate: deliver what waits a second time.
    lease: seconds, the shortest lease that the broker keeps well: tests wait for some of them.
    patience: seconds after which a test gives up; far more than any needs on a busy machine.
    """

    url: str
    store: str | None = None
    restart: Fault | str = "the rig does not say how to restart the server"
    cut: Fault | str = "the rig does not say how to cut connections"
    publish_raw: Publisher | str = "the rig does not say how a stranger publishes"
    duplicate: Duplicator | str = "the rig does not say how to duplicate a message"
    lease: float = 1.0
    patience: float = 50.0


def possible(fault: T | str) -> T:
    """The fault. Skips where it is a reason why it cannot be made."""
    if isinstance(fault, str):
        pytest.skip(fault)
    return fault


async def cause(fault: Callable[..., Awaitable[None] | None], *arguments: Any) -> None:
    """Make a fault, on a thread of its own."""
    made = await asyncio.to_thread(fault, *arguments)
    if inspect.isawaitable(made):
        await made
