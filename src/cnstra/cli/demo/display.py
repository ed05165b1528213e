"""How the demo shows itself while it runs: bars on a terminal, lines elsewhere."""

import time
from collections.abc import Generator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from cnstra.cli.demo.ordeal import Ordeal, Watcher

PAUSE = 2.0


@contextmanager
def shown(screen: Console) -> Generator[Watcher]:
    """Give what shows the ordeal on `screen`."""
    if not screen.is_terminal:
        yield Lines(screen)
        return
    columns = [TextColumn("{task.description:<22}"), Bar(), TextColumn("{task.fields[value]}")]
    with Progress(*columns, TimeElapsedColumn(), console=screen) as progress:
        yield Bars(progress)


class Bar(ProgressColumn):
    """A bar, for what has an end."""

    def __init__(self) -> None:
        super().__init__()
        self._bar = BarColumn()

    def render(self, task: Task) -> RenderableType:
        return self._bar.render(task) if task.total else Text()


class Bars:
    """The ordeal as bars."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        names = (
            "files hashed",
            "packages done",
            "kills in mid-work",
            "spared by the resume",
            "hashed twice",
        )
        self._tasks = {name: progress.add_task(name, total=None, value="") for name in names}

    def __call__(self, ordeal: Ordeal) -> None:
        self._set("files hashed", ordeal.hashed, ordeal.hashes)
        self._set("packages done", ordeal.packages_done, ordeal.packages)
        self._set("kills in mid-work", ordeal.hits, ordeal.kills_wanted)
        self._set("spared by the resume", ordeal.spared)
        self._set("hashed twice", ordeal.again)

    def _set(self, name: str, done: int, total: int | None = None) -> None:
        value = f"{done:,}" if total is None else f"{done:,} of {total:,}"
        self._progress.update(self._tasks[name], completed=done, total=total, value=value)


class Lines:
    """The ordeal as lines: one for each kill, and one now and then."""

    def __init__(self, screen: Console) -> None:
        self._screen = screen
        self._kills = 0
        self._said = 0.0

    def __call__(self, ordeal: Ordeal) -> None:
        for kill in ordeal.kills[self._kills :]:
            where = "in the middle of a hash" if kill.running else "between two hashes"
            self._screen.print(
                f"SIGKILL at {kill.at:g} s, {where}: {kill.packages} packages to resume, "
                f"{kill.spared:,} hashes spared"
            )
        self._kills = len(ordeal.kills)
        if time.monotonic() - self._said > PAUSE:
            self._said = time.monotonic()
            self._screen.print(
                f"{ordeal.hashed:,} of {ordeal.hashes:,} files hashed, {ordeal.again:,} twice; "
                f"{ordeal.packages_done} of {ordeal.packages} packages done"
            )
