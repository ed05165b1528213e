"""`cnstra pause`, `cnstra resume`."""

from cnstra.cli.addresses import Address, Name, Url
from cnstra.cli.jobs import Words
from cnstra.jobs.queue import Queue


def pause(words: Words = None, url: Url = None, name: Name = None) -> None:
    """Hand out no more jobs, on any worker. Running ones go on."""
    Address.of(words, url, name).ask(Queue.pause)


def resume(words: Words = None, url: Url = None, name: Name = None) -> None:
    """Hand out jobs again."""
    Address.of(words, url, name).ask(Queue.resume)
