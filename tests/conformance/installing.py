"""Adapters of tests, found as installed ones are, by this process and those that it starts."""

import os
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from cnstra.durable import adapters

ROOT = Path(__file__).parents[2]


def install(monkeypatch: pytest.MonkeyPatch, folder: Path, **modules: str) -> None:
    """Let each scheme be answered by its module, until the test is over."""
    distribution = folder / "adapters-0.dist-info"
    distribution.mkdir()
    points = "".join(f"{scheme} = {module}\n" for scheme, module in modules.items())
    (distribution / "entry_points.txt").write_text(f"[{adapters.GROUP}]\n{points}")
    (distribution / "METADATA").write_text("Name: adapters\nVersion: 0\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), str(ROOT)]))
    for scheme, module in modules.items():
        point = EntryPoint(scheme, module, adapters.GROUP)
        monkeypatch.setitem(adapters._installed(), scheme, point)
