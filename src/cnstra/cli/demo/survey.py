"""Finds the installed packages of this machine."""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cnstra.cli.demo.audit import is_hash, lines_of

HOME = Path.home()
ROOTS = (
    *(Path(sys.prefix, lib) for lib in ("lib", "lib64")),
    *(Path(entry) for entry in sys.path if entry.endswith(("site-packages", "dist-packages"))),
    *(Path(sys.base_prefix, lib) for lib in ("lib", "lib64")),
    Path("/usr/lib"),
    Path("/usr/lib64"),
    Path("/usr/local"),
    Path("/opt"),
    *(HOME / name for name in (".local", ".pyenv", ".virtualenvs")),
)
NEVER_ENTERED = {"__pycache__", "node_modules", ".git"}
FULL = 0.99
"""A survey that has so much of what it may take looks no further."""


@dataclass(frozen=True, slots=True)
class Installed:
    """A package: its RECORD, how many files that lists, and on which lines a hash is given."""

    record: str
    files: int
    hashed: frozenset[int]


def survey(max_files: int) -> list[Installed]:
    """Packages of up to `max_files` files in all, this interpreter's own first."""
    packages: list[Installed] = []
    room = max_files
    for record in _records():
        lines = lines_of(record)
        if len(lines) > room:
            continue
        hashed = frozenset(n for n, (_, expected) in enumerate(lines) if is_hash(expected))
        packages.append(Installed(record, len(lines), hashed))
        room -= len(lines)
        if room < max_files * (1 - FULL):
            break
    return packages


def _records() -> Iterator[str]:
    """The path of each RECORD, once, however many paths lead to it."""
    seen: set[str] = set()
    for root in dict.fromkeys(root.resolve() for root in ROOTS):
        for folder, names, _ in os.walk(root):
            if folder in seen:
                names.clear()
                continue
            seen.add(folder)
            names[:] = sorted(name for name in names if name not in NEVER_ENTERED)
            for name in [name for name in names if name.endswith(".dist-info")]:
                names.remove(name)
                record = str(Path(folder, name, "RECORD"))
                if record.isprintable() and Path(record).is_file():
                    yield record
