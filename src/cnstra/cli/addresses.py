"""Which queue a command is about: `app:queue`, or `--url` and `--queue`."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, TypeVar, cast

import typer

from cnstra.cli.targets import load
from cnstra.cli.usage import ArgumentsWanted, NothingThere, QueueInMemory, QueueNotNamed
from cnstra.durable.adapters import adapter_for
from cnstra.jobs.blocking import blocking
from cnstra.jobs.broker import LocalAdapter
from cnstra.jobs.queue import Queue

T = TypeVar("T")

Url = Annotated[
    str | None,
    typer.Option(help="The broker, instead of APP:QUEUE, as in sqlite:///jobs.db.", metavar="URL"),
]
Name = Annotated[
    str | None, typer.Option("--queue", help="The queue there, with --url.", metavar="NAME")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

QUEUE_ONLY = "[APP:QUEUE]"


@dataclass(frozen=True, slots=True)
class Address:
    """A queue, and the words on the command line that followed it."""

    queue: Queue
    target: str | None
    rest: Sequence[str]

    @staticmethod
    def of(
        words: Sequence[str] | None,
        url: str | None,
        name: str | None,
        wanted: str = "no more words",
        counts: range = range(1),
    ) -> "Address":
        """Read the words. `wanted` and `counts` say what may follow the queue."""
        given = list(words or ())
        if (url is None) != (name is None) or (url is None and not given):
            raise QueueNotNamed
        target = None if url is not None else given.pop(0)
        if len(given) not in counts:
            raise ArgumentsWanted(wanted=wanted, found=" ".join(given) or "nothing")
        if target is not None:
            queue = load(target, Queue)
        else:
            assert url is not None
            assert name is not None
            queue = Queue(name, url)
        if queue.url.startswith("memory:"):
            raise QueueInMemory(queue=queue.name, url=queue.url)
        return Address(queue, target, given)

    def look(self, work: Callable[[Queue], Awaitable[T]]) -> T:
        """As `ask`, for a command that makes nothing. Raises `NothingThere` for a URL that was
        typed; one that stands in code is right, though nobody may have come yet.
        """
        adapter = adapter_for(self.queue.url)
        if self.target is None and hasattr(adapter, "missing"):
            path = cast(LocalAdapter, adapter).missing(self.queue.url)
            if path is not None:
                raise NothingThere(path=path, url=self.queue.url)
        return self.ask(work)

    def ask(self, work: Callable[[Queue], Awaitable[T]]) -> T:
        """What `work` makes of the open queue."""

        async def see_to_it() -> T:
            async with self.queue as queue:
                return await work(queue)

        return blocking(see_to_it())
