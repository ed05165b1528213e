"""Graphs of many shapes, whose handlers tell a witness what they do."""

from tests.crash.shapes.fans import FANS
from tests.crash.shapes.lines import LINES
from tests.crash.shapes.scene import Scene, Shape, Stage, Work
from tests.crash.shapes.troubles import TROUBLES

SHAPES: dict[str, Shape] = {shape.name: shape for shape in (*LINES, *FANS, *TROUBLES)}

__all__ = ["SHAPES", "Scene", "Shape", "Stage", "Work"]
