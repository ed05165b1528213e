"""A behaviour is a coroutine that plays on a stage; here it becomes a test."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from cnstra.testing.conformance.rig import Rig
from cnstra.testing.conformance.stage import Stage

Story = Callable[[Any, Stage], Awaitable[None]]


def behaviour(story: Story) -> Callable[..., None]:
    """A test that plays the story on a loop of its own: no plugin for async tests is needed."""

    def test(self: Any, rig: Rig, tmp_path: Path, request: pytest.FixtureRequest) -> None:
        async def play() -> str | None:
            async with Stage(rig, tmp_path) as stage:
                await story(self, stage)
                return stage.refusal

        refusal = asyncio.run(play())
        if refusal is not None:
            request.node.user_properties.append(("cnstra.refused", refusal))

    test.__name__ = story.__name__
    test.__qualname__ = story.__qualname__
    test.__doc__ = story.__doc__
    return test
