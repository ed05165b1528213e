"""What the suite of transports needs of a broker.

A file beside this one, with a function `rig(folder)`, takes its broker through the suite.
"""

from typing import Protocol

from cnstra.jobs.transport import Transport


class Rig(Protocol):
    """One queue of its own on a real server, gone after `stop`.

    comes_back_after: seconds at most until a message is there again that a dead process had taken
    for one second.
    """

    name: str
    comes_back_after: float

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def transport(self) -> Transport:
        """Another one for the same queue, as another process would have it; not open yet."""
        ...

    async def unreachable(self) -> Transport:
        """One for a server that is not there. Its URL has the password "secret"."""
        ...

    async def cut(self) -> None:
        """Cut every connection of every transport. The server stays, and can be reached again."""
        ...

    async def die(self, transport: Transport) -> None:
        """Take all connections from the transport for good, as the end of its process would."""
        ...

    async def send_foreign(self, body: bytes) -> None:
        """Send a message as another program would, with nothing of ours on it."""
        ...
