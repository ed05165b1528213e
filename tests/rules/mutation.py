"""A line that keeps a rule, and how to take it out."""

import shutil
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
COPIED = ("src", "tests", "examples", "pyproject.toml")


def copied(folder: Path) -> Path:
    """A copy of the tree in `folder`, to be harmed."""
    for name in COPIED:
        source, ignored = ROOT / name, shutil.ignore_patterns("__pycache__")
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=ignored)
        elif source.exists():
            shutil.copy(source, folder / name)
    return folder


@dataclass(frozen=True)
class Mutation:
    """One line of a table.

    rule: what is no longer kept, R1 for example.
    what: in a few words, what the line is there for.
    file: where it stands, below `src/cnstra`.
    old: the source to take out; it stands there exactly once.
    new: what takes its place.
    test: the test that sees it, `file.py::name` below `tests`.
    """

    rule: str
    what: str
    file: str
    old: str
    new: str
    test: str

    def apply(self, root: Path) -> None:
        """Take the line out of the tree below `root`."""
        path = root / "src/cnstra" / self.file
        source = path.read_text(encoding="utf-8")
        path.write_text(source.replace(self.old, self.new), encoding="utf-8")

    def complaint(self, root: Path) -> str | None:
        """What is wrong with this line of the table, if anything."""
        path = root / "src/cnstra" / self.file
        if not path.exists():
            return f"{self.file} does not exist"
        found = path.read_text(encoding="utf-8").count(self.old)
        return None if found == 1 else f"its source stands {found} times in {self.file}"
