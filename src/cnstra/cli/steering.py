"""`cnstra pause`, `cnstra resume`."""

from typing import Annotated

import typer

from cnstra.cli.addresses import QUEUE_ONLY, Address, Name, Url
from cnstra.jobs.queue import Queue

Words = Annotated[list[str] | None, typer.Argument(metavar=QUEUE_ONLY, show_default=False)]


def pause(words: Words = None, url: Url = None, name: Name = None) -> None:
    """Hand out no more jobs, on any worker. Running ones go on."""
    Address.of(words, url, name).ask(Queue.pause)


def resume(words: Words = None, url: Url = None, name: Name = None) -> None:
    """Hand out jobs again."""
    Address.of(words, url, name).ask(Queue.resume)
