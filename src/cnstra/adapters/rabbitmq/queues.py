"""Making the queues that are missing, and counting what is in them."""

import asyncio
import re

from aio_pika.exceptions import ChannelClosed, ChannelNotFoundEntity, ChannelPreconditionFailed
from aiormq.exceptions import ChannelAccessRefused
from pamqp.common import FieldTable

from cnstra.adapters.rabbitmq.absences import Absences
from cnstra.adapters.rabbitmq.link import PATIENCE, Link
from cnstra.adapters.rabbitmq.location import Location
from cnstra.adapters.rabbitmq.names import TIERS, Names
from cnstra.errors import BrokerRefused, QueueMismatch

DIFFERENCE = re.compile(r"inequivalent arg '(.*?)' .*: received (.*) but current is (.*)")


class Queues:
    """The queues of one queue, as they are on the server."""

    def __init__(self, link: Link, names: Names, location: Location) -> None:
        self._link = link
        self._names = names
        self._location = location
        self._arguments = names.arguments
        self._made: set[str] = set()
        self._absences = Absences()
        self._making = asyncio.Lock()

    async def make(self, *names: str) -> None:
        """Make those that are missing, unless we know that they are there.

        Raises `QueueMismatch` or `BrokerRefused`.
        """
        async with self._making:
            for name in names:
                if name not in self._made:
                    await self._declare(name)
                    self._made.add(name)
                    self._absences.end(name)

    async def make_again(self, *names: str) -> None:
        """Make them, as they turned out to be gone."""
        self._made.difference_update(names)
        await self.make(*names)

    async def size(self, name: str) -> int | None:
        """How many messages wait in the queue; `None` where there is no such queue."""
        with self._link.reaching():
            channel = await self._link.channel()
            try:
                found = await channel.declare_queue(name, passive=True, timeout=PATIENCE)
            except ChannelNotFoundEntity:
                return None
            await channel.close()
            return found.declaration_result.message_count or 0

    async def size_of_waits(self) -> int:
        """How many messages wait until they are due, in the queues that we know to be there, and
        those that may be there by now.
        """
        names = [self._names.waiting(tier) for tier in TIERS]
        return sum([await self._size_of_wait(name) for name in names])

    async def _size_of_wait(self, name: str) -> int:
        if self._absences.covers(name):
            return 0
        found = await self.size(name)
        if found is None:
            self._absences.note(name)
            return 0
        self._absences.end(name)
        return found

    async def _declare(self, name: str) -> None:
        arguments: FieldTable = dict(self._arguments[name])
        with self._link.reaching():
            channel = await self._link.channel()
            try:
                await channel.declare_queue(
                    name, durable=True, arguments=arguments, timeout=PATIENCE
                )
            except ChannelPreconditionFailed as error:
                raise self._mismatch(name, error) from error
            except ChannelAccessRefused as error:
                if await self.size(name) is None:
                    raise self._refused(name, error) from error
            else:
                await channel.close()

    def _mismatch(self, name: str, error: ChannelClosed) -> QueueMismatch:
        found = DIFFERENCE.search(str(error))
        argument, ours, theirs = found.groups() if found else ("its arguments", "ours", str(error))
        return QueueMismatch(
            queue=name, url=self._location.shown, argument=argument, ours=ours, found=theirs
        )

    def _refused(self, name: str, error: ChannelClosed) -> BrokerRefused:
        remedy = (
            "have it declared by an administrator, or allow the user to configure, write and read "
            "it and its companions"
        )
        action = f"to declare the queue {name!r}"
        return BrokerRefused(url=self._location.shown, action=action, reason=error, remedy=remedy)
