"""A behaviour is a coroutine that plays on a stage; here it becomes a test."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

Story = Callable[[Any, Any], Awaitable[None]]


def behaviour(story: Story) -> Callable[..., None]:
    """A test that plays the story on a loop of its own: no plugin for async tests is needed."""

    def test(self: Any, rig: Any, tmp_path: Path, request: pytest.FixtureRequest) -> None:
        async def play() -> Any:
            async with self.stage_type(rig, tmp_path) as stage:
                await story(self, stage)
            return stage

        stage = asyncio.run(play())
        notes = {"cnstra.refused": stage.refusal, "cnstra.remark": stage.remark}
        request.node.user_properties.extend((name, text) for name, text in notes.items() if text)

    test.__name__ = story.__name__
    test.__qualname__ = story.__qualname__
    test.__doc__ = story.__doc__
    return test
