"""A TCP proxy that cuts and delays, so that a test can harm a connection and nothing else.

`python -m tests.proxy PORT` is one in a process of its own. It prints its port, and is told `cut`
and `slow SECONDS` by its standard input.
"""

import asyncio
import sys
import threading
from contextlib import suppress
from typing import Self


class Proxy:
    """Forwards to a port on this machine.

    swallow: once a request holds these bytes it is passed on, and the connection is cut before its
    answer comes back: it was done, and whoever asked does not know.
    refuse: once a request holds these bytes the connection is cut before it is passed on.
    delay, lag: seconds by which each request, and each answer, comes later.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.delay = 0.0
        self.lag = 0.0
        self.swallow: bytes | None = None
        self.refuse: bytes | None = None
        self.cuts = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)  # what was aborted is closed with a turn of the loop

    def cut(self) -> None:
        """Cut every connection."""
        for writer in list(self._writers):
            writer.transport.abort()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            their_reader, their_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:  # the server is down
            writer.transport.abort()
            return
        with suppress(OSError):
            ends = {writer, their_writer}
            self._writers |= ends
            try:
                await asyncio.gather(
                    self._ask(reader, their_writer, writer), self._pass(their_reader, writer)
                )
            finally:
                self._writers -= ends
                for each in ends:
                    each.transport.abort()

    async def _ask(
        self,
        reader: asyncio.StreamReader,
        server: asyncio.StreamWriter,
        client: asyncio.StreamWriter,
    ) -> None:
        while data := await reader.read(65536):
            if self.refuse is not None and self.refuse in data:
                self.refuse = None
                self.cuts += 1
                break
            if self.delay:
                await asyncio.sleep(self.delay)
            is_swallowed = self.swallow is not None and self.swallow in data
            if is_swallowed:
                self.swallow = None
                self.cuts += 1
                client.transport.abort()
            server.write(data)
            await server.drain()
            if is_swallowed:
                await asyncio.sleep(0.1)
                break
        client.transport.abort()
        server.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if self.lag:
                await asyncio.sleep(self.lag)
            writer.write(data)
            await writer.drain()
        writer.close()  # the server has hung up, or died


class DistantProxy:
    """A proxy on a loop of its own, for tests whose loop may be blocked, or not the same twice."""

    def __init__(self, target: int) -> None:
        self._proxy = Proxy(target)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def port(self) -> int:
        return self._proxy.port

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._proxy.__aenter__(), self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._proxy.__aexit__(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """Cut every connection."""
        self._loop.call_soon_threadsafe(self._proxy.cut)

    def slow(self, seconds: float) -> None:
        """Have each request, and each answer, come later by that."""
        self._proxy.delay = self._proxy.lag = seconds


def main() -> None:
    with DistantProxy(int(sys.argv[1])) as proxy:
        print(proxy.port, flush=True)
        for line in sys.stdin:
            order, *seconds = line.split()
            if order == "cut":
                proxy.cut()
            else:
                proxy.slow(float(*seconds))


if __name__ == "__main__":
    main()
