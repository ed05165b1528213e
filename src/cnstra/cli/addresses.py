"""Which queue a command is about: `app:queue`, or `--url` and `--queue`."""

import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, TypeVar, cast

import typer

from cnstra.cli.targets import is_there, load, neighbours
from cnstra.cli.usage import ArgumentsWanted, NothingThere, QueueInMemory, QueueNotNamed
from cnstra.durable.adapters import adapter_for
from cnstra.engine.cns import CNS
from cnstra.jobs.blocking import blocking
from cnstra.jobs.broker import LocalAdapter
from cnstra.jobs.queue import Queue
from cnstra.jobs.redaction import Redaction
from cnstra.jobs.worker import Worker

T = TypeVar("T")

Url = Annotated[
    str | None,
    typer.Option(
        help="The broker, instead of APP:QUEUE, as in sqlite:///jobs.db.",
        metavar="URL",
        envvar="CNSTRA_URL",
    ),
]
Name = Annotated[
    str | None,
    typer.Option(
        "--queue", help="The queue there, with --url.", metavar="NAME", envvar="CNSTRA_QUEUE"
    ),
]
Graph = Annotated[
    str | None,
    typer.Option(
        "--cns",
        metavar="APP:CNS",
        help="The graph that would run it. [default: that of a worker in APP]",
        envvar="CNSTRA_CNS",
    ),
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
        """Read the words. `wanted` and `counts` say what may follow the queue. One that is typed
        goes before that of the environment.
        """
        given = list(words or ())
        elsewhere = (os.environ.get("CNSTRA_URL"), os.environ.get("CNSTRA_QUEUE"))
        if (url, name) == elsewhere and _begin_with_a_queue(given, counts):
            url = name = None
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

    def ask(self, work: Callable[[Queue], Awaitable[T]]) -> T:
        """What `work` makes of the open queue. Raises `NothingThere` for a URL that was typed and
        leads nowhere; one that stands in code is right, though nobody may have come yet.
        """
        self._require_something()
        return self.ask_or_make(work)

    def ask_or_make(self, work: Callable[[Queue], Awaitable[T]]) -> T:
        """The same of a queue that may be a new one."""

        async def see_to_it() -> T:
            async with self.queue as queue:
                return await work(queue)

        return blocking(see_to_it())

    def ask_closed(self, work: Callable[[Queue], Awaitable[T]]) -> T:
        """As `ask`, of a queue that `work` opens itself, if it can be."""
        self._require_something()

        async def see_to_it() -> T:
            try:
                return await work(self.queue)
            finally:
                await self.queue.close()

        return blocking(see_to_it())

    def _require_something(self) -> None:
        adapter = adapter_for(self.queue.url)
        if self.target is None and hasattr(adapter, "missing"):
            path = cast(LocalAdapter, adapter).missing(self.queue.url)
            if path is not None:
                raise NothingThere(path=path, url=self.queue.url)

    def graph(self, cns: str | None) -> CNS | None:
        """The graph that was named, or that of a worker of this queue beside it."""
        if cns is not None:
            return load(cns, CNS)
        return next((one.cns for one in self._workers), None)

    @property
    def redaction(self) -> Redaction:
        """What the history of a worker of this queue beside it is told to redact."""
        return Redaction(next((one.history for one in self._workers), None))

    @property
    def _workers(self) -> Sequence[Worker]:
        if self.target is None:
            return ()
        return [one for one in neighbours(self.target, Worker) if one.queue is self.queue]


def _begin_with_a_queue(words: Sequence[str], counts: range) -> bool:
    """Whether the first names one in code. It must be there where it may be something else."""
    if len(words) - 1 not in counts or ":" not in words[0]:
        return False
    return len(words) not in counts or is_there(words[0])
