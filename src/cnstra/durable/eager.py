"""A task that takes its first steps at once, where Python can: what need not wait costs no turn."""

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any


def begin(coroutine: Coroutine[Any, Any, None]) -> "asyncio.Task[None] | None":
    """Run it as a task, from Python 3.12 on here and now up to its first wait.

    `None` if nothing is left of it. What it raises is raised in the task.
    """
    loop = asyncio.get_running_loop()
    if sys.version_info < (3, 12):
        return loop.create_task(coroutine)
    task = asyncio.Task(coroutine, loop=loop, eager_start=True)
    is_over = task.done() and not task.cancelled() and task.exception() is None
    return None if is_over else task
