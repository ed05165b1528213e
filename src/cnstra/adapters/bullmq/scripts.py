"""Lua scripts: ours, put together with BullMQ's own.

A line `--- bullmq NAME` stands for the script of that name out of the `bullmq` package, as a
function of its keys and arguments; `--- ours NAME` for another file of ours.
"""

import hashlib
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

OURS = Path(__file__).parent / "lua"
INCLUDE = re.compile(r"^--- (bullmq|ours) (\w+)$", re.MULTILINE)


class Script:
    """A script and the digest by which Redis knows it."""

    __slots__ = ("sha", "source")

    def __init__(self, source: bytes) -> None:
        self.source = source
        self.sha = hashlib.sha1(source, usedforsecurity=False).hexdigest().encode()


@cache
def script(name: str) -> Script:
    """The script of the file `lua/NAME.lua`, with all that it includes."""
    return Script(_ours(name).encode())


def package_folder() -> Path:
    """The folder of BullMQ's own scripts. Raises `ImportError` where the package is missing."""
    package = find_spec("bullmq")
    if package is None or not package.submodule_search_locations:
        raise ImportError("No module named 'bullmq'")
    return Path(package.submodule_search_locations[0]) / "commands"


def _ours(name: str) -> str:
    return INCLUDE.sub(_include, (OURS / f"{name}.lua").read_text(encoding="utf-8"))


def _include(line: re.Match[str]) -> str:
    whose, name = line.groups()
    if whose == "ours":
        return _ours(name)
    (file,) = package_folder().glob(f"{name}-*.lua")
    body = file.read_text(encoding="utf-8")
    return f"local function {name}(KEYS, ARGV)\n{body}\nend"
