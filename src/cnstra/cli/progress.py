"""A bar on standard error, where that is a terminal."""

from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cnstra.cli.output import console


@contextmanager
def counted(total: int) -> Generator[Callable[[], None]]:
    """A bar for so many jobs; yields what to call after each."""
    screen = console(stderr=True)
    columns = [TextColumn("jobs"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
    with Progress(*columns, console=screen, disable=not screen.is_terminal) as bar:
        task = bar.add_task("", total=total)
        yield lambda: bar.advance(task)
